"""Bytes of a stored value by matrix group: formats with the scales of their blocks, and what engines leave wide."""

from __future__ import annotations

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.inference.case import StoredFormat
from mfu.predict.inference.constants import engine_key
from mfu.predict.types import Inference, Placement
from mfu.workload.architecture import Architecture

_NARROW = frozenset({Precision.FP4, Precision.INT4})
_FOUR_BITS = 0.5
_OF_ENGINES = {
    ("llamacpp", Precision.INT4): (4.85 / 8.0, 6.5625 / 8.0),
    ("llamacpp", Precision.INT8): (8.5 / 8.0, 8.5 / 8.0),
    ("exllama", Precision.INT4): (4.15 / 8.0, 6.0 / 8.0),
    ("mlc", Precision.INT4): (4.5 / 8.0, 4.5 / 8.0),
    ("gptfast", Precision.INT4): (5.0 / 8.0, 5.0 / 8.0),
    ("gptfast", Precision.INT8): (1.0, 1.0),
}
"""(layers, head) of engines with a quantiser of their own that narrows the head as well: llama.cpp's Q4_K_M (head in
Q6_K) and Q8_0, ExLlama with its default head of 6 bits, MLC's q4f16_1, gpt-fast's groups of 32 with a 16-bit scale and
zero. Others, AWQ and GPTQ among them, keep the head in 16 bit."""


def format_of(setup: Inference, placement: Placement) -> StoredFormat:
    """Bytes per value by matrix group; 4-bit checkpoints of mixtures often leave all but the experts at 16 bit."""
    weights, head = _stored_bytes(setup)
    linear = 2.0 if experts_only(setup) else weights
    mixed = setup.precisions.weights is Precision.FP4 and setup.precisions.compute is Precision.FP8
    native = mixed and Precision.FP4 in placement.device.gpu.peaks
    narrow = BYTES_PER_VALUE[setup.precisions.weights] < BYTES_PER_VALUE[setup.precisions.compute]
    widened = narrow and not native
    return StoredFormat(linear, weights, head, BYTES_PER_VALUE[setup.precisions.kv_cache], float(widened))


def _stored_bytes(setup: Inference) -> tuple[float, float]:
    """Bytes of a weight of the layers and of the head."""
    own = _OF_ENGINES.get((engine_key(setup.engine), setup.precisions.weights))
    usual = _usual_bytes(setup)
    return own or (usual, max(usual, 2.0))


def _usual_bytes(setup: Inference) -> float:
    """Bytes of a weight with the scale of its block: one for 16 values of NVFP4, one for 32 of MXFP4 (OCP Microscaling
    1.0; taken for wider arithmetic), two and a half for 128 of INT4 (AWQ, GPTQ: a 16-bit scale and a 4-bit zero).

    4.5 bits of NVFP4: 0.5625.
    """
    weights, compute = setup.precisions.weights, setup.precisions.compute
    if weights is Precision.FP4:
        return _FOUR_BITS + (1.0 / 16.0 if compute is Precision.FP4 else 1.0 / 32.0)
    return _FOUR_BITS + 2.5 / 128.0 if weights is Precision.INT4 else BYTES_PER_VALUE[weights]


def experts_only(setup: Inference) -> bool:
    """MXFP4 (GPT-OSS: 4-bit weights under wider arithmetic) and FP4 with MLA quantise the experts alone."""
    architecture: Architecture = setup.architecture
    if architecture.moe is None or setup.precisions.weights not in _NARROW:
        return False
    return architecture.mla is not None or setup.precisions.compute not in _NARROW
