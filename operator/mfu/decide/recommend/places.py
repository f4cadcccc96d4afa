"""What could run somewhere better: groups packed together, a slice of a GPU, another product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from mfu.api.causes import Actor
from mfu.api.modelworkload import Objective
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend.recommended import NextStep, Reach
from mfu.decide.recommend.settings import changes, possible
from mfu.decide.types import EffectivePolicy, Subject
from mfu.hardware.catalog import load
from mfu.hardware.price import price_per_hour
from mfu.hardware.products import usual_node_gpus
from mfu.hardware.types import Device, MIGProfile
from mfu.predict import predict
from mfu.predict.declared import placement_for
from mfu.predict.types import Inference, Placement, Prediction, Tunable

CLEARLY_BETTER = 1.05 / 0.95
"""Another place is named from here on: two predictions may each be off by 5 %."""
_WORTH_SLICING = 1.25
"""Serving from slices has to be that much cheaper: a GPU must be drained for it, and slices were measured least."""
_NEARLY = 0.95
"""A layout that suits the present nodes and reaches this share of what packing would: nobody has to move."""


@dataclass(frozen=True, slots=True)
class ReplicaBounds:
    """How many replicas there may be."""

    low: int
    high: int

    def around(self, wanted: float) -> int:
        """`ReplicaBounds(1, 8).around(2.1) == 3`."""
        return min(self.high, max(self.low, ceil(wanted - 1e-9)))


def replica_bounds(subject: Subject) -> ReplicaBounds:
    """What the spec and the policy allow; one for training."""
    declared, policy = subject.spec.inference, subject.policy
    if declared is None:
        return ReplicaBounds(1, 1)
    low = max(1, declared.replicas.min, policy.scaling_min_replicas or 0)
    limit = policy.scaling_max_replicas
    return ReplicaBounds(low, max(low, declared.replicas.max if limit is None else min(declared.replicas.max, limit)))


def packed(subject: Subject, start: Reach, tunable: frozenset[Tunable]) -> NextStep | None:
    """A tensor-parallel group that is split over nodes moves onto one, unless another layout is nearly as fast."""
    tensor, here = start.setup.parallelism.tensor, start.placement
    if not subject.assigned or here.gpus_per_node >= min(tensor, here.gpus):
        return None
    there = replace(here, gpus_per_node=usual_node_gpus(here.device.gpu, here.gpus))
    found = predict(start.setup, there)
    if not isinstance(found, Prediction) or not possible(start.setup, found):
        return None
    if found.tokens_per_s_per_gpu <= start.prediction.tokens_per_s_per_gpu:
        return None
    together = replace(start, placement=there, prediction=found)
    if _best_rate(start, tunable) >= _NEARLY * _best_rate(together, tunable):
        return None
    return NextStep(
        Kind.MOVE,
        "placement",
        f"{here.gpus_per_node} GPUs a node",
        f"{there.gpus_per_node} GPUs a node",
        Actor.PROVIDER,
        f"pack it on one node: tensor parallel {tensor} is split over nodes with {here.gpus_per_node} of its GPUs each",
        placement=there,
        prediction=found,
    )


def _best_rate(reach: Reach, tunable: frozenset[Tunable]) -> float:
    """Tokens/s of one replica after every change of setting."""
    steps = changes(reach.setup, reach.placement, tunable)
    last = steps[-1].prediction if steps else None
    return (last or reach.prediction).tokens_per_s_per_gpu * reach.placement.gpus


def sliced(subject: Subject, start: Reach, tunable: frozenset[Tunable]) -> NextStep | None:
    """The MIG slice that serves the same tokens for clearly less, with as many replicas as that takes."""
    if not isinstance(start.setup, Inference) or subject.spec.accelerators.count != 1:
        return None
    asked = _Asked(subject, start, tunable)
    least = min(asked.options(), key=lambda each: (each.cost, each.step.after), default=None)
    return least.step if least is not None and least.cost * _WORTH_SLICING <= asked.whole_cost else None


@dataclass(frozen=True, slots=True)
class _Option:
    """One slice, and what serving from it costs in GPUs."""

    step: NextStep
    cost: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """What has to be served, and how slices are compared with the device that it has."""

    subject: Subject
    start: Reach
    tunable: frozenset[Tunable]

    @property
    def work(self) -> float:
        """Tokens/s that replicas as declared make, as many as the load asks for or run now."""
        return self.start.rate * (self.subject.desired_replicas or self.start.replicas)

    @property
    def whole_cost(self) -> float:
        return self._cost(self.start)

    def _cost(self, reach: Reach) -> float:
        """GPUs that the work takes where it is known or money matters most, else GPUs a token."""
        best, share = _best_rate(reach, self.tunable), _taken(reach.placement.device)
        by_work = self.subject.desired_replicas is not None or self.subject.spec.objective is Objective.COST
        return share * (replica_bounds(self.subject).around(self.work / best) if by_work else self.work / best)

    def options(self) -> Iterator[_Option]:
        bounds = replica_bounds(self.subject)
        for profile in _smaller(self.start.placement.device):
            where = replace(self.start.placement, device=Device(self.start.placement.device.gpu, profile))
            found = predict(self.start.setup, where)
            if not isinstance(found, Prediction) or not possible(self.start.setup, found):
                continue
            step = _slice_step(self.start, where, found, bounds.around(self.work / found.tokens_per_s_per_gpu))
            there = step.on(self.start)
            if there.rate * there.replicas >= self.work * _NEARLY:
                yield _Option(step, self._cost(there))


def _slice_step(start: Reach, where: Placement, found: Prediction, replicas: int) -> NextStep:
    profile, before = where.device.mig, start.placement.device.mig
    name, was = profile.name if profile else "", before.name if before else "a whole GPU"
    more = f", {replicas} replicas" if replicas != start.replicas else ""
    words = f"accelerators.migProfile {was} → {name}{more}"
    return NextStep(
        Kind.SLICE,
        "accelerators.migProfile",
        was,
        name,
        words=words,
        placement=where,
        prediction=found,
        replicas=replicas,
    )


def _smaller(device: Device) -> Iterator[MIGProfile]:
    if device.shared or device.gpu.mig_max_instances == 0:
        return
    for each in load().mig_profiles(device.gpu.key):
        size = device.mig.memory_slices if device.mig else each.memory_slices_total
        if each.memory_slices < size:
            yield each


def _taken(device: Device) -> float:
    """Part of a GPU that nobody else can have: four of 1g.20gb fill an H100, though each has a seventh of its SMs."""
    return max(device.mig.sm_fraction, 1 / max(1, device.mig.max_instances)) if device.mig else 1.0


def fits_elsewhere(subject: Subject, start: Reach) -> NextStep | None:
    """The fastest allowed product on which it fits just as it is declared."""
    found = []
    for name, _ in subject.alternatives:
        where = placement_for(subject.spec, name)
        answer = predict(start.setup, where) if isinstance(where, Placement) else None
        if isinstance(where, Placement) and isinstance(answer, Prediction) and possible(start.setup, answer):
            before = start.placement.device.label
            found.append(NextStep(Kind.FIT, "accelerators.products", before, name, placement=where, prediction=answer))
    return max(found, key=lambda each: _per_gpu(each.prediction), default=None)


def other_product(subject: Subject, last: Reach) -> NextStep | None:
    """The product that the spec allows and that makes clearly more tokens/s per GPU, for no more money a token."""
    if not subject.assigned or last.placement.device.mig is not None:
        return None
    names = [name for name, _ in subject.alternatives]
    found = [step for name in names if (step := _on_product(subject, last, name)) is not None]
    return max(found, key=lambda each: _per_gpu(each.prediction), default=None)


def _on_product(subject: Subject, last: Reach, name: str) -> NextStep | None:
    where = placement_for(subject.spec, name, gpus=last.placement.gpus)
    if not isinstance(where, Placement) or where.device == last.placement.device:
        return None
    found = predict(last.setup, where)
    if not isinstance(found, Prediction) or not possible(last.setup, found):
        return None
    gain = found.tokens_per_s_per_gpu / max(last.prediction.tokens_per_s_per_gpu, 1e-9)
    if gain < CLEARLY_BETTER or _dearer(subject.policy, last.placement.device, where.device, gain):
        return None
    before = last.placement.device.label
    return NextStep(Kind.PRODUCT, "accelerators.products", before, name, placement=where, prediction=found)


def _dearer(policy: EffectivePolicy, before: Device, after: Device, gain: float) -> bool:
    """Whether a token costs more there; where a price is missing nobody can say so."""
    was, becomes = (price_per_hour(policy.prices, each, 1) for each in (before, after))
    return was is not None and becomes is not None and becomes > was * gain


def _per_gpu(prediction: Prediction | None) -> float:
    return 0.0 if prediction is None else prediction.tokens_per_s_per_gpu
