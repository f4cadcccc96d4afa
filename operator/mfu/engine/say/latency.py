"""Latencies beside their declared limits, as people read them in columns: expected, and kept. Empty for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mfu.api.workload_status import Attainment
from mfu.engine.judged import Accepted
from mfu.observe.attainment import Attained
from mfu.predict.inference.slo import misses, three_digits
from mfu.predict.types import Inference, Prediction
from mfu.units import decimal, percent

UNKNOWN: Final = "Unknown"
NOTHING: Final = {"ttft": "", "tpot": "", "expected_slo": "", "observed_slo": ""}


def latency_columns(judged: Accepted) -> dict[str, str]:
    """Such as `{"ttft": "", "tpot": "19.7 of 5 ms", "expected_slo": "Missed: TPOT", "observed_slo": "Missed: TPOT
    3.1%"}` of a decode service.
    """
    setup, prediction = judged.setup, judged.expected
    seen = {"observed_slo": attained_words(judged.attained)}
    if not isinstance(setup, Inference) or prediction is None:
        return NOTHING | seen
    return seen | {
        "ttft": _of(_first(setup, prediction), setup.ttft_limit_seconds),
        "tpot": _of(prediction.tpot_seconds, setup.tpot_limit_seconds),
        "expected_slo": _verdict(setup, prediction),
    }


def attained_words(found: Sequence[Attained]) -> str:
    """`Missed: TTFT 99.2%, TPOT 3.1%`; Unknown where no engine tells, empty without a limit."""
    kept = [each.kept for each in found]
    if all(each is None for each in kept):
        return UNKNOWN if found else ""
    verdict = "Missed" if False in kept else UNKNOWN if None in kept else "Kept"
    return f"{verdict}: {', '.join(f'{each.objective} {percent(each.share)}' for each in found)}"


def attainment_rows(found: Sequence[Attained]) -> tuple[Attainment, ...]:
    return tuple(
        Attainment(
            objective=each.objective,
            limit_milliseconds=f"{1e3 * each.limit_seconds:g}",
            share=decimal(each.share),
            timed=round(each.timed),
        )
        for each in found
    )


def _first(setup: Inference, prediction: Prediction) -> float | None:
    """A limit is kept for the p95 prompt; without one the mean prompt says more."""
    if prediction.ttft_seconds is None or setup.ttft_limit_seconds is None:
        return prediction.ttft_seconds
    return prediction.ttft_seconds * (setup.input_tokens_p95 or setup.input_tokens) / setup.input_tokens


def _of(seconds: float | None, limit: float | None) -> str:
    """`_of(0.0197, 0.005) == "19.7 of 5 ms"`."""
    if seconds is None:
        return ""
    beside = "" if limit is None else f" of {1e3 * limit:g}"
    return f"{three_digits(1e3 * seconds)}{beside} ms"


def _verdict(setup: Inference, prediction: Prediction) -> str:
    if setup.ttft_limit_seconds is None and setup.tpot_limit_seconds is None:
        return ""
    late = [each.split()[0] for each in misses(setup, prediction)]
    return f"Missed: {', '.join(late)}" if late else "Kept"
