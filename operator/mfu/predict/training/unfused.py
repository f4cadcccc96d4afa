"""What plain programs of PyTorch move where no kernel was fused by hand: attention scores, an optimizer's update, and
products whose rows begin at odd addresses. Bytes by count of the operators' reads and writes.
"""

from __future__ import annotations

from typing import Final

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.releases import release
from mfu.predict.training.engines import engine
from mfu.predict.types import Method, Optimizer, Training

PRODUCT_BYTES: Final = (4.0, 8.0)
"""Bytes a score, forward and backward, in 16 bit, that pass through the products: written by one and read by the other;
its gradient written, itself read, and the scaled gradient read by two."""
_PLAIN_SCORES: Final = (12.0, 14.0)
"""Between the products, one kernel an operation: scaling 4, mask 4, softmax 4; softmax back 6, mask 4, scaling 4."""
_RAISED_SCORES: Final = (20.0, 20.0)
"""Softmax in FP32 as transformers' `eager_attention_forward` asks: 2 + 4, cast down 4 + 2, and their gradients 10, 6;
the mask is added, which has no gradient of its own."""
_CAST_SCORES: Final = (28.0, 32.0)
"""Under autocast, which casts the scores up (2 + 4), runs softmax in FP32 (8) and casts down for the product (4 + 2),
and back through all three (6, 12, 6)."""


def score_bytes(setup: Training, *, cast: bool, compiled: bool) -> tuple[float, float]:
    """(forward, backward) bytes of one written score between the products in 16 bit, twice those in FP32; (0, 0)
    where kernels are fused.

    GPT-2 of 124M, 8 sequences of 1,024: 8 · 12 · 12 · 1024² = 1.2e9 scores, 26 bytes each in plain BF16: 31 GB, 24 ms
    on an A100 of 1.56 TB/s, and 12 bytes more or what the products compute, 11 ms.
    """
    habits = engine(setup.engine)
    if not habits.framework or compiled:
        return 0.0, 0.0
    if cast:
        return _CAST_SCORES
    wide = setup.precisions.compute in (Precision.FP32, Precision.TF32)
    return _RAISED_SCORES if habits.raises_softmax and not wide else _PLAIN_SCORES


_FUSED_ATTENTION_SINCE: Final = {"Transformers": (4, 36), "PyTorch": (2, 0)}
"""First releases that take `scaled_dot_product_attention` by themselves, and that have it."""


def predates_fused_attention(setup: Training) -> bool:
    """Whether the engine's release, as far as it is named, writes its scores to memory for want of anything else."""
    since = _FUSED_ATTENTION_SINCE.get(engine(setup.engine).name)
    named = release(setup.engine_version)
    return since is not None and named is not None and named < since


_FOREACH_VALUES: Final = 13.0
"""`torch.optim.AdamW` without `fused=True` (`_multi_tensor_adamw`) reads and writes 20 values of a parameter: decay 2,
first moment 3, second moment 2 + 3, its root 2, correction 2, epsilon 2, update 4. One kernel moves 7."""
_UNSCALED_VALUES: Final = 2.0
"""FP16 scales the loss: each gradient is read, tested and written once more before the update
(`torch.amp.GradScaler`)."""
_FUSED_SINCE: Final = (4, 56)
"""First release of transformers whose Trainer takes the fused optimizer (`TrainingArguments.optim`)."""


def unfused_bytes(setup: Training, state_bytes: float) -> float:
    """Bytes of a parameter that the update moves beyond one pass. `state_bytes`: of one moment.

    13 · 4 = 52 in FP32: 163e6 parameters on an A100 of 1.56 TB/s, 6.4 ms; rasbt/LLMs-from-scratch@28c65cd saved 8.
    """
    scaled = engine(setup.engine).framework and setup.precisions.compute is Precision.FP16
    unscaling = _UNSCALED_VALUES * state_bytes if scaled else 0.0
    if setup.optimizer is not Optimizer.ADAMW or not _one_kernel_an_operation(setup):
        return unscaling
    return _FOREACH_VALUES * state_bytes + unscaling


def _one_kernel_an_operation(setup: Training) -> bool:
    if setup.fused_optimizer is not None:
        return not setup.fused_optimizer
    habits = engine(setup.engine)
    if habits.name != "Transformers":
        return habits.foreach
    named = release(setup.engine_version)
    return named is not None and named < _FUSED_SINCE


_FROZEN_BYTES: Final = {Precision.INT4: 0.5625, Precision.FP4: 0.5625, Precision.INT8: 1.0, Precision.FP8: 1.0}
"""Four bits and an FP32 scale for each block of 64 (NF4, arXiv 2305.14314), eight bits and a scale a row."""


_SIXTEEN_BITS: Final = 2.0


def frozen_bytes(setup: Training) -> float:
    """Bytes of a weight that adapters leave as it is and that is kept narrower than the products read it, else 0."""
    wide = BYTES_PER_VALUE[setup.precisions.compute] >= _SIXTEEN_BITS
    return _FROZEN_BYTES.get(setup.precisions.weights, 0.0) if setup.method is Method.LORA and wide else 0.0


_ALIGNED: Final = 16
"""Bytes from which matrix units are fed at full rate (NVIDIA, Matrix Multiplication Background User's Guide)."""


def has_ragged_head(setup: Training, *, compiled: bool) -> bool:
    """Whether rows of the head's products begin between those: a vocabulary that nothing pads, as engines written for
    speed and compiled programs do (`shape_padding` of torch._inductor). `50257 · 2` bytes is 2 more than a multiple of
    16."""
    compute = setup.precisions.compute
    if compute is Precision.FP32 or compiled or not engine(setup.engine).framework:
        return False
    columns = setup.architecture.vocab / setup.parallelism.tensor
    return columns * max(BYTES_PER_VALUE[compute], 2.0) % _ALIGNED != 0.0
