"""Latency objectives: one rule for predict, plan, attainable and each suggested change."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.shape import Number
from mfu.predict.spread import NORMAL_80
from mfu.predict.types import Inference, Prediction
from mfu.sentence import Sentence, Value, amount, sentence


def keeps(setup: Inference, ttft_seconds: Number, tpot_seconds: Number) -> npt.NDArray[np.bool_]:
    """Whether a p95 prompt's first token and the time per token lie within the declared limits; always without any."""
    ttft, tpot = setup.ttft_limit_seconds or math.inf, setup.tpot_limit_seconds or math.inf
    return np.asarray((ttft_seconds * _tail(setup) <= ttft) & (tpot_seconds <= tpot))


def misses(setup: Inference, prediction: Prediction, *, surely: bool = False) -> tuple[Sentence, ...]:
    """Every limit that the setup does not keep, in words: "TPOT 12.3 ms is over slo.tpotMilliseconds: 5".

    `surely` counts only what the fast end of the 80 % band does not keep either.
    """
    fast = math.exp(NORMAL_80 * prediction.doubt.total) if surely else 1.0
    first = None if prediction.ttft_seconds is None else prediction.ttft_seconds * _tail(setup)
    tail = " of the p95 prompt" if _tail(setup) > 1.0 else ""
    limits = (
        (f"TTFT{tail}", first, setup.ttft_limit_seconds, "ttftMilliseconds"),
        ("TPOT", prediction.tpot_seconds, setup.tpot_limit_seconds, "tpotMilliseconds"),
    )
    return tuple(
        sentence("{} {} ms is over slo.{}: {}", name, _milliseconds(value), field, f"{1e3 * limit:g}")
        for name, value, limit, field in limits
        if value is not None and limit is not None and value > limit * fast
    )


def _milliseconds(seconds: float) -> Value | str:
    return amount(seconds, three_digits(1e3 * seconds))


def three_digits(milliseconds: float) -> str:
    """`three_digits(4318.2) == "4,318"`, `three_digits(12.34) == "12.3"`: never an exponent."""
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _tail(setup: Inference) -> float:
    return (setup.input_tokens_p95 or setup.input_tokens) / setup.input_tokens
