"""A program as sharing sees it: how long it works, sleeps and keeps the GPU busy in a step, and with how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import Final

from mfu.hardware.types import GPU
from mfu.predict.sharing.kernels import (
    DECODE_KERNEL_SECONDS,
    DECODE_VOCABULARY,
    ELEMENTWISE_BYTES,
    OPTIMIZER_BYTES,
    TRAIN_KERNEL_SECONDS,
    TRAIN_VOCABULARY,
    VALUE_BYTES,
    bandwidth,
    decode_kernels,
    tensor_rate,
    train_kernels,
    weighted,
)
from mfu.predict.sharing.spec import Spec

GPU_BOUND_FROM: Final = 0.95
_HOST_BOUND_BELOW: Final = 0.75
_DECODE_KERNELS_A_LAYER: Final = 11
_TRAIN_KERNELS_A_LAYER: Final = 37
_TRAIN_KERNELS: Final = 40
_LAUNCH_SECONDS: Final = 23e-6
"""One eager PyTorch launch on the host. Measured, H100 hosts: 23 µs (21.3 ms for 928 kernels) to 39 µs."""
_SMALL_GRID: Final = 1e5
"""Tokens × hidden of a training whose kernels keep `_SMS_OF_SMALL` of the multiprocessors at work."""
_SMS_OF_SMALL: Final = 0.475
_SMS_TENFOLD: Final = 0.2
"""And so many more with each tenfold of it: 0.475, 0.612, 0.79, 0.85 and 0.92 recorded from 1e5 to 1.7e7, H100."""
_SMS_AT_MOST: Final = 0.92
_DECODE_OCCUPANCY: Final = 0.13
_TRAIN_OCCUPANCY: Final = 0.32
"""Measured, H100: 0.117 to 0.139 over ten decodes, 0.271 to 0.443 over ten trainings."""


@dataclass(frozen=True, slots=True)
class SharedProgram:
    """One step of one program alone on a GPU.

    `active_seconds` from its first launch to its last kernel, of which kernels run for `busy_seconds`; before that it
    sleeps (waits for data or requests) `asleep_seconds`. `sms` is the share of multiprocessors that work while a kernel
    runs, `dram` the share of memory bandwidth, `kernels` how many are launched a step. `long_kernel_seconds` is the
    mean kernel weighted by its time: what one finds running who looks. `occupancy` is the share of the warps of a
    working multiprocessor that it fills: where it is high, nobody else's blocks find room beside.
    """

    active_seconds: float
    asleep_seconds: float
    busy_seconds: float
    kernels: float
    sms: float
    dram: float
    long_kernel_seconds: float = 0.0
    """0 where only the mean is known: that is taken."""
    occupancy: float = 0.3

    @property
    def step_seconds(self) -> float:
        return self.active_seconds + self.asleep_seconds

    @property
    def kernel_seconds(self) -> float:
        return self.busy_seconds / self.kernels

    @property
    def met_kernel_seconds(self) -> float:
        """The kernel of it that somebody else meets."""
        return self.long_kernel_seconds or self.kernel_seconds

    @property
    def busy_share(self) -> float:
        """Of its active time."""
        return self.busy_seconds / self.active_seconds

    @property
    def host_paced(self) -> float:
        """How far its host sets the pace: wholly where kernels run for 0.75 of its time, not at all from 0.95."""
        return min(max((GPU_BOUND_FROM - self.busy_share) / (GPU_BOUND_FROM - _HOST_BOUND_BELOW), 0.0), 1.0)


def expected_program(spec: Spec, gpu: GPU) -> SharedProgram:
    """The program that a spec describes, from its FLOPs, its bytes and its launches: bf16, no compilation.

    `decode 24 2048 16 1 1024 0` on an H100-SXM5: 264 kernels × 3.1 µs + 2.65 GB ÷ 2.9 TB/s = 1.73 ms (measured 1.70).
    """
    return _decode(spec, gpu) if spec.kind == "decode" else _train(spec, gpu)


def _decode(spec: Spec, gpu: GPU) -> SharedProgram:
    """Decoding replays a CUDA graph: the host never sets the pace."""
    weights = spec.block_parameters + DECODE_VOCABULARY * spec.hidden
    moved = VALUE_BYTES * (weights + float(spec.layers) * spec.batch * spec.length * spec.hidden)
    flops = spec.batch * (2.0 * weights + 4.0 * spec.layers * spec.length * spec.hidden)
    kernels = _DECODE_KERNELS_A_LAYER * spec.layers
    work = max(moved / bandwidth(gpu), flops / tensor_rate(gpu))
    busy = kernels * DECODE_KERNEL_SECONDS + work
    dram = min(1.0, moved / busy / gpu.memory_bandwidth_bytes_per_s)
    return SharedProgram(
        active_seconds=busy,
        asleep_seconds=spec.asleep_seconds,
        busy_seconds=busy,
        kernels=kernels,
        sms=min(0.95, 0.05 + 1.12 * dram),
        dram=dram,
        long_kernel_seconds=weighted(decode_kernels(spec, gpu)),
        occupancy=_DECODE_OCCUPANCY,
    )


def _train(spec: Spec, gpu: GPU) -> SharedProgram:
    tokens = float(spec.batch * spec.length)
    head = float(TRAIN_VOCABULARY * spec.hidden)
    flops = tokens * (6.0 * (spec.block_parameters + head) + 6.0 * spec.layers * spec.hidden * spec.length)
    elementwise = tokens * (ELEMENTWISE_BYTES * spec.layers * spec.hidden + 16.0 * TRAIN_VOCABULARY)
    optimizer = OPTIMIZER_BYTES * (spec.block_parameters + 2.0 * head)
    kernels = _TRAIN_KERNELS_A_LAYER * spec.layers + _TRAIN_KERNELS
    moved = elementwise + optimizer
    busy = kernels * TRAIN_KERNEL_SECONDS + flops / tensor_rate(gpu) + moved / bandwidth(gpu)
    dram = min(1.0, moved / busy / gpu.memory_bandwidth_bytes_per_s)
    return SharedProgram(
        active_seconds=max(busy, kernels * _LAUNCH_SECONDS),
        asleep_seconds=spec.asleep_seconds,
        busy_seconds=busy,
        kernels=kernels,
        sms=_train_sms(tokens * spec.hidden),
        dram=dram,
        long_kernel_seconds=weighted(train_kernels(spec, gpu)),
        occupancy=_TRAIN_OCCUPANCY,
    )


def _train_sms(grid: float) -> float:
    """Share of the multiprocessors at work while a kernel runs: small batches leave some without a block."""
    return min(_SMS_AT_MOST, max(0.0, _SMS_OF_SMALL + _SMS_TENFOLD * log10(grid / _SMALL_GRID)))
