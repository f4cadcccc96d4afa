"""A quarter of an H100 by KAI Scheduler, a part by HAMi: what they cost, that nobody is accused, and no forged part."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from mfu.cluster.projection import node_view, pod_view
from mfu.decide.types import NodeView
from mfu.engine import saved
from mfu.engine.evaluate import evaluate
from mfu.engine.holdings.workload import held
from mfu.engine.plan import Plan

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "data" / "field_cases"
QUARTER = {"system": "KAI Scheduler", "fraction": 0.25, "memory_bytes": None}
SMALL = {"system": "HAMi", "fraction": None, "memory_bytes": 1.0 * 2**30}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One node of eight whole H100s at $2.50, one pod of one workload on one of them."""
    out = tmp_path / "snapshot.json"
    monkeypatch.setattr(sys, "argv", ["08b", str(ROOT / "examples" / "snapshot.json"), str(out)])
    runpy.run_path(str(next(CASES.glob("08b*.py"))), run_name="__main__")
    document: dict[str, Any] = json.loads(out.read_text())
    node = document["nodes"][0]
    labels = {name: text.removesuffix("-SHARED") for name, text in node["labels"].items() if "replicas" not in name}
    node.update(gpus=8, replicas={}, labels=labels, product_label=node["product_label"].removesuffix("-SHARED"))
    return document


def judged(document: dict[str, Any]) -> Plan:
    snapshot, now = saved.load(json.dumps(document))
    return evaluate(snapshot, now)


def reservation(pod: dict[str, Any], name: str = "gpu-reservation-n0") -> dict[str, Any]:
    return {**pod, "name": name, "uid": name, "labels": {}, "owners": [], "reserves": True, "portion": None}


def of_kai(document: dict[str, Any], portion: dict[str, Any] = QUARTER, pods: int = 1) -> None:
    document["nodes"][0]["reserved"] = 1
    pod = document["pods"][0]
    shares = [{**pod, "name": f"p{each}", "uid": f"u{each}", "portion": portion} for each in range(pods)]
    document["pods"] = [*shares, reservation(pod)]


def test_a_quarter_of_a_gpu_costs_a_quarter_and_nobody_is_accused(cluster: dict[str, Any]) -> None:
    of_kai(cluster)
    plan = judged(cluster)
    (workload,) = plan.workloads
    assert workload.cost_per_hour == pytest.approx(0.25 * 2.5)
    assert (workload.lost_per_hour, workload.findings) == (None, ())
    conditions = {each.type: each for each in workload.status.read().conditions}
    assert conditions["TelemetryAvailable"].status == "False"
    assert "KAI Scheduler gives it 25% of each GPU" in conditions["TelemetryAvailable"].message
    fleet = plan.figures.fleet
    assert fleet is not None
    assert (fleet.gpus, fleet.allocated_gpus) == (pytest.approx(8.0), pytest.approx(0.25))


def test_the_pod_that_reserves_is_no_workload_without_a_declaration(cluster: dict[str, Any]) -> None:
    of_kai(cluster)
    assert not judged(cluster).report.read().drafts


def test_words_without_a_reservation_cost_what_nobody_knows(cluster: dict[str, Any]) -> None:
    cluster["pods"][0]["portion"] = QUARTER
    (workload,) = judged(cluster).workloads
    assert workload.cost_per_hour is None
    assert (workload.lost_per_hour, workload.findings) == (None, ())


def test_parts_take_no_more_than_was_reserved_for_them(cluster: dict[str, Any]) -> None:
    of_kai(cluster, {**QUARTER, "fraction": 1.0}, pods=6)
    fleet = judged(cluster).figures.fleet
    assert fleet is not None
    assert fleet.allocated_gpus == pytest.approx(1.0)


def test_memory_tells_the_part_and_whether_it_fits(cluster: dict[str, Any]) -> None:
    cluster["nodes"][0].update(sharing="HAMi", replicas={"nvidia.com/gpu": 10})
    cluster["pods"][0]["portion"] = SMALL
    (workload,) = judged(cluster).workloads
    assert workload.cost_per_hour == pytest.approx(2.5 / 80, rel=0.01)
    fits = next(each for each in workload.status.read().conditions if each.type == "FitsMemory")
    assert (fits.status, fits.reason) == ("False", "OutOfMemory")
    assert "is given 1.0Gi: HAMi gives it 1% of each GPU" in fits.message


def test_all_of_a_device_is_the_device(cluster: dict[str, Any]) -> None:
    cluster["nodes"][0].update(sharing="HAMi", replicas={"nvidia.com/gpu": 10})
    cluster["pods"][0]["portion"] = {**SMALL, "memory_bytes": 81559 * 2.0**20}
    (workload,) = judged(cluster).workloads
    assert workload.cost_per_hour == pytest.approx(2.5)
    telemetry = next(each for each in workload.status.read().conditions if each.type == "TelemetryAvailable")
    assert telemetry.status == "True"


def test_saved_and_read_again_it_is_the_same_pod(cluster: dict[str, Any]) -> None:
    of_kai(cluster)
    snapshot, now = saved.load(json.dumps(cluster))
    again, _ = saved.load(saved.dump(snapshot, now))
    assert again.pods == snapshot.pods
    assert again.nodes == snapshot.nodes


REGISTER = ":".join(f"GPU-{each},10,81559,100,NVIDIA-NVIDIA H100 80GB HBM3,0,true" for each in range(8)) + ":"


def node(annotations: dict[str, str], **allocatable: str) -> NodeView:
    ready = [{"type": "Ready", "status": "True"}]
    metadata = {"name": "n0", "labels": {}, "annotations": annotations}
    found = node_view({"metadata": metadata, "status": {"allocatable": allocatable, "conditions": ready}})
    assert found is not None
    return found


def test_a_node_of_hami_has_the_gpus_that_it_registers() -> None:
    view = node({"hami.io/node-nvidia-register": REGISTER}, **{"nvidia.com/gpu": "80"})
    assert (view.gpus, view.sharing, view.replicas) == (8, "HAMi", {"nvidia.com/gpu": 10})
    assert view.device is not None
    assert view.device.gpu.api_name == "H100-SXM5"
    assert view.free("nvidia.com/gpu", 8) == 0


def test_pods_of_one_node_are_held_in_their_parts() -> None:
    view = node({"hami.io/node-nvidia-register": REGISTER}, **{"nvidia.com/gpu": "80"})
    limits = {"nvidia.com/gpu": "1", "nvidia.com/gpumem": str(81559 // 4)}
    pod = pod_view(
        {
            "metadata": {"namespace": "a", "name": "p", "uid": "u"},
            "spec": {"nodeName": "n0", "containers": [{"resources": {"limits": limits}}]},
            "status": {"phase": "Running"},
        }
    )
    assert pod is not None
    holding = held([pod] * 20, {"n0": view})
    assert (holding.gpus, holding.shared) == (20, True)
    assert holding.share == pytest.approx(0.25, rel=0.01)


def test_a_pod_with_a_fraction_is_seen_though_it_asks_for_no_gpu() -> None:
    pod = pod_view(
        {
            "metadata": {"namespace": "a", "name": "p", "uid": "u", "annotations": {"gpu-fraction": "0.5"}},
            "spec": {"nodeName": "n0", "schedulerName": "kai-scheduler", "containers": [{"image": "vllm"}]},
            "status": {"phase": "Running"},
        }
    )
    assert pod is not None
    assert pod.gpus == {"nvidia.com/gpu": 1}
