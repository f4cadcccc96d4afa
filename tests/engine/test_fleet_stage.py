"""Decisions about all in the cycle: who waits is told together, at once, and only what changed is said anew."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.mfupolicy import PolicySpec
from mfu.decide.fleet.capacity import DeviceKind
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import PolicyView, Queued, Snapshot
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.fleets import H100
from tests.builders.scenes import NOW, pod, three, waiting, workload, written


def places(plan: Plan) -> dict[str, tuple[str, str]]:
    """Outcome and message of the placement in each status."""
    return {
        each.name: (row["outcome"], row["message"])
        for each in plan.workloads
        for row in each.status.document().get("decisions") or ()
        if row["type"] == "Placement"
    }


def test_three_jobs_and_one_free_node() -> None:
    told = places(evaluate(three(8), NOW))
    assert told["a"] == ("Place", f"8 free {H100} together on node n0")
    for name in "bc":
        outcome, message = told[name]
        assert outcome == "None"
        assert "ahead: team-a/a (8 GPUs, priority 0)" in message


def test_the_priority_of_pods_decides() -> None:
    snapshot = three(8)
    pods = (*snapshot.pods[:2], waiting("c", priority=100, created_at=2.0))
    told = places(evaluate(replace(snapshot, pods=pods), NOW))
    assert [told[name][0] for name in "abc"] == ["None", "None", "Place"]


def test_what_kueue_queues_waits_in_earnest_before_it_has_pods() -> None:
    """Kueue's priority counts while there is no pod that has its own."""
    snapshot = three(8)
    queued = Queued("team-a", ("Job", "c"), 100)
    of_others = (Queued("team-b", ("Job", "a"), 500), Queued("team-a", ("JobSet", "b"), 500))
    told = places(evaluate(replace(snapshot, pods=snapshot.pods[:2], queued=(queued, *of_others)), NOW))
    assert [told[name][0] for name in "abc"] == ["None", "None", "Place"]
    pods = (*snapshot.pods[:2], waiting("c", priority=0, created_at=2.0))
    told = places(evaluate(replace(snapshot, pods=pods, queued=(queued,)), NOW))
    assert [told[name][0] for name in "abc"] == ["Place", "None", "None"]


def test_annotations_and_status_say_the_same() -> None:
    plan = evaluate(three(8), NOW)
    first = next(each for each in plan.workloads if each.name == "a")
    assert first.annotations["mfu.gpuaas.io/decision-placement"] == f"Place: 8 free {H100} together on node n0"
    assert "n0" in first.annotations["mfu.gpuaas.io/recommended-affinity"]
    kinds = [row["type"] for row in first.status.document()["decisions"]]
    assert kinds == ["Admission", "Placement", "Scaling"]


def test_one_that_is_not_judged_now_speaks_up_where_it_has_news() -> None:
    """A node was freed: only c is judged again, but b hears of its place as well."""
    before = three(8, 0)
    plan = evaluate(before, NOW)
    after = written(before, plan, nodes=three(8, 8).nodes, turn=frozenset({"uid-team-a-c"}))
    again = evaluate(after, NOW + 1.0)
    assert [places(again)[name][0] for name in "abc"] == ["Place", "Place", "None"]
    assert again.workloads[0].status is plan.workloads[0].status


def test_without_news_nobody_speaks_up() -> None:
    before = three(8, 0)
    plan = evaluate(before, NOW)
    again = evaluate(written(before, plan, turn=frozenset()), NOW + 1.0)
    assert all(mine.status is theirs.status for mine, theirs in zip(plan.workloads, again.workloads, strict=True))


def test_what_runs_is_named_as_the_holder() -> None:
    snapshot = three(0)
    pods = (pod("a-0", "a", node="n0"), *snapshot.pods[1:])
    told = places(evaluate(replace(snapshot, pods=pods), NOW))
    assert told["a"][0] == "Keep"
    assert told["b"][1].endswith("held by team-a/a (8)")


def test_what_waits_keeps_what_it_has_and_asks_for_the_rest() -> None:
    """Half of a job is bound: the other half is asked for, and said."""
    snapshot = three(4, 0)
    pods = (pod("a-0", "a", node="n1", gpus=4), waiting("a", gpus=4))
    plan = evaluate(replace(snapshot, workloads=snapshot.workloads[:1], pods=pods), NOW)
    standing = plan.workloads[0].standing
    assert standing is not None
    assert standing.holds == {DeviceKind("", H100): 4}
    assert places(plan)["a"] == ("Place", f"4 free {H100} together on node n0")


def test_a_finished_job_asks_for_nothing() -> None:
    snapshot = three(8)
    done = pod("a-0", "a", node="n0", phase="Succeeded")
    told = places(evaluate(replace(snapshot, workloads=snapshot.workloads[:1], pods=(done,)), NOW))
    assert told == {}


def test_a_job_without_pods_comes_after_those_that_wait() -> None:
    snapshot = three(8)
    told = places(evaluate(replace(snapshot, pods=snapshot.pods[1:]), NOW))
    assert [told[name][0] for name in "abc"] == ["None", "Place", "None"]


def test_replicas_wait_one_by_one() -> None:
    inference = {**SERVING["inference"], "parallelism": {"tensor": 4}}
    accelerators = {"count": 4, "products": ["H100-SXM5"]}
    view = workload("serve", {**SERVING, "inference": inference, "accelerators": accelerators})
    pods = tuple(pod(f"s-{index}", "serve", gpus=4, node=None, phase="Pending") for index in range(3))
    told = places(evaluate(Snapshot((view,), pods, (node("n0"),), (), {"team-a": {}}), NOW))
    assert told["serve"][1].startswith("2 of 3 replicas have a place")


def test_what_an_enforced_admission_holds_takes_no_place() -> None:
    large = {**TRAINING, "model": {"preset": "llama-3.1-405b"}}
    snapshot = three(8)
    held = (workload("a", large), *snapshot.workloads[1:])
    enforcing = PolicyView("p", "uid-p", 1, PolicySpec.model_validate({"modes": {"admission": "Enforce"}}))
    told = places(evaluate(replace(snapshot, workloads=held, policies=(enforcing,)), NOW))
    assert "a" not in told
    assert told["b"][0] == "Place"
