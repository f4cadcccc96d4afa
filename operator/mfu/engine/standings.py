"""How one judged workload stands among all: what it holds, what it still lacks, and when its turn is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mfu.act.templates import HeldOwner
from mfu.api.modelworkload import Mode, WorkloadSpec
from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, NodeView, Outcome
from mfu.decide.types import Mode as PolicyMode
from mfu.engine.demand import replicas_of
from mfu.engine.holdings.workload import Candidate
from mfu.engine.views import PodView, WorkloadView
from mfu.engine.worths import valued
from mfu.hardware.catalog import load
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.types import GPU
from mfu.predict.types import Corrections, Prediction, Setup

_HELD_BACK: Final = (Outcome.HOLD, Outcome.REFUSE)


def standing_of(
    view: WorkloadView,
    pods: Sequence[PodView],
    nodes: Mapping[str, NodeView],
    *,
    policy: EffectivePolicy,
    predictions: Sequence[tuple[Candidate, Prediction]],
    decided: Sequence[Decision],
    setup: Setup | None,
    corrections: Corrections,
    queued: int | None = None,
    held: HeldOwner | None = None,
) -> Standing:
    """What could not be predicted, and what an enforced admission holds back, asks for nothing.

    `queued` is the priority that Kueue gave it, which counts while no pod has one of its own. `held` is its owner while
    nothing of it runs: its template says what pods will ask for.
    """
    waiting = [pod for pod in pods if pod.active and pod.node is None and pod.gpus]
    made = Standing(
        key=view.key,
        policy=policy,
        priority=max((pod.priority for pod in pods if pod.active and pod.priority is not None), default=queued or 0),
        waiting_since=min((pod.created_at for pod in waiting), default=view.created_at),
        pending=bool(waiting),
        queued=queued is not None,
        gated=any(pod.gated for pod in waiting),
        missing=_missing(view.spec, pods),
        replicas=replicas_of(view.spec, [pod for pod in pods if pod.active]),
        holds=_holds(pods, nodes),
    )
    if view.spec is None or setup is None or not predictions or _held_back(decided):
        return made
    shape = _shape(view.spec, pods, predictions)
    if held is not None and not pods:
        shape = _as_templates_say(shape, held)
    growth = next((each for each in decided if _grows(each, view.spec, pods)), None)
    ask = _ask(view.spec, shape, pods, waiting)
    if ask is not None:
        ask = valued(ask, view.spec, setup, predictions=predictions, policy=policy, corrections=corrections)
    return replace(
        made,
        gain=predictions[0][1].reference_mfu or 0.0,
        ask=ask,
        admission=next((each for each in decided if each.type is DecisionType.ADMISSION), None),
        growth=growth,
        replica=_more(shape, growth, view.spec, pods) if growth else None,
    )


def _missing(spec: WorkloadSpec | None, pods: Sequence[PodView]) -> int:
    if spec is None or spec.mode is Mode.INFERENCE or not pods:
        return 0
    return max(0, spec.accelerators.count - sum(sum(pod.gpus.values()) for pod in pods if pod.active))


def _holds(pods: Sequence[PodView], nodes: Mapping[str, NodeView]) -> dict[DeviceKind, int]:
    held: Counter[DeviceKind] = Counter()
    for pod in pods:
        node = nodes.get(pod.node or "") if pod.bound else None
        if node is None or node.product_label is None:
            continue
        for resource, amount in pod.gpus.items():
            if pod.portion is not None or node.sliced(resource):
                continue
            profile = resource.removeprefix(MIG_PREFIX) if resource.startswith(MIG_PREFIX) else ""
            held[DeviceKind(profile, node.product_label)] += amount
    return dict(held)


def _held_back(decided: Sequence[Decision]) -> bool:
    return any(
        each.type is DecisionType.ADMISSION and each.outcome in _HELD_BACK and each.mode is PolicyMode.ENFORCE
        for each in decided
    )


def _shape(spec: WorkloadSpec, pods: Sequence[PodView], predictions: Sequence[tuple[Candidate, Prediction]]) -> Need:
    """One copy: a training job as a whole, or one replica."""
    count = spec.accelerators.count
    piece = max((sum(pod.gpus.values()) for pod in pods if pod.active), default=1)
    keys = (candidate.placement.device.gpu.key for candidate, each in predictions if not each.memory.fits)
    return Need(
        gpus=count,
        piece=max(1, min(piece, count)),
        tensor=min(count, spec.parallelism.tensor),
        profile=spec.accelerators.mig_profile,
        products=_allowed(spec),
        unfit=frozenset(keys),
    )


def _as_templates_say(shape: Need, held: HeldOwner) -> Need:
    piece = max((sum(each.gpus.values()) for each in held.templates), default=shape.piece)
    constraints = tuple(sorted({each.constraints for each in held.templates}, key=str))
    return replace(shape, piece=max(1, min(piece, shape.gpus)), constraints=constraints)


def _allowed(spec: WorkloadSpec) -> frozenset[str]:
    found = (load().by_api_name(name) for name in spec.accelerators.products)
    return frozenset(gpu.key for gpu in found if isinstance(gpu, GPU))


def _ask(spec: WorkloadSpec, shape: Need, pods: Sequence[PodView], waiting: Sequence[PodView]) -> Need | None:
    """What waiting pods lack; the whole declaration while there are no pods at all."""
    if waiting:
        lacking = sum(sum(pod.gpus.values()) for pod in waiting)
        shape = replace(shape, constraints=_constraints(waiting))
        if spec.mode is Mode.INFERENCE:
            return replace(shape, copies=max(1, lacking // shape.gpus))
        return replace(shape, gpus=lacking, tensor=min(shape.tensor, lacking))
    return None if pods else shape


def _constraints(waiting: Sequence[PodView]) -> tuple[Constraints, ...]:
    """In a fixed order."""
    known = {pod.constraints for pod in waiting if pod.constraints is not None}
    return tuple(sorted(known, key=str))


def _grows(decision: Decision, spec: WorkloadSpec, pods: Sequence[PodView]) -> bool:
    scales = decision.type is DecisionType.SCALING and decision.outcome is Outcome.SCALE
    return scales and _wanted(decision) > replicas_of(spec, [pod for pod in pods if pod.bound])


def _more(shape: Need, growth: Decision, spec: WorkloadSpec, pods: Sequence[PodView]) -> Need | None:
    """Replicas beyond those that wait already; None where all of them do."""
    copies = _wanted(growth) - replicas_of(spec, [pod for pod in pods if pod.bound])
    copies -= replicas_of(spec, [pod for pod in pods if pod.active and pod.node is None and pod.gpus])
    return replace(shape, copies=copies) if copies > 0 else None


def _wanted(decision: Decision) -> int:
    return int((decision.hint or {}).get("replicas", 0))
