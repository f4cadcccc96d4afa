"""FLOPs per trained token, and what is executed beyond them."""

from __future__ import annotations

from mfu.predict.training.engines import engine
from mfu.predict.types import Recompute, Training
from mfu.workload.flops import forward_flops_per_token, training_flops_per_token


def model_flops_per_token(setup: Training) -> float:
    """Three times forward, causal attention halved, head included, recomputation not.

    Llama-3.1-8B at 8192 tokens: 51.47 GFLOP.
    """
    return training_flops_per_token(setup.architecture, setup.sequence_length, method=setup.method.value)


def executed_flops_ratio(setup: Training) -> float:
    """Executed over model FLOPs: full recomputation repeats the layers' forward pass, selective only written scores."""
    if setup.recompute is Recompute.NONE:
        return 1.0
    forward = forward_flops_per_token(setup.architecture, setup.sequence_length)
    repeated = forward.total - forward.terms.get("head", 0.0)
    if setup.recompute is Recompute.SELECTIVE:
        repeated = 0.0 if engine(setup.engine).fused_attention else forward.attention_core
    return 1.0 + repeated / model_flops_per_token(setup)
