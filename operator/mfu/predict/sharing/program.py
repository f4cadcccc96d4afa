"""A program as sharing sees it: how long it works, sleeps and keeps the GPU busy in a step, and with how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.hardware.types import GPU

_VALUE_BYTES: Final = 2
_TRAIN_VOCABULARY: Final = 50304
_DECODE_VOCABULARY: Final = 32000
_DECODE_KERNELS_A_LAYER: Final = 11
_TRAIN_KERNELS_A_LAYER: Final = 37
_TRAIN_KERNELS: Final = 40
_DECODE_KERNEL_SECONDS: Final = 3.1e-6
"""What a kernel of a CUDA graph takes beside moving its bytes. Measured, H100: 1.70 ms for 264 kernels and 2.7 GB."""
_TRAIN_KERNEL_SECONDS: Final = 1.5e-6
_LAUNCH_SECONDS: Final = 23e-6
"""One eager PyTorch launch on the host. Measured, H100 hosts: 23 µs (21.3 ms for 928 kernels) to 39 µs."""
_BANDWIDTH_SHARE: Final = 0.866
_PEAK_SHARE: Final = 0.657
_ELEMENTWISE_BYTES: Final = 60 * 2
"""Bytes that unfused norms, activations and residuals move per token, layer and hidden unit, forward and backward."""
_OPTIMIZER_BYTES: Final = 14
"""Bytes that AdamW with 16-bit state moves per parameter."""
_FULL_GRID: Final = 8e6
"""Tokens × hidden from which nearly every kernel fills the GPU."""
_SMS_BUSY_FULL: Final = 0.92
_SMS_BUSY_PART: Final = 0.78


@dataclass(frozen=True, slots=True)
class SharedProgram:
    """One step of one program alone on a GPU.

    `active_seconds` from its first launch to its last kernel, of which kernels run for `busy_seconds`; before that it
    sleeps (waits for data or requests) `asleep_seconds`. `sms` is the share of multiprocessors that work while a kernel
    runs, `dram` the share of memory bandwidth, `kernels` how many are launched a step.
    """

    active_seconds: float
    asleep_seconds: float
    busy_seconds: float
    kernels: float
    sms: float
    dram: float

    @property
    def step_seconds(self) -> float:
        return self.active_seconds + self.asleep_seconds

    @property
    def kernel_seconds(self) -> float:
        return self.busy_seconds / self.kernels

    @property
    def busy_share(self) -> float:
        """Of its active time. Below 0.75 the host sets the pace."""
        return self.busy_seconds / self.active_seconds


@dataclass(frozen=True, slots=True)
class Spec:
    """`train|decode layers hidden heads batch sequence-or-context seconds-asleep`, as recordings name a program."""

    kind: str
    layers: int
    hidden: int
    batch: int
    length: int
    asleep_seconds: float

    @classmethod
    def parse(cls, text: str) -> Spec:
        """ValueError for a text that is none."""
        words = text.split()
        if len(words) != 7 or words[0] not in ("train", "decode"):
            raise ValueError(
                f"{text!r} is no program: `train|decode layers hidden heads batch sequence seconds-asleep`"
            )
        layers, hidden, _, batch, length = (int(word) for word in words[1:6])
        if min(layers, hidden, batch, length) < 1 or float(words[6]) < 0:
            raise ValueError(f"{text!r} is no program: sizes start at 1, and it sleeps 0 seconds or more")
        return cls(words[0], layers, hidden, batch, length, float(words[6]))

    @property
    def block_parameters(self) -> float:
        return 12.0 * self.layers * self.hidden**2


def expected_program(spec: Spec, gpu: GPU) -> SharedProgram:
    """The program that a spec describes, from its FLOPs, its bytes and its launches: bf16, no compilation.

    `decode 24 2048 16 1 1024 0` on an H100-SXM5: 264 kernels × 3.1 µs + 2.65 GB ÷ 2.9 TB/s = 1.73 ms (measured 1.70).
    """
    return _decode(spec, gpu) if spec.kind == "decode" else _train(spec, gpu)


def _decode(spec: Spec, gpu: GPU) -> SharedProgram:
    """Decoding replays a CUDA graph: the host never sets the pace."""
    weights = spec.block_parameters + _DECODE_VOCABULARY * spec.hidden
    moved = _VALUE_BYTES * (weights + float(spec.layers) * spec.batch * spec.length * spec.hidden)
    flops = spec.batch * (2.0 * weights + 4.0 * spec.layers * spec.length * spec.hidden)
    kernels = _DECODE_KERNELS_A_LAYER * spec.layers
    work = max(moved / _bandwidth(gpu), flops / _rate(gpu))
    busy = kernels * _DECODE_KERNEL_SECONDS + work
    dram = min(1.0, moved / busy / gpu.memory_bandwidth_bytes_per_s)
    return SharedProgram(busy, spec.asleep_seconds, busy, kernels, min(0.95, 0.05 + 1.12 * dram), dram)


def _train(spec: Spec, gpu: GPU) -> SharedProgram:
    tokens = float(spec.batch * spec.length)
    head = float(_TRAIN_VOCABULARY * spec.hidden)
    flops = tokens * (6.0 * (spec.block_parameters + head) + 6.0 * spec.layers * spec.hidden * spec.length)
    elementwise = tokens * (_ELEMENTWISE_BYTES * spec.layers * spec.hidden + 16.0 * _TRAIN_VOCABULARY)
    optimizer = _OPTIMIZER_BYTES * (spec.block_parameters + 2.0 * head)
    kernels = _TRAIN_KERNELS_A_LAYER * spec.layers + _TRAIN_KERNELS
    moved = elementwise + optimizer
    busy = kernels * _TRAIN_KERNEL_SECONDS + flops / _rate(gpu) + moved / _bandwidth(gpu)
    sms = _SMS_BUSY_FULL if tokens * spec.hidden > _FULL_GRID else _SMS_BUSY_PART
    dram = min(1.0, moved / busy / gpu.memory_bandwidth_bytes_per_s)
    return SharedProgram(max(busy, kernels * _LAUNCH_SECONDS), spec.asleep_seconds, busy, kernels, sms, dram)


def _bandwidth(gpu: GPU) -> float:
    return _BANDWIDTH_SHARE * gpu.memory_bandwidth_bytes_per_s


def _rate(gpu: GPU) -> float:
    """ValueError for a product without a 16-bit tensor peak."""
    peak = gpu.reference_peak_flops_per_s
    if peak is None:
        raise ValueError(f"{gpu.api_name} has no known 16-bit peak")
    return _PEAK_SHARE * peak
