"""pytest fixtures for tests on a real API server; loaded by tests/conftest.py and e2e/conftest.py.

With MFU_KUBECONFIG set, `cluster` is that cluster and tests marked `owns_control_plane` are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.testbed.cluster import ClusterAccess, ControlPlane, ForeignCluster, KubectlFailed
from e2e.testbed.cluster.binaries import Progress

FOREIGN = "MFU_KUBECONFIG"
_MAKERS_OF_PODS = "deployments,replicasets,statefulsets,jobs"
_SHARED = pytest.StashKey[ControlPlane]()
_ALONE = pytest.StashKey[ControlPlane]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what would restart or add API servers on a cluster that is not ours."""
    if not os.environ.get(FOREIGN):
        return
    skip = pytest.mark.skip(reason=f"owns the control plane; {FOREIGN} names a foreign one")
    for item in items:
        if item.get_closest_marker("owns_control_plane"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def cluster_progress(request: pytest.FixtureRequest) -> Progress:
    """Writes a line to the terminal past pytest's capturing: a first build takes minutes and must not look dead."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, cluster_progress: Progress) -> Iterator[ControlPlane]:
    """A whole local control plane: etcd, API server, controller manager, scheduler, KWOK."""
    for plane in _run(request, cluster_progress, parts=True):
        request.config.stash[_SHARED] = plane
        yield plane


@pytest.fixture(scope="module", autouse=True)
def _nodes_and_pods_go_with_their_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """The shared control plane's scheduler would put pods of the next file on these nodes, and these on its nodes; on
    an API server alone pods that stay hold GPUs that the next file's operator counts."""
    yield
    plane, alone = request.config.stash.get(_SHARED, None), request.config.stash.get(_ALONE, None)
    with suppress(KubectlFailed):
        if plane is not None:
            _delete_nodes_and_pods(plane)
    with suppress(KubectlFailed):
        if alone is not None:
            _delete_pods(alone)


@pytest.fixture(scope="session")
def api_server_only(request: pytest.FixtureRequest, cluster_progress: Progress) -> Iterator[ControlPlane]:
    """etcd and an API server: no controller, no scheduler, no garbage collection; pods need no service account."""
    for plane in _run(request, cluster_progress, parts=False):
        request.config.stash[_ALONE] = plane
        yield plane


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, cluster_progress: Progress) -> Iterator[ClusterAccess]:
    """The cluster under test: the one of MFU_KUBECONFIG, else the local control plane."""
    foreign = os.environ.get(FOREIGN)
    if foreign:
        with ForeignCluster.use(Path(foreign), progress=cluster_progress) as access:
            yield access
        return
    yield request.getfixturevalue("control_plane")


@pytest.fixture
def namespace(cluster: ClusterAccess) -> str:
    """A fresh namespace of `cluster`, ready for pods."""
    return cluster.new_namespace()


@pytest.fixture
def kubectl(cluster: ClusterAccess) -> Callable[..., str]:
    """kubectl against `cluster`."""
    return cluster.kubectl


def _delete_nodes_and_pods(plane: ControlPlane) -> None:
    plane.kubectl("delete", _MAKERS_OF_PODS, "--all", "--all-namespaces", "--wait=false")
    _delete_pods(plane)
    if plane.get("nodes")["items"]:
        plane.kubectl("delete", "nodes", "--all")


def _run(request: pytest.FixtureRequest, progress: Progress, *, parts: bool) -> Iterator[ControlPlane]:
    failed_before = request.session.testsfailed
    with ControlPlane.start(scheduler=parts, controller_manager=parts, kwok=parts, progress=progress) as plane:
        yield plane
        plane.keep_logs = request.session.testsfailed > failed_before


def _delete_pods(plane: ControlPlane) -> None:
    plane.kubectl("delete", "pods", "--all", "--all-namespaces", "--force", "--grace-period=0")
