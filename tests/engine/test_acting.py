"""Actions in the cycle: proposed with evidence, dry while nothing carries them out, reserved while on their way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfu.act.templates import HeldOwner, HeldTemplate
from mfu.act.types import Guard, Step, Tag
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType
from mfu.decide.fleet.constraints import Constraints
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import FleetReadings, PodView, PolicyView, Snapshot
from tests.builders.cases import SERVING, node
from tests.builders.scenes import NOW, identity, pod, three, waiting, workload, written
from tests.engine.test_fleet_stage import places

ACTIONS = [
    {"type": "RequiredAffinity", "minConfidencePercent": 50},
    {"type": "NodeSelector", "minConfidencePercent": 50},
]
TAG = Tag("team-a/a", ActionType.REQUIRED_AFFINITY)


def policy(**spec: Any) -> PolicyView:
    made = PolicySpec.model_validate({"modes": {"placement": "Enforce"}, "actions": ACTIONS, **spec})
    return PolicyView("p", "uid-p", 1, made)


def enforced(snapshot: Snapshot, *, on: bool = True, **spec: Any) -> Snapshot:
    readings = FleetReadings((identity(0),), observed_at=np.array([NOW - 5.0]))
    readings = replace(readings, values=np.full((1, snapshot.fleet.values.shape[1]), float("nan")))
    switched_on = frozenset(ActionType) if on else frozenset()
    return replace(snapshot, policies=(policy(**spec),), fleet=readings, switched_on=switched_on)


def steps(plan: Plan) -> dict[str, Step]:
    return {step.action.workload.split("/")[1]: step for step in plan.acts.steps}


def test_only_who_has_a_place_is_acted_upon() -> None:
    plan = evaluate(enforced(three(8)), NOW)
    assert list(steps(plan)) == ["a"]
    step = steps(plan)["a"]
    assert not step.dry_run
    assert step.sentence == "keep the pods to node n0"
    assert [grant.gpus for grant in step.action.grants] == [8]


def test_while_nothing_carries_it_out_it_is_a_dry_run() -> None:
    plan = evaluate(enforced(three(8), on=False), NOW)
    hindrance = steps(plan)["a"].hindrance
    assert hindrance is not None
    assert hindrance.guard is Guard.SWITCHED_OFF
    assert plan.handover.acted.tracks == {}


def test_without_a_policy_it_is_a_dry_run_of_the_weakest_hint() -> None:
    plan = evaluate(three(8), NOW)
    assert (
        steps(plan)["a"].sentence == "dry run (modes.placement is Recommend, not Enforce): let the pods prefer node n0"
    )


def test_what_was_sent_keeps_its_place_until_it_is_seen() -> None:
    """A job of higher priority comes while the first is on its way: it is told to wait."""
    before = enforced(three(8))
    plan = evaluate(before, NOW)
    urgent = (*before.pods[:1], waiting("b", priority=100, created_at=1.0), *before.pods[2:])
    again = evaluate(written(before, plan, pods=urgent), NOW + 10.0)
    assert places(again)["a"][0] == "Place"
    (told,) = again.workloads[1].together
    assert (places(again)["b"][0], told.outcome) == ("None", "None")
    assert "ahead: team-a/a (8 GPUs, on its way)" in told.message
    late = evaluate(written(before, plan, pods=urgent), NOW + 60.0)
    assert places(late)["b"][0] == "Place"
    assert [each.reason for each in late.acts.withdrawals] == ["NotSeen"]


def test_bound_pods_are_what_was_wanted() -> None:
    before = enforced(three(8))
    plan = evaluate(before, NOW)
    bound = (pod("a-0", "a", node="n0"), *before.pods[1:])
    after = evaluate(written(before, plan, pods=bound, nodes=(node("n0", used=8),)), NOW + 10.0)
    assert after.acts.withdrawals == ()
    assert not after.handover.acted.tracks[TAG].on_its_way


def suspended(*, selector: dict[str, str] | None = None) -> HeldOwner:
    said = selector or {}
    constraints = Constraints.read({"nodeSelector": said})
    template = HeldTemplate(selector=said, gpus={"nvidia.com/gpu": 8}, constraints=constraints)
    return HeldOwner("team-a", "Job", "a", "u", templates=(template,))


HINT = Tag("team-a/a", ActionType.NODE_SELECTOR)


def held_alone() -> Snapshot:
    before = enforced(three(8))
    return replace(before, workloads=before.workloads[:1], pods=(), held=(suspended(),))


def test_a_suspended_job_is_told_in_its_template_until_that_is_seen() -> None:
    before = held_alone()
    plan = evaluate(before, NOW)
    product = before.nodes[0].product_label
    assert steps(plan)["a"].sentence == (
        f"select nvidia.com/gpu.product={product} in the template of Job a: there is room on node n0"
    )
    (hint,) = plan.hints
    assert (hint.owner, hint.change) == (suspended(), {"nodeSelector": {"nvidia.com/gpu.product": product}})
    again = evaluate(written(before, plan), NOW + 5.0)
    assert again.hints == (hint,), "said again until the cluster shows it"
    there = suspended(selector={"nvidia.com/gpu.product": str(product)})
    after = evaluate(written(before, plan, held=(there,)), NOW + 10.0)
    assert not after.handover.acted.tracks[HINT].on_its_way
    assert after.hints == ()
    assert "a" not in steps(after), "what stands there is not proposed"


def test_a_job_that_is_taken_up_first_runs_as_it_is() -> None:
    before = held_alone()
    plan = evaluate(before, NOW)
    after = evaluate(written(before, plan, pods=(waiting("a"),), held=()), NOW + 10.0)
    assert not after.handover.acted.tracks[HINT].on_its_way
    assert after.hints == ()


def test_what_runs_is_proposed_nothing_in_its_template() -> None:
    plan = evaluate(replace(held_alone(), held=()), NOW)
    hindrance = steps(plan)["a"].hindrance
    assert hindrance is not None
    assert hindrance.guard is Guard.NOT_HELD
    assert plan.hints == ()


def test_a_template_says_which_nodes_it_admits() -> None:
    """A place that its own words exclude is none."""
    before = held_alone()
    elsewhere = replace(before, held=(suspended(selector={"kubernetes.io/hostname": "none-such"}),))
    assert places(evaluate(elsewhere, NOW))["a"][0] == "None"


def test_a_hint_whose_telemetry_is_gone_is_neither_sent_nor_taken_back() -> None:
    before = held_alone()
    plan = evaluate(before, NOW)
    assert evaluate(replace(before, fleet=FleetReadings()), NOW).hints == ()
    there = suspended(selector={"nvidia.com/gpu.product": str(before.nodes[0].product_label)})
    blind = evaluate(written(before, plan, held=(there,), fleet=FleetReadings()), NOW + 900.0)
    assert (blind.hints, blind.acts.withdrawals) == ((), ())


def test_a_workload_that_is_gone_is_withdrawn_in_time() -> None:
    before = enforced(three(8))
    plan = evaluate(before, NOW)
    after = evaluate(replace(written(before, plan), workloads=(), pods=()), NOW + 60.0)
    assert [each.reason for each in after.acts.withdrawals] == ["NotSeen"]


def test_a_policy_that_changed_binds_those_who_are_not_judged_now() -> None:
    before = enforced(three(8), on=True, modes={"placement": "Recommend"})
    plan = evaluate(before, NOW)
    assert steps(plan)["a"].dry_run
    binding = written(before, plan, policies=(policy(),), turn=frozenset())
    assert not steps(evaluate(binding, NOW + 1.0))["a"].dry_run


def test_silent_telemetry_holds_everything_back() -> None:
    silent = replace(enforced(three(8)), fleet=FleetReadings())
    hindrance = steps(evaluate(silent, NOW))["a"].hindrance
    assert hindrance is not None
    assert hindrance.guard is Guard.STALE


def test_one_that_speaks_up_proposes_its_new_place() -> None:
    before = enforced(three(8, 0))
    plan = evaluate(before, NOW)
    after = written(before, plan, nodes=three(8, 8).nodes, turn=frozenset())
    assert steps(evaluate(after, NOW + 1.0))["b"].sentence == "keep the pods to node n1"


def test_scaling_is_proposed_for_what_can_be_scaled() -> None:
    """Without readings there is nothing to scale by, so nothing is proposed."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serve"}
    view = workload("serve", {**SERVING, "targetRef": target})
    plan = evaluate(Snapshot((view,), (pod("s-0", "serve", gpus=1),), (node("n0"),), (), {"team-a": {}}), NOW)
    assert plan.acts.steps == ()


