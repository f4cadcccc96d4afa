"""A cluster that is not ours (MFU_KUBECONFIG): here one without KWOK plays it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.testbed.cluster import ControlPlane, ForeignCluster, KubectlFailed

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ControlPlane]:
    with ControlPlane.start(scheduler=False, kwok=False, progress=lambda line: None) as plane:
        yield plane


def test_kwok_plays_its_nodes_and_our_namespaces_are_deleted(elsewhere: ControlPlane) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake"}}
    node["metadata"] |= {"annotations": {"kwok.x-k8s.io/node": "fake"}}  # type: ignore[operator]
    with ForeignCluster.use(elsewhere.kubeconfig, progress=lambda line: None) as foreign:
        namespace = foreign.new_namespace()
        foreign.apply(node)
        foreign.kubectl("wait", "node/fake", "--for=condition=Ready", "--timeout=30s")
    elsewhere.kubectl("wait", f"namespace/{namespace}", "--for=delete", "--timeout=60s")


def test_a_cluster_that_does_not_answer_is_an_error(elsewhere: ControlPlane, tmp_path: Path) -> None:
    wrong = tmp_path / "kubeconfig"
    wrong.write_text(elsewhere.kubeconfig.read_text().replace(elsewhere.url, "https://127.0.0.1:1"))
    with pytest.raises(KubectlFailed), ForeignCluster.use(wrong):
        pytest.fail("used a cluster that does not answer")


def test_with_mfu_kubeconfig_only_foreign_tests_run_and_on_that_cluster(
    elsewhere: ControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["e2e.testbed.cluster.fixtures"]\n')
    (tmp_path / "test_inner.py").write_text(
        "import os, pytest\n"
        "def test_foreign(cluster, namespace, kubectl):\n"
        "    assert str(cluster.kubeconfig) == os.environ['MFU_KUBECONFIG']\n"
        "    assert namespace in kubectl('get', 'namespaces')\n"
        "@pytest.mark.owns_control_plane\n"
        "def test_owner(control_plane): raise AssertionError\n"
    )
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    marker = ["-o", "markers=owns_control_plane: x", "-c", os.devnull]
    environment = {**os.environ, "MFU_KUBECONFIG": str(elsewhere.kubeconfig), "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [*command, *marker, str(tmp_path)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
