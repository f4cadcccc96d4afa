"""`mfu explain` and `mfu report` against a real API server that holds what the operator wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from mfu.cli.main import main
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from tests.builders.kube import install_definitions

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
NAME = "faulty-training"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    install_definitions(api_server_only)
    return api_server_only


@pytest.fixture
def space(server: ControlPlane) -> str:
    return server.new_namespace("cli")


@pytest.fixture
def run(server: ControlPlane, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of a command on that server."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--kubeconfig", str(server.kubeconfig)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def judged() -> tuple[dict[str, Any], dict[str, Any]]:
    """Status of the faulty workload and of the fleet, as the operator writes them for the example's snapshot."""
    plan = evaluate(*load((ROOT / "examples" / "snapshot.json").read_text()))
    status = next(each.status.document() for each in plan.workloads if each.name == NAME)
    return status, plan.report.document()


def workload(name: str, space: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / f"{NAME}.yaml").read_text())
    document["metadata"] = {"name": name, "namespace": space}
    return document


def apply(server: ControlPlane, folder: Path, document: dict[str, Any], status: dict[str, Any] | None) -> None:
    path = folder / "object.json"
    path.write_text(json.dumps(document))
    server.kubectl("apply", "--server-side", "-f", str(path))
    if status is not None:
        head = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
        path.write_text(json.dumps({**head, "status": status}))
        server.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--subresource=status",
            "--field-manager=test",
            "-f",
            str(path),
        )


def test_explain_prints_the_page(
    run: Run, server: ControlPlane, space: str, tmp_path: Path, judged: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    apply(server, tmp_path, workload("job", space), judged[0])
    code, out, err = run("explain", "job", "-n", space)
    assert (code, err) == (0, "")
    for words in (
        f"{space}/job",
        "main cause   Communication",
        "From peak to observed",
        "= observed MFU",
        "evidence: ",
    ):
        assert words in out
    code, out, _ = run("explain", "job", "-n", space, "-o", "json")
    assert code == 0
    assert json.loads(out)["summary"] == judged[0]["summary"]


def test_explain_without_status_says_what_to_look_at(
    run: Run, server: ControlPlane, space: str, tmp_path: Path
) -> None:
    apply(server, tmp_path, workload("fresh", space), None)
    code, out, _ = run("explain", "fresh", "-n", space)
    assert code == 1
    assert f"{space}/fresh has no status yet: is the operator running?" in out


def test_explain_names_what_the_namespace_has(run: Run, server: ControlPlane, space: str, tmp_path: Path) -> None:
    apply(server, tmp_path, workload("one", space), None)
    code, _, err = run("explain", "two", "-n", space)
    assert code == 2
    assert f"namespace {space} has no ModelWorkload two; it has one" in err
    assert err.count("\n") == 1


def test_report_is_the_fleet_on_one_page(
    run: Run, server: ControlPlane, tmp_path: Path, judged: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    # The API server is shared, and the report is the only one of its name.
    server.kubectl("delete", "fleetreport", "fleet", "--ignore-not-found")
    document = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "FleetReport", "metadata": {"name": "fleet"}}
    apply(server, tmp_path, document, judged[1])
    try:
        code, out, err = run("report")
        assert (code, err) == (0, "")
        for words in (
            "Fleet MFU",
            " useful + ",
            "PRODUCT",
            "H100-SXM5",
            "NAMESPACE",
            "team-vision",
            "NODE",
            "CAUSE",
            "Communication",
        ):
            assert words in out
        assert [line for line in out.splitlines() if line != line.rstrip()] == []
        assert json.loads(run("report", "-o", "json")[1])["summary"] == judged[1]["summary"]
    finally:
        server.kubectl("delete", "fleetreport", "fleet")


def test_report_that_nobody_has_written_yet(run: Run, server: ControlPlane) -> None:
    server.kubectl("delete", "fleetreport", "fleet", "--ignore-not-found")
    code, out, err = run("report")
    assert (code, err) == (1, "")
    assert "no report yet: is the operator running" in out


def test_explain_shows_the_way_of_a_placement(
    run: Run, server: ControlPlane, space: str, tmp_path: Path, judged: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    apply(server, tmp_path, workload("placed", space), judged[0])
    uid = server.get("modelworkloads", "placed", "-n", space)["metadata"]["uid"]
    regarding = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "namespace": space, "name": "placed"}
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "placed.1", "namespace": space},
        "eventTime": "2026-11-26T06:00:01.000000Z",
        "regarding": {**regarding, "uid": uid},
        "reason": "ActionSent",
        "note": "keep the pods to node n0",
        "type": "Normal",
        "action": "Judge",
        "reportingController": "mfu.gpuaas.io/operator",
        "reportingInstance": "test",
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "placed-0",
            "namespace": space,
            "labels": {"mfu.gpuaas.io/workload": "placed"},
            "annotations": {"mfu.gpuaas.io/decision-placement": "keep the pods to node n0"},
        },
        "spec": {"nodeName": "n0", "containers": [{"name": "main", "image": "none"}]},
    }
    other = {**event, "metadata": {"name": "other.1", "namespace": space}, "reason": "GateOpened", "note": "else"}
    server.apply(event, other, pod)
    code, out, err = run("explain", "placed", "-n", space)
    assert (code, err) == (0, "")
    assert "The way of its placement" in out
    assert "sent     2026-11-26T06:00:01Z keep the pods to node n0" in out
    assert "seen     1 of 1 pods with the hint have a node (n0)" in out
