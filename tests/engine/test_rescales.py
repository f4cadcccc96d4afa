"""Replicas through the scale subresource, in the cycle: off by default, said until seen, and never half-way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mfu.act.types import Guard, Rescale, Tag
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType
from mfu.decide.replicas.rule import WINDOW_SECONDS
from mfu.engine.demand import replicas_of
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot
from mfu.observe.readings import METRICS, Counter, Gauge, ProgressReading, WorkloadSeries
from tests.builders.cases import SERVING, node
from tests.builders.scenes import NOW, identity, pod, workload, written

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serve"}
VIEW = workload("serve", {**SERVING, "targetRef": TARGET})
TAG = Tag(VIEW.key, ActionType.SCALE)
SPEC = {
    "modes": {"scaling": "Enforce"},
    "actions": [{"type": "Scale", "minConfidencePercent": 0, "dwellSeconds": 0}],
    "scaling": {"delivery": "ScaleSubresource", "maxStepPercent": 300, "cooldownSeconds": 60, "maxReplicas": 20},
}


@dataclass
class Service:
    """A Deployment whose pods do what they are told, read every ten seconds."""

    pods: int = 2
    on: bool = True
    spec: dict[str, Any] = field(default_factory=lambda: SPEC)
    now: float = NOW
    snapshot: Snapshot = field(default_factory=Snapshot)
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        policy = PolicyView("p", "uid-p", 1, PolicySpec.model_validate(self.spec))
        switched_on = frozenset({ActionType.SCALE}) if self.on else frozenset[ActionType]()
        self.snapshot = Snapshot((VIEW,), (), (), (policy,), {"team-a": {}}, switched_on=switched_on)

    def pass_(self, tokens_per_s: float | None, *, seconds: float = 10.0) -> Service:
        """`tokens_per_s` of the whole service; None where nothing is read."""
        self.now += seconds
        pods = tuple(pod(f"s-{each}", "serve", gpus=1) for each in range(self.pods))
        series = {} if tokens_per_s is None else {VIEW.key: self._read(tokens_per_s)}
        fleet = FleetReadings() if tokens_per_s is None else _fresh(self.now)
        nodes = (node("n0", used=self.pods), node("n1"))
        around = replace(self.snapshot, pods=pods, nodes=nodes, series=series, fleet=fleet)
        self.plan = evaluate(around, self.now)
        self.snapshot = written(around, self.plan)
        return self

    def _read(self, tokens_per_s: float) -> WorkloadSeries:
        each, times = tokens_per_s / self.pods, self.now - 10.0 * np.arange(60.0)[::-1]
        readings = tuple(
            ProgressReading(
                *("team-a", f"s-{index}", "vLLM", at),
                {Counter.DECODE_TOKENS: each * (at - NOW), Counter.PREFILL_TOKENS: 4 * each * (at - NOW)},
                {Gauge.RUNNING_REQUESTS: 200.0, Gauge.WAITING_REQUESTS: 0.0},
            )
            for at in times.tolist()
            for index in range(self.pods)
        )
        return WorkloadSeries((), times, np.zeros((60, 0, METRICS)), 10.0, readings, ("test",))

    @property
    def asked(self) -> list[tuple[int, int]]:
        return [(each.had, each.replicas) for each in self.plan.rescales]


def _fresh(now: float) -> FleetReadings:
    seen = FleetReadings((identity(0),), observed_at=np.array([now - 5.0]))
    return replace(seen, values=np.full((1, seen.values.shape[1]), np.nan))


BUSY = 40_000.0
"""Tokens/s of a service that two replicas can not carry within its bounds."""


def test_more_is_asked_for_until_it_is_there() -> None:
    service = Service().pass_(BUSY)
    (told,) = service.plan.rescales
    assert isinstance(told, Rescale)
    assert (told.namespace, told.kind, told.name, told.had) == ("team-a", "Deployment", "serve", 2)
    assert told.replicas > 2
    assert told.words == f"scale Deployment serve to {told.replicas} replicas"
    assert service.pass_(BUSY).asked == [(2, told.replicas)], "said until the cluster shows it"
    service.pods = told.replicas
    assert service.pass_(BUSY).asked == []
    assert not service.plan.handover.acted.tracks[TAG].on_its_way


def test_what_never_shows_is_withdrawn_and_said() -> None:
    service = Service().pass_(BUSY)
    service.pass_(BUSY, seconds=61.0)
    assert [each.reason for each in service.plan.acts.withdrawals] == ["NotSeen"]


def test_the_dry_run_says_the_same_words() -> None:
    service = Service(on=False).pass_(BUSY)
    (step,) = service.plan.acts.steps
    assert step.hindrance is not None
    assert step.hindrance.guard is Guard.SWITCHED_OFF
    assert step.sentence.endswith(Service().pass_(BUSY).plan.acts.steps[0].sentence)
    assert service.plan.rescales == ()


def test_an_autoscaler_that_is_to_follow_is_left_alone() -> None:
    metric = {**SPEC, "scaling": {**SPEC["scaling"], "delivery": "Metric"}}  # type: ignore[dict-item]
    service = Service(spec=metric).pass_(BUSY)
    assert (service.plan.acts.steps, service.plan.rescales) == ((), ())


def test_telemetry_that_is_lost_on_the_way_freezes_the_number() -> None:
    """What was asked for is seen through or withdrawn; nothing new is asked for, and nothing is given back."""
    service = Service().pass_(BUSY)
    ((had, wanted),) = service.asked
    service.pods = wanted
    for _ in range(90):
        service.pass_(None)
        assert all(each == (had, wanted) for each in service.asked)
    assert service.asked == []


def test_an_operator_that_starts_anew_asks_for_the_same() -> None:
    service = Service().pass_(BUSY)
    before = service.asked
    service.snapshot = replace(service.snapshot, before=Snapshot().before)
    assert service.pass_(BUSY).asked == before


def test_fewer_only_after_a_window_and_then_until_seen() -> None:
    service = Service(pods=6).pass_(2_000.0)
    assert service.asked == []
    while not service.plan.rescales:
        service.pass_(2_000.0 + service.now % 7)
        assert service.now < NOW + 600.0
    assert service.now >= NOW + WINDOW_SECONDS
    (told,) = service.plan.rescales
    assert told.replicas < told.had == 6
    service.pods = 5
    assert service.pass_(2_003.0).asked in ([(5, told.replicas)], []), "half of it is not all of it"
    service.pods = told.replicas
    assert service.pass_(2_001.0).asked == []


def test_a_replica_of_several_pods_counts_once() -> None:
    wide = workload("w", {**SERVING, "accelerators": {"count": 16, "products": ["H100-SXM5"]}}).spec
    assert replicas_of(wide, [pod(f"w-{each}") for each in range(4)]) == 2
    assert replicas_of(VIEW.spec, [pod(f"s-{each}", gpus=1) for each in range(4)]) == 4
    assert replicas_of(None, []) == 0
