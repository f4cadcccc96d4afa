"""Eight H100s sliced ten times: eight GPUs, a pod that holds a tenth of one, and nobody accused of a loss."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from mfu.engine import saved
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "data" / "field_cases"


@pytest.fixture
def sliced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    out = tmp_path / "snapshot.json"
    arguments = ["08b", str(ROOT / "examples" / "snapshot.json"), str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(next(CASES.glob("08b*.py"))), run_name="__main__")
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def judged(document: dict[str, Any]) -> Plan:
    snapshot, now = saved.load(json.dumps(document))
    return evaluate(snapshot, now)


def test_a_sliced_node_is_eight_gpus(sliced: dict[str, Any]) -> None:
    fleet = judged(sliced).figures.fleet
    assert fleet is not None
    assert fleet.gpus == pytest.approx(8.0)
    assert fleet.allocated_gpus == pytest.approx(0.1)
    assert fleet.cost_per_hour == pytest.approx(20.0)
    assert fleet.unknown == pytest.approx(0.1 / 8)


def test_a_pod_on_a_slice_pays_its_share_and_is_accused_of_nothing(sliced: dict[str, Any]) -> None:
    (plan,) = judged(sliced).workloads
    assert plan.cost_per_hour == pytest.approx(0.25)
    assert plan.lost_per_hour is None
    assert plan.findings == ()
    assert plan.assessment is not None
    assert plan.assessment.best() is None
    conditions = dict(plan.conditions)
    assert conditions["Ready"] == conditions["TelemetryAvailable"] == "False"
    assert not [each for each in plan.decisions if str(each.outcome) in ("Reshape", "Scale", "Move")]


@pytest.mark.parametrize("label", ["nvidia.com/gpu.replicas"])
def test_a_share_that_nobody_knows_costs_nothing_that_is_known(sliced: dict[str, Any], label: str) -> None:
    node = sliced["nodes"][0]
    del node["labels"][label]
    node["gpus"] = 8
    (plan,) = judged(sliced).workloads
    assert plan.cost_per_hour is None
    assert plan.lost_per_hour is None


def test_more_pods_than_slices_never_hold_more_than_the_node_has(sliced: dict[str, Any]) -> None:
    pod = sliced["pods"][0]
    sliced["pods"] = [{**pod, "name": f"p{i}", "uid": f"u{i}", "gpus": {"nvidia.com/gpu": 1_000_000}} for i in range(3)]
    fleet = judged(sliced).figures.fleet
    assert fleet is not None
    assert fleet.gpus == pytest.approx(8.0)
    assert fleet.allocated_gpus == pytest.approx(8.0)


def test_saved_and_read_again_it_is_the_same_node(sliced: dict[str, Any]) -> None:
    snapshot, now = saved.load(json.dumps(sliced))
    again, _ = saved.load(saved.dump(snapshot, now))
    assert again.nodes == snapshot.nodes
    assert again.nodes[0].replicas == {"nvidia.com/gpu": 10}
