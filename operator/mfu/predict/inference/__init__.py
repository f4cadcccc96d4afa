"""How fast a model serves: prefill, decode and continuous batching, memory, and the best setting that fits the SLO."""

from __future__ import annotations

from mfu.predict.inference.arrivals import concurrency_at_rate, predict_at_rate
from mfu.predict.inference.case import Speculation
from mfu.predict.inference.flops import (
    bytes_moved_per_token,
    decode_flops_per_token,
    model_flops_per_token,
    prefill_flops_per_token,
)
from mfu.predict.inference.prediction import predict_inference
from mfu.predict.inference.search import attainable_inference, best_within_limits, more_concurrency, within_limits

predict = predict_inference
attainable = attainable_inference

__all__ = [
    "Speculation",
    "attainable",
    "attainable_inference",
    "best_within_limits",
    "bytes_moved_per_token",
    "concurrency_at_rate",
    "decode_flops_per_token",
    "model_flops_per_token",
    "more_concurrency",
    "predict",
    "predict_at_rate",
    "predict_inference",
    "prefill_flops_per_token",
    "within_limits",
]
