"""Every sensible cut of a training job over given GPUs, as arrays, and their evaluation in one go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfu.memo import memo
from mfu.predict.training.arrays import Array, TrainingCase, TrainingLayout, take_case
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.peak_memory import training_memory
from mfu.predict.training.risk import ranking_seconds
from mfu.predict.training.step import TrainingStep, step
from mfu.predict.types import Parallelism, Recompute, Sharding

MODES = (Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL)
SHARDINGS = (Sharding.DDP, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)
_TENSOR = (1, 2, 4, 8, 16)
_CONTEXT = (1, 2, 4, 8, 16)
_VIRTUAL = (1, 2, 3, 4, 5, 6, 8, 10, 12)
_MICRO = (1, 2, 4, 8, 16, 32, 64)
_CUT = ("tensor", "pipeline", "context", "data", "expert", "virtual")
_LONG = 8192
"""Context parallelism is tried from this sequence length on."""


@dataclass(frozen=True, slots=True)
class Space:
    """What may vary. An empty tuple means every sensible value."""

    cuts: tuple[Parallelism, ...] = ()
    micro_batches: tuple[int, ...] = ()
    recompute: tuple[Recompute, ...] = MODES
    shardings: tuple[Sharding, ...] = (Sharding.ZERO1, Sharding.ZERO3)


@dataclass(frozen=True, slots=True)
class LayoutLimits:
    """What the layouts have to divide."""

    gpus: int
    gpus_per_node: int
    layers: int
    heads: int
    experts: int
    sequence_length: int
    global_batch_size: int
    optimizer_bytes: float = 12.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """Evaluated layouts, one row each; `fits` says whether the memory is enough."""

    case: TrainingCase
    step: TrainingStep
    ranking_seconds: Array
    memory_bytes: Array
    fits: NDArray[np.bool_]

    def best(self) -> int | None:
        """Index of the fastest layout that fits; ties go to the first."""
        if not bool(np.any(self.fits)):
            return None
        return int(np.argmin(np.where(self.fits, self.ranking_seconds, np.inf)))


@memo(most=1024)
def cuts(limits: LayoutLimits) -> tuple[Parallelism, ...]:
    """All parallelisms: tensor within a node (twice a node at most), pipeline over whole layers, context for long
    sequences, experts over the ranks that hold the same layers."""
    found = []
    for tensor in _divisors_of(limits.heads, _TENSOR):
        if tensor > 2 * limits.gpus_per_node or limits.gpus % tensor:
            continue
        for pipeline in _pipelines(limits, limits.gpus // tensor):
            for context in _contexts(limits):
                inner = tensor * pipeline * context
                if limits.gpus % inner == 0 and limits.global_batch_size % (limits.gpus // inner) == 0:
                    found += _inner_cuts(limits, tensor, pipeline, context)
    return tuple(found)


def _inner_cuts(limits: LayoutLimits, tensor: int, pipeline: int, context: int) -> list[Parallelism]:
    data = limits.gpus // (tensor * pipeline * context)
    virtuals = _virtuals(limits, pipeline)
    experts = [each for each in _powers(limits.experts) if (data * context * tensor) % each == 0]
    return [Parallelism(tensor, pipeline, context, data, expert, virtual) for virtual in virtuals for expert in experts]


def _pipelines(limits: LayoutLimits, room: int) -> list[int]:
    """Stages of whole layers; uneven ones too where the fullest stage holds little more than the mean: 126 layers on 8
    stages are seven times 16 and 14."""
    tried = range(1, min(limits.layers, room, 64) + 1)
    return [each for each in tried if room % each == 0 and -(-limits.layers // each) * each <= limits.layers * _UNEVEN]


_UNEVEN = 1.1


def _contexts(limits: LayoutLimits) -> list[int]:
    if limits.sequence_length < _LONG:
        return [1]
    return [each for each in _CONTEXT if limits.sequence_length % (2 * each) == 0]


def _virtuals(limits: LayoutLimits, pipeline: int) -> list[int]:
    if pipeline == 1:
        return [1]
    return [each for each in _VIRTUAL if each == 1 or limits.layers % (pipeline * each) == 0]


def _powers(experts: int) -> list[int]:
    """Powers of two that divide the experts: groups of other sizes fit no node."""
    if not experts:
        return [1]
    return [each for each in (1, *(2**power for power in range(1, 9))) if experts % each == 0]


def _divisors_of(number: int, among: tuple[int, ...]) -> list[int]:
    return [each for each in among if number % each == 0]


def table(limits: LayoutLimits, space: Space) -> TrainingLayout:
    """One row per combination whose batch divides."""
    columns = np.array(
        [
            (cut.tensor, cut.pipeline, cut.context, cut.data, cut.expert, cut.virtual_pipeline)
            for cut in (space.cuts or cuts(limits))
        ],
        dtype=float,
    ).reshape(-1, 6)
    micro = np.array(space.micro_batches or _MICRO, dtype=float)
    modes = np.array([float(MODES.index(mode)) for mode in space.recompute])
    zeros = np.array([float(SHARDINGS.index(each)) for each in space.shardings])
    row, m, r, z = (each.ravel() for each in np.indices((len(columns), len(micro), len(modes), len(zeros))))
    picked = columns[row]
    per_pipeline = limits.global_batch_size / picked[:, 3]
    valid = np.mod(per_pipeline, micro[m]) == 0.0
    valid &= ~((zeros[z] == 3.0) & (picked[:, 1] > 1.0))
    replicas = picked[:, 3] * picked[:, 2]
    valid &= (zeros[z] == 0.0) | (zeros[z] == zeros.min()) | (replicas > 1.0)
    columns_by_name = dict(zip(_CUT, picked[valid].T, strict=True))
    return TrainingLayout(
        **columns_by_name,
        micro_batch=micro[m][valid],
        global_batch=np.asarray(float(limits.global_batch_size)),
        zero=zeros[z][valid],
        shard=replicas[valid],
        recompute=modes[r][valid],
        optimizer_bytes=np.asarray(limits.optimizer_bytes),
    )


def evaluate(case: TrainingCase, layouts: TrainingLayout, c: TrainingConstants) -> Ranked:
    """Step time and memory of every layout; those that do not fit with some headroom are kept, and marked."""
    rows = replace(case, layout=layouts)
    memory = training_memory(rows, c).total
    found = step(rows, c)
    return Ranked(rows, found, ranking_seconds(rows, found, c), memory, memory <= case.machine.memory * c["headroom"])


def top(ranked: Ranked, count: int) -> NDArray[np.intp]:
    """Indices of the fastest layouts that fit, best first."""
    seconds = np.where(ranked.fits, ranked.ranking_seconds, np.inf)
    order = np.argsort(seconds, kind="stable")[:count]
    return order[np.isfinite(seconds[order])]


def pick(ranked: Ranked, index: NDArray[np.intp]) -> TrainingCase:
    """The cases of some rows."""
    return take_case(ranked.case, index)
