"""What would change for everybody if one workload came, or were not there: the cycle, evaluated twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mfu.act.types import Step
from mfu.api import decisions as api
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.fitting import Grant, offers
from mfu.decide.fleet.partitions import cut_for
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Outcome
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.problem import Problem
from mfu.hardware.products import product_named
from mfu.predict.declared import from_spec
from mfu.predict.types import Inference

MOST_OF_A_POD: Final = 8
"""GPUs of one pod of a workload that has no pods yet: as many as usual nodes have."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """A workload that is told something else because of it."""

    workload: str
    before: Decision
    after: Decision


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One workload among all others."""

    plan: WorkloadPlan
    steps: tuple[Step, ...]
    displaced: tuple[Displaced, ...]
    ranked: tuple[Grant, ...] = ()
    """The best free place of each product now, the best first."""
    cut: tuple[DeviceKind, ...] = ()
    """What a DRA driver would cut for it: slices, the most MFU for the money first, then the whole GPU."""

    @property
    def decisions(self) -> tuple[api.Decision, ...]:
        """Admission and place, as its status says them."""
        wanted = (api.DecisionType.ADMISSION, api.DecisionType.PLACEMENT)
        return tuple(each for each in self.plan.status.read().decisions if each.type in wanted)

    @property
    def grants(self) -> tuple[Grant, ...]:
        return next((step.action.grants for step in self.steps if step.action.grants), ())


def what_if(snapshot: Snapshot, key: str, now: float) -> WhatIf:
    """Raises KeyError where the snapshot has no such workload."""
    mine = next((each for each in snapshot.workloads if each.key == key), None)
    if mine is None:
        raise KeyError(key)
    with_it = evaluate(snapshot, now)
    others = tuple(each for each in snapshot.workloads if each is not mine)
    without = evaluate(replace(snapshot, workloads=others, claims=None), now)
    plan = next(each for each in with_it.workloads if each.key == key)
    steps = tuple(step for step in with_it.acts.steps if step.action.workload == key)
    return WhatIf(plan, steps, _displaced(without, with_it), _ranked(plan, without), _cut(plan, mine, snapshot))


def _ranked(plan: WorkloadPlan, without: Plan) -> tuple[Grant, ...]:
    """Of what is free, whoever else waits for it."""
    ask = plan.standing.ask if plan.standing else None
    return tuple(offers(ask, without.supply.capacity)) if ask and without.supply else ()


def _cut(plan: WorkloadPlan, view: WorkloadView, snapshot: Snapshot) -> tuple[DeviceKind, ...]:
    """Of a model that is served from one device."""
    spec = view.spec
    if spec is None or spec.accelerators.count != 1 or not snapshot.partitioned:
        return ()
    setup = from_spec(spec)
    if not isinstance(setup, Inference):
        return ()
    named = [product_named(each, "accelerators.products") for each in spec.accelerators.products]
    allowed = frozenset(each.key for each in named if not isinstance(each, Problem))
    policy = plan.standing.policy if plan.standing else EffectivePolicy()
    return cut_for(setup, snapshot.partitioned, policy.prices, allowed)


def _displaced(without: Plan, with_it: Plan) -> tuple[Displaced, ...]:
    after = {each.key: each for each in with_it.workloads}
    found = []
    for plan in without.workloads:
        was, is_now = _place(plan), _place(after[plan.key])
        if was is None or is_now is None or (was.outcome, plan.places) == (is_now.outcome, after[plan.key].places):
            continue
        found.append(Displaced(plan.key, was, is_now))
    return tuple(sorted(found, key=lambda each: (each.after.outcome is Outcome.PLACE, each.workload)))


def _place(plan: WorkloadPlan) -> Decision | None:
    return next((each for each in plan.together if each.type is DecisionType.PLACEMENT), None)


def arriving(
    snapshot: Snapshot, spec: WorkloadSpec, *, namespace: str, name: str, now: float, priority: int = 0
) -> Snapshot:
    """The same cluster with this workload's pods waiting in it, as if they had been created at `now`."""
    key, uid = f"{namespace}/{name}", f"{namespace}-{name}"
    per_pod = min(spec.accelerators.count, MOST_OF_A_POD)
    view = WorkloadView(namespace, name, uid, 1, now, spec)
    pods = tuple(
        PodView(
            namespace=namespace,
            name=f"{name}-{index}",
            uid=f"{uid}-{index}",
            created_at=now,
            node=None,
            phase="Pending",
            labels={WORKLOAD_LABEL: name},
            gpus={_resource(spec): per_pod},
            priority=priority,
        )
        for index in range(-(-spec.accelerators.count // per_pod))
    )
    others = tuple(each for each in snapshot.workloads if each.key != key)
    return replace(snapshot, workloads=(*others, view), pods=(*snapshot.pods, *pods), claims=None)


def _resource(spec: WorkloadSpec) -> str:
    profile = spec.accelerators.mig_profile
    return f"{MIG_PREFIX}{profile}" if profile else spec.accelerators.resource_name
