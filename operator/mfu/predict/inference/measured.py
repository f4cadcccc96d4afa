"""What a benchmark would have printed: the predicted value of each row in the unit of its own metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mfu.predict.inference.case import Case, stack_cases
from mfu.predict.inference.constants import Constants
from mfu.predict.inference.dataset import Question
from mfu.predict.inference.serving import continuous, decode, prefill, prompts_of, running, static_latency
from mfu.predict.inference.shape import Array
from mfu.predict.types import Phase

_NODE = 8.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Arrays, one value a row, of everything that the metrics of published tables are made of."""

    first_token_seconds: Array
    latency_seconds: Array
    tpot_seconds: Array
    output_tokens_per_s: Array
    """All GPUs of the replica."""
    input_tokens_per_s: Array
    ttft_seconds: Array
    """In steady state; `first_token_seconds` is that of prompts that arrive together on an idle engine."""
    lengths: tuple[Array, Array]
    """Tokens in and out of a request."""
    gpus: Array

    @property
    def requests_per_s(self) -> Array:
        return self.output_tokens_per_s / self.lengths[1]


METRICS: tuple[tuple[str, Callable[[Rates], Array]], ...] = (
    ("input_tok_s_per_node8", lambda r: _NODE * r.input_tokens_per_s / r.gpus),
    ("output_tok_s_per_node8", lambda r: _NODE * r.output_tokens_per_s / r.gpus),
    ("output_tok_s_per_gpu", lambda r: r.output_tokens_per_s / r.gpus),
    ("output_tok_s", lambda r: r.output_tokens_per_s),
    ("tok_s_per_gpu", lambda r: r.output_tokens_per_s / r.gpus),
    ("tok_s", lambda r: r.output_tokens_per_s),
    ("input_tok_s", lambda r: r.input_tokens_per_s),
    ("tpot_ms", lambda r: 1e3 * r.tpot_seconds),
    ("itl_ms", lambda r: 1e3 * r.tpot_seconds),
    ("ttft_ms", lambda r: 1e3 * r.ttft_seconds),
    ("ttft_s", lambda r: r.ttft_seconds),
    ("total_tok_s", lambda r: r.requests_per_s * (r.lengths[0] + r.lengths[1])),
    ("requests_s", lambda r: r.requests_per_s),
    ("samples_s", lambda r: r.requests_per_s),
    ("prefill_latency_ms", lambda r: 1e3 * r.first_token_seconds),
    ("e2e_latency_ms", lambda r: 1e3 * r.latency_seconds),
    ("latency_ms", lambda r: 1e3 * r.latency_seconds),
    ("latency_s", lambda r: r.latency_seconds),
    ("e2e_latency_s", lambda r: r.latency_seconds),
)
"""How a metric's name begins, and its value. The first that fits counts."""


def known_metric(metric: str) -> bool:
    return _place(metric) is not None


def predicted_values(questions: Sequence[Question], cases: Sequence[Case], constants: Constants) -> Array:
    """The predicted value of every question in its own unit; every metric must be known."""
    return values_of(questions, stack_cases(cases), constants)


def values_of(questions: Sequence[Question], case: Case, constants: Constants) -> Array:
    """The same for cases that are stacked already."""
    rates = _rates(questions, case, constants)
    columns = [compute(rates) for _, compute in METRICS]
    places = [_place(each.metric) or 0 for each in questions]
    return np.array([columns[place][row] for row, place in enumerate(places)], dtype=float)


def _place(metric: str) -> int | None:
    return next((place for place, (start, _) in enumerate(METRICS) if metric.startswith(start)), None)


def _rates(questions: Sequence[Question], case: Case, constants: Constants) -> Rates:
    static = np.array([each.static for each in questions])
    alone = np.array([each.setup.phase is Phase.DECODE for each in questions])
    together = np.where(np.isfinite(case.load.concurrency), case.load.concurrency, 1.0)
    latency = static_latency(case, together, constants)
    reading = np.array([each.setup.phase is Phase.PREFILL for each in questions])
    prompts = prefill(case, np.where(reading, prompts_of(case), together), constants)
    mixed, apart = continuous(case, constants), decode(case, running(case, constants), constants)
    serving = np.where(alone, apart.output_tokens_per_s, mixed.output_tokens_per_s)
    return Rates(
        first_token_seconds=np.asarray(prompts.ttft_seconds),
        latency_seconds=np.asarray(latency),
        tpot_seconds=np.where(alone, apart.tpot_seconds, mixed.tpot_seconds),
        output_tokens_per_s=np.where(static, together * case.load.output_tokens / latency, serving),
        input_tokens_per_s=np.asarray(prompts.input_tokens_per_s),
        ttft_seconds=np.asarray(mixed.ttft_seconds),
        lengths=(np.asarray(case.load.input_tokens), np.asarray(case.load.output_tokens)),
        gpus=np.asarray(case.layout.gpus),
    )
