"""How fast a workload should run, what its best setting is, and where the time goes. Pure functions of declared values.

`predict` and `attainable` take a Training or an Inference; the sub-packages `training` and `inference` answer.
"""

from __future__ import annotations

from mfu.predict import inference
from mfu.predict.attainable import attainable_training
from mfu.predict.learnkeys import correction_of, key_of
from mfu.predict.training import flops
from mfu.predict.training.predict import predict_training
from mfu.predict.types import (
    Attainable,
    Corrections,
    Placement,
    Prediction,
    Problem,
    Setup,
    Training,
    Tunable,
)


def predict(setup: Setup, placement: Placement, corrections: Corrections | None = None) -> Prediction | Problem:
    """What `setup` should reach on `placement`; where it does not fit, a Prediction with `memory.fits` False."""
    if isinstance(setup, Training):
        return predict_training(setup, placement, corrections)
    return inference.predict(setup, placement, corrections)


def attainable(
    setup: Setup, placement: Placement, tunable: frozenset[Tunable], corrections: Corrections | None = None
) -> Attainable | Problem:
    """The best within `tunable` on the same GPUs, with the ordered changes that lead there. Never below expected."""
    if isinstance(setup, Training):
        return attainable_training(setup, placement, tunable, corrections)
    return inference.attainable(setup, placement, tunable, corrections)


def model_flops_per_token(setup: Setup) -> float:
    """Model FLOPs per trained token; for Inference per output token with its share of the prompt."""
    if isinstance(setup, Training):
        return flops.model_flops_per_token(setup)
    return inference.model_flops_per_token(setup)


def executed_flops_ratio(setup: Setup) -> float:
    """HFU over MFU: what counters see more than the model needs (recomputation)."""
    return flops.executed_flops_ratio(setup) if isinstance(setup, Training) else 1.0


def bytes_moved_per_token(setup: Setup, placement: Placement) -> float | None:
    """Bytes that must cross memory per output token at the declared concurrency; None where it is not the scale."""
    return None if isinstance(setup, Training) else inference.bytes_moved_per_token(setup, placement)


prefill_flops_per_token = inference.prefill_flops_per_token
decode_flops_per_token = inference.decode_flops_per_token

__all__ = [
    "attainable",
    "bytes_moved_per_token",
    "correction_of",
    "decode_flops_per_token",
    "executed_flops_ratio",
    "key_of",
    "model_flops_per_token",
    "predict",
    "prefill_flops_per_token",
]
