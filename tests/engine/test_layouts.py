"""Another MIG layout in the cycle: a dry run first, one node at a time, and of nobody who did not consent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.act.types import Guard, LayoutOrder, Tag
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.layouts import MOST_LAYOUTS
from mfu.engine.plan import Plan
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot
from tests.builders.cases import SERVING
from tests.builders.scenes import NOW, identity, pod, workload, written
from tests.decide.test_mig_relayout import sliced

SPEC: dict[str, Any] = {
    "modes": {"mig": "Enforce"},
    "actions": [{"type": "MIGLayout", "minConfidencePercent": 10}],
}
WAITING_SPEC = {**SERVING, "accelerators": {"count": 1, "products": ["H100-SXM5"], "migProfile": "3g.40gb"}}
WAITS = workload("w", WAITING_SPEC)
TAG = Tag("team-a/w", ActionType.MIG_LAYOUT)
WORDS = "give node n0 the MIG layout all-3g.40gb (4 of 3g.40gb)"


def waiting(**fields: Any) -> Any:
    made = pod("w-0", "w", gpus={"nvidia.com/mig-3g.40gb": 1}, node=None, phase="Pending")
    return replace(made, **fields)


def scene(
    *nodes: NodeView, pods: tuple[Any, ...] = (), on: bool = True, spec: dict[str, Any] | None = None
) -> Snapshot:
    policy = PolicyView("p", "uid-p", 1, PolicySpec.model_validate(spec or SPEC))
    seen = FleetReadings((identity(0),), observed_at=np.array([NOW - 5.0]))
    seen = replace(seen, values=np.full((1, seen.values.shape[1]), np.nan))
    made = Snapshot((WAITS,), (waiting(), *pods), nodes or (sliced(),), (policy,), {"team-a": {}, "team-b": {}})
    return replace(made, fleet=seen, switched_on=frozenset({ActionType.MIG_LAYOUT}) if on else frozenset())


def words(plan: Plan) -> list[str]:
    return [each.sentence for each in plan.acts.steps if each.action.type is ActionType.MIG_LAYOUT]


def test_a_node_is_given_what_waits_and_it_is_said() -> None:
    plan = evaluate(scene(), NOW)
    assert plan.layouts == (LayoutOrder("n0", "all-3g.40gb", {"nvidia.com/mig-3g.40gb": 4}, "team-a/w", WORDS),)
    assert [each.message for each in plan.workloads[0].events if each.reason == "ActionSent"] == [WORDS]


def test_the_dry_run_says_the_same_words() -> None:
    plan = evaluate(scene(on=False), NOW)
    assert plan.layouts == ()
    (sentence,) = words(plan)
    assert sentence.endswith(WORDS)
    assert Guard.SWITCHED_OFF in {each.hindrance.guard for each in plan.acts.steps if each.hindrance}


@pytest.mark.parametrize("spec", [{}, {**SPEC, "modes": {"mig": "Recommend"}}, {"modes": {"mig": "Enforce"}}])
def test_off_by_default(spec: dict[str, Any]) -> None:
    assert evaluate(scene(spec=spec or {"currency": "$"}), NOW).layouts == ()


def test_it_is_said_until_the_node_shows_it_and_no_other_is_begun() -> None:
    before = scene(sliced("n0"), sliced("n1"))
    plan = evaluate(before, NOW)
    cordoned = replace(sliced("n0"), schedulable=False, mig={})
    after = written(before, plan, nodes=(cordoned, sliced("n1")))
    again = evaluate(after, NOW + 300.0)
    assert again.layouts == plan.layouts
    assert words(again) == []
    done = replace(sliced("n0", labels={"nvidia.com/mig.config": "all-3g.40gb"}), mig={"3g.40gb": 4})
    shown = evaluate(written(after, again, nodes=(done, sliced("n1"))), NOW + 600.0)
    assert shown.layouts == ()
    assert not shown.handover.acted.tracks[TAG].on_its_way
    assert words(shown) == [], "its slices are there: nobody needs another node"


def test_telemetry_lost_on_the_way_begins_nothing_and_takes_nothing_back() -> None:
    before = scene()
    plan = evaluate(before, NOW)
    silent = written(before, plan, fleet=FleetReadings(), nodes=(replace(sliced(), schedulable=False, mig={}),))
    assert evaluate(silent, NOW + 300.0).layouts == plan.layouts
    assert evaluate(replace(scene(), fleet=FleetReadings()), NOW).layouts == ()


def test_who_did_not_consent_is_not_moved() -> None:
    """The other namespace is under no policy that lets pods be moved for a layout."""
    theirs = pod("b-0", None, gpus={"nvidia.com/mig-1g.10gb": 1}, node="n0", namespace="team-b")
    only_a = {**SPEC, "namespaceSelector": {"matchLabels": {"team": "a"}}}
    crowded = scene(sliced("n0", used={"1g.10gb": 1}), pods=(theirs,), spec=only_a)
    crowded = replace(crowded, namespaces={"team-a": {"team": "a"}, "team-b": {}})
    more = replace(WAITS, name="v", uid="uid-v")
    both = replace(crowded, workloads=(WAITS, more), pods=(*crowded.pods, waiting(name="v-0", uid="uid-v-0")))
    assert evaluate(both, NOW).layouts == ()


def test_what_never_comes_is_withdrawn() -> None:
    before = scene()
    plan = evaluate(before, NOW)
    late = evaluate(written(before, plan, nodes=(replace(sliced(), schedulable=False, mig={}),)), NOW + 3_600.0)
    assert [each.reason for each in late.acts.withdrawals] == ["NotSeen"]


def rows(plan: Plan) -> list[tuple[str, str, str, int, int, str]]:
    said = plan.report.read().layouts
    return [(each.node, each.layout, each.slices, each.waiting, each.moved, str(each.state)) for each in said]


def test_the_report_says_what_is_planned_and_what_is_under_way() -> None:
    """A policy that only recommends moves nothing, and the plan is told all the same."""
    recommended = scene(sliced("n0"), sliced("n1"), spec={**SPEC, "modes": {"mig": "Recommend"}})
    assert rows(evaluate(recommended, NOW)) == [("n0", "all-3g.40gb", "4 of 3g.40gb", 1, 0, "Planned")]
    assert evaluate(recommended, NOW).layouts == ()
    assert rows(evaluate(scene(), NOW)) == [("n0", "all-3g.40gb", "4 of 3g.40gb", 0, 0, "UnderWay")]


def test_the_report_says_where_a_policy_stands_against_a_layout() -> None:
    theirs = pod("b-0", None, gpus={"nvidia.com/mig-1g.10gb": 1}, node="n0", namespace="team-b")
    made = scene(sliced(), pods=(theirs,), spec={**SPEC, "namespaceSelector": {"matchLabels": {"team": "a"}}})
    made = replace(made, namespaces={"team-a": {"team": "a"}, "team-b": {}})
    plan = evaluate(made, NOW)
    assert plan.layouts == ()
    assert [row[-1] for row in rows(plan)] == ["NotConsented"]


def test_nobody_who_waits_means_no_row_and_rows_are_bounded() -> None:
    assert rows(evaluate(replace(scene(), pods=()), NOW)) == []
    inference = {**SERVING["inference"], "replicas": {"min": 120, "max": 120}}
    many = workload("w", {**WAITING_SPEC, "inference": inference})
    waits = tuple(waiting(name=f"w-{index}", uid=f"uid-w-{index}") for index in range(120))
    nodes = tuple(sliced(f"n{index:02}") for index in range(30))
    made = replace(scene(*nodes, on=False), workloads=(many,), pods=waits)
    assert len(rows(evaluate(made, NOW))) == MOST_LAYOUTS


def test_where_a_driver_cuts_on_allocation_nothing_is_laid_out_and_it_is_said() -> None:
    """mig-manager must not touch such a node, though its labels are those of a node that it looks after."""
    cut = PartitionedNode("n0", "NVIDIA-H100-80GB-HBM3", ("1g.10gb", "3g.40gb"))
    plan = evaluate(replace(scene(), partitioned=(cut,)), NOW)
    assert plan.layouts == ()
    assert words(plan) == []
    assert rows(plan) == [("n0", "", "3g.40gb", 1, 0, "OnAllocation")]


def test_other_nodes_are_laid_out_as_ever_and_a_driver_that_cuts_something_else_is_not_told_of() -> None:
    cut = PartitionedNode("n0", "NVIDIA-H100-80GB-HBM3", ("1g.10gb",))
    plan = evaluate(replace(scene(sliced("n0"), sliced("n1")), partitioned=(cut,)), NOW)
    assert [each.node for each in plan.layouts] == ["n1"]
    assert [row[0] for row in rows(plan)] == ["n1"]
