"""One serving question in plain numbers: shape, chip, precision, layout, load. Floats, or arrays of one a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.shape import Number, ServingShape, stack

UNBOUNDED = float("inf")


@dataclass(frozen=True, slots=True)
class Chip:
    """Dense peaks at the precision each matrix group computes in; memory and links of one GPU."""

    peak_linear: Number
    peak_expert: Number
    peak_16bit: Number
    ceiling: Number
    """Best measured 16-bit matrix-product rate over the peak."""
    bandwidth: Number
    memory: Number
    link: Number
    """Bytes/s, one direction, between GPUs of one tensor group."""
    switched: Number
    """1 over NVLink or Infinity Fabric, 0 over PCIe."""
    amd: Number
    warps: Number
    """1 where single warps feed the matrix units (before Hopper)."""
    clock: Number = 1.0
    """Highest clock over that of H100."""
    multiprocessors: Number = UNBOUNDED
    """Of the GPU; infinite where the number does not bound how fast weights are read."""


@dataclass(frozen=True, slots=True)
class StoredFormat:
    """Bytes of one stored value."""

    linear: Number
    expert: Number
    head: Number
    kv: Number
    dequantised: Number
    """1 where weights are narrower than the arithmetic and are widened in the kernel."""


@dataclass(frozen=True, slots=True)
class ServingLayout:
    """GPUs of one replica = attention groups · tensor · pipeline; experts spread over all GPUs of a stage."""

    tensor: Number
    pipeline: Number
    groups: Number
    """Attention data parallelism: so many copies of the attention, each with its own requests."""
    expert: Number

    @property
    def stage_gpus(self) -> Number:
        return self.tensor * self.groups

    @property
    def gpus(self) -> Number:
        return self.tensor * self.groups * self.pipeline


@dataclass(frozen=True, slots=True)
class RequestLoad:
    """Tokens of a request and how many requests are there at once (infinite: as many as fit)."""

    input_tokens: Number
    output_tokens: Number
    concurrency: Number
    max_batch_tokens: Number
    """Scheduled tokens of one step."""
    max_batch: Number
    """Requests the engine schedules at once in each attention group."""
    drafted: Number = 1.0
    """Tokens that a decoding request runs through the model in one step: 1 + drafts."""
    accepted: Number = 1.0
    """Tokens that it gains by that, between 1 and `drafted`."""
    ungrouped: Number = 0.0
    """1 where the engine's decode kernel reads the cache once for each query head."""
    card_share: Number = 0.0
    """Part of the whole memory that weights and cache may fill; 0 where the engine divides what weights leave."""
    modules: Number = 0.0
    """1 where the modules of Hugging Face transformers run: keys and values are repeated for all query heads."""
    eager: Number = 0.0
    """1 where those are not compiled: kernels of one operation each, a cache that is appended to by concatenation; a
    compiled model attends to a cache of the whole length of its requests."""
    prompts_first: Number = 0.0
    """1 where the engine reads all waiting prompts before it decodes on."""
    aligned: Number = 0.0
    """1 where the scheduler holds prompts back until all attention groups have some."""
    in_turn: Number = 0.0
    """1 where the whole batch runs through one pipeline stage after another, so that one GPU works at a time."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: `draft_tokens` proposed per step, each accepted with `acceptance` if all before it were.

    `Speculation(3, 0.7).accepted == 2.533`: 1 + 0.7 + 0.7² + 0.7³ tokens per step.
    """

    draft_tokens: int
    acceptance: float
    draft_share: float = 0.0
    """Time to draft, over the time of one step without drafts (0.05 for one extra layer of 20)."""

    @property
    def accepted(self) -> float:
        return float(sum(self.acceptance**each for each in range(self.draft_tokens + 1)))


@dataclass(frozen=True, slots=True)
class ServingCase:
    shape: ServingShape
    chip: Chip
    format: StoredFormat
    layout: ServingLayout
    load: RequestLoad
    speed: Number
    """Efficiency factor of the engine, 1 for the reference engine."""
    host: Number = 1.0
    """Time of its host work and launches over the usual one."""
    eager: Number = 0.0
    """Where the engine launches every kernel from Python, with no CUDA graph: time of a layer over that of Hugging Face
    modules. 0 in CUDA graphs and in engines written in C++."""
    waits: Number = 0.0
    """1 where the GPU waits for all of the host's work on each step and request, less where for a part."""

    @property
    def rows(self) -> int:
        return int(np.size(self.load.input_tokens))

    @property
    def stages_at_once(self) -> Number:
        """Pipeline stages that work at the same time, each on its part of the requests."""
        return np.where(np.asarray(self.load.in_turn) > 0, 1.0, self.layout.pipeline)

    @property
    def coupled(self) -> Number:
        """Attention groups that step together: those of a mixture exchange tokens, those of a dense model do not."""
        return np.where(self.shape.experts > 0, self.layout.groups, 1.0)


_Part = TypeVar("_Part", Chip, StoredFormat, ServingLayout, RequestLoad)


def stack_cases(cases: Sequence[ServingCase]) -> ServingCase:
    """One case of arrays from many of floats, in order."""
    return ServingCase(
        shape=stack([each.shape for each in cases]),
        chip=_stack(Chip, [each.chip for each in cases]),
        format=_stack(StoredFormat, [each.format for each in cases]),
        layout=_stack(ServingLayout, [each.layout for each in cases]),
        load=_stack(RequestLoad, [each.load for each in cases]),
        speed=np.array([each.speed for each in cases], dtype=float),
        host=np.array([each.host for each in cases], dtype=float),
        eager=np.array([each.eager for each in cases], dtype=float),
        waits=np.array([each.waits for each in cases], dtype=float),
    )


def take(case: ServingCase, rows: npt.NDArray[np.intp]) -> ServingCase:
    """The rows of a stacked case, in that order."""
    return ServingCase(
        shape=_rows(case.shape, rows),
        chip=_rows(case.chip, rows),
        format=_rows(case.format, rows),
        layout=_rows(case.layout, rows),
        load=_rows(case.load, rows),
        speed=np.asarray(case.speed)[rows],
        host=np.asarray(case.host)[rows],
        eager=np.asarray(case.eager)[rows],
        waits=np.asarray(case.waits)[rows],
    )


_Struct = TypeVar("_Struct", ServingShape, Chip, StoredFormat, ServingLayout, RequestLoad)


def _rows(struct: _Struct, rows: npt.NDArray[np.intp]) -> _Struct:
    return type(struct)(*(np.asarray(getattr(struct, field.name))[rows] for field in fields(struct)))


def _stack(kind: type[_Part], values: Sequence[_Part]) -> _Part:
    return kind(*(np.array([getattr(each, field.name) for each in values], dtype=float) for field in fields(kind)))
