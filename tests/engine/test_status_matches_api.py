"""What the engine says is what the custom resources declare: nothing is pruned, nothing refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicyStatus
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.projection import node_view, policy_view, workload_view
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import PodView, Snapshot

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = 1_800_000_000.0


def _documents() -> list[dict[str, Any]]:
    files = sorted(EXAMPLES.glob("*.yaml"))
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


def _node(number: int, product: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"n{number}", "labels": {"nvidia.com/gpu.product": product}},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.fixture(scope="module")
def plan() -> Plan:
    workloads, policies = [], []
    for document in _documents():
        document["metadata"] |= {"uid": document["metadata"]["name"], "creationTimestamp": "2026-11-22T00:00:00Z"}
        if document["kind"] == "ModelWorkload":
            document["metadata"]["namespace"] = "team-a"
            workloads.append(workload_view(document))
        if document["kind"] == "MFUPolicy":
            policies.append(policy_view(document))
    names = ["NVIDIA-H100-80GB-HBM3"] * 4 + ["NVIDIA-H200"] * 4
    nodes = [view for number, name in enumerate(names) if (view := node_view(_node(number, name)))]
    pod = PodView(
        "team-a", "dense-0", "u1", 1.0, "n0", "Running", {}, (("Job", "dense-training"),), {"nvidia.com/gpu": 8}
    )
    return evaluate(Snapshot(tuple(workloads), (pod,), tuple(nodes), tuple(policies), {"team-a": {}}), NOW)


def _kept(model: type[BaseModel], status: Mapping[str, Any]) -> dict[str, Any]:
    """What the API would keep of it: unknown fields fall away, so that a difference is a field it does not declare."""
    return model.model_validate(dict(status)).model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_workload_status_round_trips(plan: Plan) -> None:
    assert plan.workloads
    for each in plan.workloads:
        assert _kept(WorkloadStatus, each.status) == each.status, each.name


def test_policy_and_report_status_round_trip(plan: Plan) -> None:
    assert plan.policies
    for each in plan.policies:
        assert _kept(PolicyStatus, each.status) == each.status
    assert _kept(FleetStatus, plan.report) == plan.report


def test_every_example_is_accepted_and_predicted(plan: Plan) -> None:
    for each in plan.workloads:
        conditions = {condition["type"]: condition["status"] for condition in each.status["conditions"]}
        assert conditions["Accepted"] == "True", each.name
        assert each.status["summary"]["expected"].endswith("%"), each.name
