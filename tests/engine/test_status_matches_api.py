"""What the engine says is what the custom resources declare: nothing is pruned, nothing refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.cluster.projection import node_view, policy_view, workload_view
from mfu.engine.evaluate import evaluate
from mfu.engine.packed import Packed, dumped
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


def test_what_is_said_is_what_the_api_declares(plan: Plan) -> None:
    """Nothing is dropped on the way to the server and back, and nothing is left that it would refuse."""
    said: list[Packed[Any]] = [*(each.status for each in plan.workloads), *(each.status for each in plan.policies)]
    for each in (*said, plan.report):
        read = each.read()
        assert dumped(type(read).model_validate(each.document())) == each.document()
        assert Packed.of(read) == each


def test_every_example_is_accepted_and_predicted(plan: Plan) -> None:
    for each in plan.workloads:
        conditions = {condition["type"]: condition["status"] for condition in each.status.document()["conditions"]}
        assert conditions["Accepted"] == "True", each.name
        assert each.status.document()["summary"]["expected"].endswith("%"), each.name
