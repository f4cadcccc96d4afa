"""Who could share a GPU, from what is declared and read: two services that idle are told of each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.api.decisions import DecisionType
from mfu.decide.types import Outcome
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import WorkloadPlan
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.observe.readings import WorkloadSeries
from tests.builders.cases import SERVING, node
from tests.builders.readings import table
from tests.builders.scenes import EVERY, NOW, identity, pod, workload


def read(view: WorkloadView, index: int, active: float) -> WorkloadSeries:
    """Ten minutes of one GPU on which kernels run for `active` of the time."""
    values = table(
        600, 1, EVERY, TENSOR_ACTIVE=0.05 * active, GR_ENGINE_ACTIVE=active, GPU_UTIL=active, DRAM_ACTIVE=0.4 * active
    )
    times = NOW - EVERY * np.arange(len(values), dtype=np.float64)[::-1]
    return WorkloadSeries((identity(index, view.namespace, f"{view.name}-0"),), times, values, EVERY, (), ("test",))


def two(active: float, *, other_namespace: str = "team-a", gpus: int = 1, **fields: Any) -> dict[str, WorkloadPlan]:
    one, other = (
        workload(name, {**SERVING, **fields}, namespace=space)
        for name, space in (("a", "team-a"), ("b", other_namespace))
    )
    pods = tuple(pod(f"{each.name}-0", each.name, gpus=gpus, namespace=each.namespace) for each in (one, other))
    snapshot = Snapshot(
        workloads=(one, other),
        pods=pods,
        nodes=(node("n0", used=2 * gpus),),
        namespaces={"team-a": {}, other_namespace: {}},
        series={each.key: read(each, index, active) for index, each in enumerate((one, other))},
    )
    return {each.name: each for each in evaluate(snapshot, NOW).workloads}


def shares(plan: WorkloadPlan) -> list[Any]:
    return [each for each in plan.decisions if each.type is DecisionType.SHARING]


def test_two_that_idle_are_told_of_each_other() -> None:
    plans = two(0.1)
    (said,) = shares(plans["a"])
    assert (said.outcome, said.reason) == (Outcome.SHARE, "KeepEnoughTogether")
    rows = {row["type"]: row for row in plans["a"].status.document()["decisions"]}
    message = rows["Sharing"]["message"]
    assert message.startswith(
        "could share one GPU with team-a/b in MIG slices, 4g.40gb for it and 3g.40gb for the other"
    )
    assert "of its own rate (90% is asked)" in message
    assert message.endswith("One GPU would be free; nothing is moved unless you do")
    assert shares(plans["b"])


@pytest.mark.parametrize(
    "fields", [{"active": 1.0}, {"active": 0.1, "other_namespace": "team-b"}, {"active": 0.1, "gpus": 2}]
)
def test_others_are_told_nothing(fields: dict[str, Any]) -> None:
    """The GPU is busy, the other is somebody else's, or pods hold more than one."""
    assert not any(map(shares, two(**fields).values()))


def test_advice_does_not_wander_with_the_readings() -> None:
    first, second = two(0.10), two(0.115)
    assert [replace(each, message="") for each in shares(first["a"])] == [
        replace(each, message="") for each in shares(second["a"])
    ]