def opened(plan: Plan) -> dict[str, tuple[bool, str]]:
    """By pod: does a hint go with it, and what is said."""
    return {each.pod: (each.affinity is not None, each.words) for each in plan.releases}


def test_the_hint_goes_to_every_pod_behind_the_gate_until_it_is_through() -> None:
    before = enforced(three(8))
    plan = evaluate(before, NOW)
    assert opened(plan) == {"a-0": (True, "keep the pods to node n0")}
    (event,) = [event for each in plan.workloads for event in each.events if event.reason == "ActionSent"]
    assert event.message == "keep the pods to node n0"
    again = evaluate(written(before, plan), NOW + 10.0)
    assert opened(again) == opened(plan), "level-triggered: not seen through the watch yet"
    assert not [event for each in again.workloads for event in each.events if event.reason == "ActionSent"]
    through = (waiting("a", gated=False), *before.pods[1:])
    assert opened(evaluate(written(before, plan, pods=through), NOW + 10.0)) == {}


def test_after_the_deadline_the_hint_is_taken_back_and_said() -> None:
    before = enforced(three(8))
    plan = evaluate(before, NOW)
    through = (waiting("a", gated=False), *before.pods[1:])
    late = evaluate(written(before, plan, pods=through), NOW + 60.0)
    (event,) = [event for each in late.workloads for event in each.events if event.reason == "ActionWithdrawn"]
    assert (event.type, event.message) == ("Warning", "NotSeen: not seen within 60 s: keep the pods to node n0")
    assert opened(late) == {}


