"""Declarations of real manifests on a real API server, and an object of the cluster adopted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from mfu.adopt.draft import adopt
from mfu.cli.main import main
from tests.builders.kube import install_definitions

pytestmark = pytest.mark.integration

TABLE: dict[str, dict[str, Any]] = {
    name: entry
    for file in ("manifests.yaml", "strangers.yaml")
    for name, entry in yaml.safe_load((Path(__file__).parent / file).read_text(encoding="utf-8")).items()
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    install_definitions(api_server_only)
    return api_server_only


@pytest.fixture(scope="module")
def space(server: ControlPlane) -> str:
    return server.new_namespace("adopt")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_server_takes_what_was_adopted(server: ControlPlane, space: str, name: str) -> None:
    for draft in adopt(TABLE[name]["documents"]):
        document = dict(draft.document) | {"metadata": {"name": draft.document["metadata"]["name"]}}
        if not draft.complete:
            document |= {"spec": document["spec"] | {"model": {"preset": "llama-3.1-8b"}}}
        server.apply(document, namespace=space)


def test_an_object_of_the_cluster_with_its_config(
    server: ControlPlane, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "engine"}, "data": {"MODEL": "Qwen/Qwen3-32B"}},
        namespace=space,
    )
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["sh", "-c", "vllm serve $MODEL --tensor-parallel-size 2"],
        "envFrom": [{"configMapRef": {"name": "engine"}}],
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
    }
    template = {"metadata": {"labels": {"app": "llm"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "llm"}}, "template": template}
    server.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llm"}, "spec": spec}, namespace=space
    )
    code = main(["adopt", "deployment/llm", "-n", space, "--kubeconfig", str(server.kubeconfig)])
    found = yaml.safe_load(capsys.readouterr().out)
    assert code == 0
    assert found["spec"]["model"] == {"preset": "qwen3-32b"}
    assert found["spec"]["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}


def test_an_object_that_is_not_there(server: ControlPlane, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["adopt", "deployment/none", "-n", space, "--kubeconfig", str(server.kubeconfig)])
    assert code == 2
    assert "none" in capsys.readouterr().err
