"""From readings to the soft taint on a slow node, through whole cycles: proposed, put on, renewed and given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from mfu.act.slowing import RENEWED_SECONDS, SLOW_VALID_SECONDS, SlowOrder
from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.powers import ActionType
from mfu.decide.fleet.slow_nodes import KEPT_SECONDS, WINDOW_SECONDS
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot, WorkloadView
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.observe.readings import WorkloadSeries
from tests.builders.fleets import H100
from tests.decide.test_slow_nodes import NOW, series

TAINT: Final = ActionType.PREFER_NO_SCHEDULE
SLOW: Final = (0.7, 1.0, 1.0, 1.0)
FAST: Final = (1.0, 1.0, 1.0, 1.0)


def workload(space: str) -> WorkloadView:
    document = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "a"},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": 8, "products": ["H100-SXM5"]},
        "training": {"sequenceLength": 4096, "globalBatchSize": 64},
    }
    return WorkloadView(space, "a", f"uid-{space}", 1, NOW, WorkloadSpec.model_validate(document))


def policy(mode: str = "Enforce", **permit: Any) -> PolicyView:
    action = {"type": "PreferNoSchedule", "minConfidencePercent": 60, "maxReadingAgeSeconds": 120, **permit}
    listed = [action] if mode != "Unlisted" else []
    modes = {"placement": "Enforce" if mode == "Unlisted" else mode}
    return PolicyView(
        "p", "p", 1, PolicySpec.model_validate({"namespaceSelector": {}, "modes": modes, "actions": listed})
    )


class Cluster:
    """Cycles over the same workloads on four nodes; what a plan asks for is done to the nodes."""

    def __init__(self, *spaces: str, mode: str = "Enforce", **permit: Any) -> None:
        self.spaces = spaces or ("a", "b")
        self.policies: tuple[PolicyView, ...] = (policy(mode, **permit),)
        device = load().resolve(H100)
        assert isinstance(device, Device)
        self.nodes = {name: NodeView(name, H100, device, 8) for name in ("n0", "n1", "n2", "n3")}
        self.before: Plan | None = None
        self.obeys = True
        self.switched_on = frozenset({TAINT})

    def cycle(self, at: float, clocks: Mapping[str, tuple[float, ...]] | tuple[float, ...]) -> Plan:
        shown = clocks if isinstance(clocks, Mapping) else dict.fromkeys(self.spaces, clocks)
        read = {f"{space}/a": self._at(series(*each), NOW + at) for space, each in shown.items()}
        snapshot = Snapshot(
            workloads=tuple(workload(space) for space in self.spaces),
            nodes=tuple(self.nodes.values()),
            policies=self.policies,
            namespaces={space: {"of": space} for space in self.spaces},
            series=read,
            switched_on=self.switched_on,
            fleet=FleetReadings(observed_at=self._at(series(*FAST), NOW + at).times[-1:]),
        )
        if self.before is not None:
            snapshot = replace(snapshot, before=self.before.handover)
        self.before = evaluate(snapshot, NOW + at)
        if self.obeys:
            for each in self.before.slowed:
                self.nodes[each.node] = replace(self.nodes[each.node], slow_until=each.until)
        return self.before

    def _at(self, made: WorkloadSeries, now: float) -> WorkloadSeries:
        return replace(made, times=made.times - NOW + now)

    def seen_slow(self) -> Plan:
        self.cycle(0.0, SLOW)
        return self.cycle(WINDOW_SECONDS, SLOW)

    @property
    def marked(self) -> set[str]:
        return {name for name, node in self.nodes.items() if node.slow_until is not None}


def dry(plan: Plan) -> list[str]:
    return [each.hindrance.message for each in plan.acts.steps if each.action.type is TAINT and each.hindrance]


def test_what_two_namespaces_show_over_two_windows_is_marked_and_said() -> None:
    cluster = Cluster()
    assert cluster.cycle(0.0, SLOW).slowed == ()
    plan = cluster.cycle(WINDOW_SECONDS, SLOW)
    words = "let pods prefer other nodes to n0: 30% behind its peers at the work of a/a, b/a"
    assert plan.slowed == (SlowOrder("n0", words, int(NOW + WINDOW_SECONDS + SLOW_VALID_SECONDS)),)
    assert [each.message for one in plan.workloads for each in one.events if each.reason == "ActionSent"] == [words]
    assert cluster.cycle(WINDOW_SECONDS + 60.0, SLOW).slowed == (), "it carries the taint, and long enough"


def test_what_one_namespace_shows_marks_nothing() -> None:
    cluster = Cluster()
    for at in range(0, 7200, 600):
        plan = cluster.cycle(float(at), {"a": SLOW, "b": FAST})
        assert (plan.slowed, dry(plan)) == ((), [])


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        (Cluster(mode="Recommend"), "modes.placement is Recommend, not Enforce"),
        (Cluster(mode="Unlisted"), "the policy's actions do not list PreferNoSchedule"),
        (Cluster(minConfidencePercent=100), "confidence is 95%"),
    ],
    ids=["recommend", "unlisted", "unsure"],
)
def test_without_the_policys_word_it_is_a_dry_run(cluster: Cluster, why: str) -> None:
    plan = cluster.seen_slow()
    assert plan.slowed == ()
    (said,) = dry(plan)
    assert why in said


def test_the_policy_of_the_second_namespace_has_to_agree() -> None:
    cluster = Cluster()
    theirs = PolicySpec.model_validate({"namespaceSelector": {"matchLabels": {"of": "b"}}, "priority": 9})
    cluster.policies = (*cluster.policies, PolicyView("q", "q", 1, theirs))
    plan = cluster.seen_slow()
    assert plan.slowed == ()
    assert "modes.placement is Recommend, not Enforce" in dry(plan)[0]


def test_an_operator_that_does_not_carry_it_out_only_says_it() -> None:
    cluster = Cluster()
    cluster.switched_on = frozenset()
    plan = cluster.seen_slow()
    assert plan.slowed == ()
    assert "does not carry out PreferNoSchedule" in dry(plan)[0]


def test_it_is_given_back_when_it_is_as_fast_as_others_again() -> None:
    cluster = Cluster()
    cluster.seen_slow()
    assert cluster.marked == {"n0"}
    plan = cluster.cycle(2 * WINDOW_SECONDS, {"a": FAST, "b": SLOW})
    assert [(each.node, each.until) for each in plan.slowed] == [("n0", None)]
    assert cluster.marked == set()


def test_it_is_renewed_while_it_is_so_and_given_back_when_the_evidence_is_old() -> None:
    cluster = Cluster()
    cluster.seen_slow()
    late = WINDOW_SECONDS + SLOW_VALID_SECONDS - RENEWED_SECONDS + 1.0
    plan = cluster.cycle(late, SLOW)
    assert [each.until for each in plan.slowed] == [int(NOW + late + SLOW_VALID_SECONDS)]
    # Nobody runs there any more: what was seen stands for a while, and then no longer.
    assert cluster.cycle(late + KEPT_SECONDS - 1.0, {}).slowed != (), "renewed once more"
    plan = cluster.cycle(late + KEPT_SECONDS + 1.0, {})
    assert [(each.node, each.until) for each in plan.slowed] == [("n0", None)]


def test_a_policy_that_takes_its_word_back_gives_it_back_at_once() -> None:
    cluster = Cluster()
    cluster.seen_slow()
    cluster.policies = (policy("Recommend"),)
    assert [each.until for each in cluster.cycle(WINDOW_SECONDS + 60.0, SLOW).slowed] == [None]


def test_after_a_start_a_mark_stands_until_its_end() -> None:
    cluster = Cluster()
    cluster.seen_slow()
    cluster.before = None
    assert cluster.cycle(WINDOW_SECONDS + 60.0, FAST).slowed == ()
    plan = cluster.cycle(WINDOW_SECONDS + SLOW_VALID_SECONDS + 1.0, FAST)
    assert [(each.node, each.until) for each in plan.slowed] == [("n0", None)]


def test_what_is_not_seen_in_time_is_withdrawn_and_tried_again_later() -> None:
    cluster = Cluster(dwellSeconds=0)
    cluster.obeys = False
    assert len(cluster.seen_slow().slowed) == 1
    assert len(cluster.cycle(WINDOW_SECONDS + 30.0, SLOW).slowed) == 1, "said again until it is seen"
    plan = cluster.cycle(WINDOW_SECONDS + 61.0, SLOW)
    assert [each.reason for each in plan.acts.withdrawals] == ["NotSeen"]


def test_old_readings_mark_nothing() -> None:
    cluster = Cluster()
    cluster.switched_on = frozenset()
    cluster.seen_slow()
    cluster.switched_on = frozenset({TAINT})
    plan = cluster.cycle(WINDOW_SECONDS + 300.0, {})
    assert plan.slowed == ()
    assert dry(plan) == ["readings are 300 s old, actions[PreferNoSchedule].maxReadingAgeSeconds is 120"]