def test_a_gate_before_which_nothing_will_ever_come_opens_at_once() -> None:
    for changes in ({"modes": {"placement": "Recommend"}}, {"actions": [{"type": "NodeSelector"}]}):
        plan = evaluate(enforced(three(8), **changes), NOW)
        (hint, words) = opened(plan)["a-0"]
        assert not hint
        assert words.startswith("released as it is: ")


def test_gates_stay_shut_while_a_place_or_readings_may_still_come() -> None:
    assert opened(evaluate(enforced(three(0)), NOW)) == {}
    assert opened(evaluate(replace(enforced(three(8)), fleet=FleetReadings()), NOW)) == {}


def test_an_operator_that_carries_nothing_out_opens_nothing() -> None:
    assert opened(evaluate(enforced(three(8), on=False), NOW)) == {}
    assert opened(evaluate(enforced(three(8), on=False, modes={"placement": "Recommend"}), NOW)) == {}


def test_a_job_is_not_sent_before_all_its_pods_are_there() -> None:
    before = enforced(three(8))
    half = (waiting("a", gpus=4), *before.pods[1:])
    plan = evaluate(replace(before, pods=half), NOW)
    hindrance = steps(plan)["a"].hindrance
    assert hindrance is not None
    assert (hindrance.guard, hindrance.message) == (Guard.INCOMPLETE, "pods for 4 of its GPUs are not there yet")
    assert opened(plan) == {}


def test_pods_that_no_gate_holds_are_the_schedulers() -> None:
    before = enforced(three(8))
    plan = evaluate(replace(before, pods=(waiting("a", gated=False), *before.pods[1:])), NOW)
    hindrance = steps(plan)["a"].hindrance
    assert hindrance is not None
    assert hindrance.guard is Guard.NOT_GATED


def test_a_paused_workload_is_left_to_its_deadline() -> None:
    before = enforced(three(8))
    paused = (replace(before.workloads[0], paused=True), *before.workloads[1:])
    assert "a-0" not in opened(evaluate(replace(before, workloads=paused), NOW))


def test_each_rank_gets_its_own_node() -> None:
    """Eight GPUs in four pods, four free on each of two nodes: neighbours in rank share a node."""
    before = enforced(three(0))
    label = "batch.kubernetes.io/job-completion-index"

    def ranked(rank: int) -> PodView:
        made = waiting("a", gpus=2)
        return replace(made, name=f"a-{rank}", uid=f"uid-{rank}", labels={**made.labels, label: str(rank)})

    ranks = [ranked(rank) for rank in range(4)]
    used = {"nvidia.com/gpu": 4}
    nodes = tuple(replace(node(name, used=0), used=used) for name in ("n0", "n1"))
    snapshot = replace(before, pods=tuple(ranks), nodes=nodes)
    plan = evaluate(snapshot, NOW)
    said = {each.pod: each.words for each in plan.releases}
    assert said == {
        f"a-{rank}": f"keep the pods to node n0, node n1: rank {rank} to node n{rank // 2}" for rank in range(4)
    }
    kept = {each.pod: str(each.affinity) for each in plan.releases}
    assert all(f"'values': ['n{rank // 2}']" in kept[f"a-{rank}"] for rank in range(4))
    assert {each.rank_order for each in plan.releases} == {"n0=0-1,n1=2-3"}
