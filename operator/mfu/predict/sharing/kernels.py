"""The kernels that a step is made of: how many of each length, from their FLOPs and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mfu.hardware.types import GPU
from mfu.predict.sharing.spec import Spec

VALUE_BYTES: Final = 2
TRAIN_VOCABULARY: Final = 50304
DECODE_VOCABULARY: Final = 32000
DECODE_KERNEL_SECONDS: Final = 3.1e-6
"""What a kernel of a CUDA graph takes beside moving its bytes. Measured, H100: 1.70 ms for 264 kernels and 2.7 GB."""
TRAIN_KERNEL_SECONDS: Final = 1.5e-6
_BANDWIDTH_SHARE: Final = 0.866
_PEAK_SHARE: Final = 0.657
ELEMENTWISE_BYTES: Final = 60 * 2
"""Bytes that unfused norms, activations and residuals move per token, layer and hidden unit, forward and backward."""
OPTIMIZER_BYTES: Final = 14
"""Bytes that AdamW with 16-bit state moves per parameter."""
_WIDTHS: Final = (3, 1, 4, 4)
"""Of a layer's products, in hidden sizes: what attention reads, its output, up and down."""
_SMALL_SECONDS: Final = 2.5e-6
_SMALL_A_LAYER: Final = 6
_ELEMENTWISE_A_LAYER: Final = 24
_LOSS_KERNELS: Final = 8
_LOSS_BYTES: Final = 16
_OPTIMIZER_PARAMETERS: Final = 3e7
"""That one launch of a fused optimizer steps: so that two small trainings come out as profiled (54 and 64 µs)."""

Kernels = Sequence[tuple[float, float]]
"""(how many a step, seconds of each)."""


def weighted(kernels: Kernels) -> float:
    """The mean kernel weighted by its time: what one finds running who looks.

    Three of 1 µs and one of 7 µs: (3 × 1 + 49) ÷ 10 = 5.2 µs.

    >>> round(weighted(((3, 1e-6), (1, 7e-6))) * 1e6, 3)
    5.2
    """
    return sum(count * each * each for count, each in kernels) / sum(count * each for count, each in kernels)


def decode_kernels(spec: Spec, gpu: GPU) -> Kernels:
    """`decode 24 2048 16 64 1024 0` on an H100-SXM5: 62 µs weighted, as measured; its attention takes 95 µs a layer."""
    moved = [VALUE_BYTES * width * spec.hidden**2 for width in _WIDTHS]
    moved.append(VALUE_BYTES * spec.batch * spec.length * spec.hidden)
    head = VALUE_BYTES * DECODE_VOCABULARY * spec.hidden
    return (
        *((spec.layers, each / bandwidth(gpu) + DECODE_KERNEL_SECONDS) for each in moved),
        (_SMALL_A_LAYER * spec.layers, _SMALL_SECONDS),
        (1, head / bandwidth(gpu) + DECODE_KERNEL_SECONDS),
    )


def train_kernels(spec: Spec, gpu: GPU) -> Kernels:
    """`train 24 1024 16 1 512 0` on an H100-SXM5: 57 µs weighted (measured 54), by its optimizer and its head."""
    tokens, hidden = float(spec.batch * spec.length), float(spec.hidden)
    attention = 2.0 * tokens * spec.length * hidden / tensor_rate(gpu)
    elementwise = ELEMENTWISE_BYTES * tokens * hidden / _ELEMENTWISE_A_LAYER / bandwidth(gpu)
    parameters = spec.block_parameters + 2.0 * TRAIN_VOCABULARY * hidden
    steps = max(1.0, parameters / _OPTIMIZER_PARAMETERS)
    return (
        *((3 * spec.layers, _product(tokens, hidden, width * hidden, gpu)) for width in _WIDTHS),
        (3, _product(tokens, hidden, TRAIN_VOCABULARY, gpu)),
        (spec.layers, attention),
        (spec.layers, 2.5 * attention),
        (_ELEMENTWISE_A_LAYER * spec.layers, elementwise + TRAIN_KERNEL_SECONDS),
        (_LOSS_KERNELS, _LOSS_BYTES * tokens * TRAIN_VOCABULARY / _LOSS_KERNELS / bandwidth(gpu)),
        (steps, OPTIMIZER_BYTES * parameters / steps / bandwidth(gpu)),
    )


def _product(tokens: float, inner: float, outer: float, gpu: GPU) -> float:
    compute = 2.0 * tokens * inner * outer / tensor_rate(gpu)
    return max(compute, VALUE_BYTES * inner * outer / bandwidth(gpu)) + TRAIN_KERNEL_SECONDS


def bandwidth(gpu: GPU) -> float:
    return _BANDWIDTH_SHARE * gpu.memory_bandwidth_bytes_per_s


def tensor_rate(gpu: GPU) -> float:
    """ValueError for a product without a 16-bit tensor peak."""
    peak = gpu.reference_peak_flops_per_s
    if peak is None:
        raise ValueError(f"{gpu.api_name} has no known 16-bit peak")
    return _PEAK_SHARE * peak
