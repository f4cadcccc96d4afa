"""The generated definitions on a real API server: what it takes, what it refuses and how it explains itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster.client import KubectlFailed
from e2e.testbed.cluster.plane import ControlPlane

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TABLE = yaml.safe_load((Path(__file__).parent / "malformed.yaml").read_text())
REFUSED = {case["name"]: case for case in TABLE["cases"] if case["by"] != "catalog"}
LEFT_TO_US = {case["name"]: case for case in TABLE["cases"] if case["by"] == "catalog"}
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> Iterator[ControlPlane]:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    yield api_server_only
    # A policy that names no namespace governs those of all later tests.
    api_server_only.kubectl("delete", "mfupolicy", "--all")


@pytest.fixture(scope="module")
def space(server: ControlPlane) -> str:
    return server.new_namespace("api")


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    base = value if isinstance(value, dict) else {}
    kept = {key: inner for key, inner in base.items() if key not in patch}
    return kept | {key: merged(base.get(key), inner) for key, inner in patch.items() if inner is not None}


def document(case: dict[str, Any]) -> dict[str, Any]:
    name = f"{case['name']}-{secrets.token_hex(3)}"
    changed: dict[str, Any] = merged(TABLE["bases"][case["base"]], {"spec": case["spec"], "metadata": {"name": name}})
    return changed


@pytest.mark.parametrize("base", TABLE["bases"])
def test_bases_are_taken(server: ControlPlane, space: str, base: str) -> None:
    server.apply(TABLE["bases"][base], namespace=space)


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_is_refused_with_field_and_values(server: ControlPlane, space: str, name: str) -> None:
    with pytest.raises(KubectlFailed) as refused:
        server.apply(document(REFUSED[name]), namespace=space)
    missing = [words for words in REFUSED[name]["says"] if words not in refused.value.stderr]
    assert not missing, refused.value.stderr


@pytest.mark.parametrize("name", LEFT_TO_US)
def test_what_needs_the_catalog_is_taken(server: ControlPlane, space: str, name: str) -> None:
    server.apply(document(LEFT_TO_US[name]), namespace=space)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_taken_without_warning(server: ControlPlane, space: str, path: Path) -> None:
    server.kubectl("apply", "-n", space, "--validate=strict", "--warnings-as-errors", "-f", str(path))


def test_unknown_field_is_refused(server: ControlPlane, space: str) -> None:
    wrong = merged(TABLE["bases"]["training"], {"metadata": {"name": "typo"}, "spec": {"presision": {}}})
    with pytest.raises(KubectlFailed, match="presision"):
        server.apply(wrong, namespace=space)


def test_server_defaults_are_ours(server: ControlPlane, space: str) -> None:
    from mfu.api.modelworkload import ModelWorkload

    server.apply(TABLE["bases"]["inference"], namespace=space)
    stored = server.get("mw", "base-inference", "-n", space)
    ours = ModelWorkload.model_validate(TABLE["bases"]["inference"])
    assert ModelWorkload.model_validate(stored).spec == ours.spec
    assert stored["spec"]["precision"] == {"compute": "BF16"}
    assert stored["spec"]["tunable"] == ["MicroBatch", "Recompute", "Layout", "Concurrency"]


def test_only_one_fleet_report(server: ControlPlane) -> None:
    report = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "FleetReport", "metadata": {"name": "other"}}
    with pytest.raises(KubectlFailed, match="name it fleet"):
        server.apply(report)
    server.apply({**report, "metadata": {"name": "fleet"}})


def test_columns_tell_the_story(server: ControlPlane, space: str) -> None:
    header = server.kubectl("get", "mw", "-n", space).splitlines()[0].split()
    wanted = "NAME MODE MODEL GPUS EXPECTED OBSERVED ATTAINABLE CAUSE $/H LOST/H READY AGE"
    assert header == wanted.split()


def test_explain_reads_well(server: ControlPlane) -> None:
    text = server.kubectl("explain", "modelworkloads.spec.training")
    assert "Sequences per optimizer step over all GPUs" in text
    assert "in milliseconds" in server.kubectl("explain", "mw.spec.inference.slo")


def test_status_is_a_subresource(server: ControlPlane, space: str) -> None:
    server.apply(TABLE["bases"]["explicit"], namespace=space)
    summary = '{"status":{"summary":{"expected":"41.2%"},"observedGeneration":1}}'
    server.kubectl("patch", "mw", "base-explicit", "-n", space, "--type=merge", "-p", summary)
    assert "status" not in server.get("mw", "base-explicit", "-n", space)
    server.kubectl("patch", "mw", "base-explicit", "-n", space, "--type=merge", "--subresource=status", "-p", summary)
    stored = server.get("mw", "base-explicit", "-n", space)
    assert stored["status"]["summary"] == {"expected": "41.2%"}
    assert stored["metadata"]["generation"] == 1
