"""`spec.runtime` and `spec.precision`: the software that runs the model, and the formats of its values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Resource, Word
from mfu.api.cel import validations
from mfu.api.rules import PRECISION_RULES
from mfu.hardware.types import Precision


class Compilation(StrEnum):
    """How much of the model a compiler (torch.compile, XLA) turns into fused kernels."""

    NONE = "None"
    REGIONAL = "Regional"
    FULL = "Full"


class AttentionKernel(StrEnum):
    """How attention is computed: whole score matrices, the framework's own kernel, or FlashAttention."""

    EAGER = "Eager"
    SDPA = "SDPA"
    FLASH = "Flash"


class FusedKernels(StrEnum):
    """How much of a layer runs in hand-written fused kernels (Liger, Apex, Transformer Engine)."""

    NONE = "None"
    SOME = "Some"
    FULL = "Full"


class Precisions(Resource):
    """Number formats; MFU is judged against the peak of `compute`."""

    model_config = validations(*PRECISION_RULES)

    compute: Precision = Precision.BF16
    """Format of the matrix products."""
    weights: Precision | None = None
    """Format in which weights are stored. Absent means as compute (BF16 where training computes in FP8 or FP4)."""
    kv_cache: Precision | None = None
    """Format of the key-value cache (inference). Absent means as weights, but never below FP8."""
    gradients: Precision | None = None
    """Format in which gradients are kept (training). Absent means the engine's habit."""
    master_weights: Precision | None = None
    """Format of the optimizer's copy of the weights (training); as `weights` means that there is no copy. Absent means
    the engine's habit."""
    optimizer_state: Precision | None = None
    """Format of the optimizer's moments (training). Absent means the engine's habit."""
    logits: Precision | None = None
    """Format in which logits and loss are computed. Absent means the engine's habit."""


class Runtime(Resource):
    """Software that runs the model; picks the efficiency constants and the metrics adapter."""

    engine: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Engine, such as vLLM, SGLang, TGI, TensorRT-LLM, Triton, Dynamo, Megatron, torchtitan, NeMo or PyTorch. Absent
    means a usual one, of which nothing special is assumed."""
    version: Word = ""
    """Version of the engine."""
    compilation: Compilation | None = None
    """None, Regional (each layer by itself) or Full (the whole model, or CUDA graphs). Absent means the engine's
    habit."""
    attention: AttentionKernel | None = None
    """Eager (keeps whole score matrices), SDPA (the framework's fused kernel) or Flash (FlashAttention). Absent means
    the engine's habit."""
    fused_kernels: FusedKernels | None = None
    """Hand-fused kernels: None, Some (such as fused norms) or Full (such as Transformer Engine or Liger throughout).
    Absent means the engine's habit."""
