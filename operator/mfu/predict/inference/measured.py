"""What a benchmark would have printed: the predicted value of each row in the unit of its own metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import ServingCase, take
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.dataset import Question
from mfu.predict.inference.kernels import StepTime
from mfu.predict.inference.serving import Served, continuous, decode, prefill, prompts_of, running, static_latency
from mfu.predict.inference.shape import Array, Number
from mfu.predict.types import Phase, Problem

Places = npt.NDArray[np.intp]
_NODE = 8.0
_REQUESTS, _TURNS = 1000.0, 5.0
"""Of a closed-loop benchmark that does not say: the default of vLLM's and of SGLang's `bench_serving`; where more than
that run at once, 5 times as many as do, as in SGLang's instructions (InferenceX's scripts send 10 times as many)."""


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


def asked_case(asked: Question, constants: ServingConstants) -> ServingCase | Problem:
    """The case of a row, with what its recipe set beside the columns."""
    return case_of(asked.setup, asked.placement, constants, asked.speculation, aligned=asked.aligned)


def known_metric(metric: str) -> bool:
    return _place(metric) is not None


def is_rate(metric: str) -> bool:
    """Whether more of it is faster; else it is a time."""
    return "tok_s" in metric or metric.startswith(("requests_s", "samples_s"))


def values_of(questions: Sequence[Question], case: ServingCase, constants: ServingConstants) -> Array:
    """The predicted value of every question in its own unit; every metric must be known."""
    rates = _rates(questions, case, constants)
    columns = [compute(rates) for _, compute in METRICS]
    places = [_place(each.metric) or 0 for each in questions]
    return np.array([columns[place][row] for row, place in enumerate(places)], dtype=float)


def step_of(asked: Question, case: ServingCase, constants: ServingConstants) -> StepTime:
    """The step that sets the pace of one row: of the prompts, of decoding alone, or of both."""
    way = _way(asked)
    if way == _READING:
        return prefill(case, prompts_of(case), constants).step
    if way == _MIXED:
        return continuous(case, constants).step
    batch = _start(case) if way == _TOGETHER else running(case, constants)
    return decode(case, batch, constants).step


def steps_of(questions: Sequence[Question], case: ServingCase, constants: ServingConstants) -> StepTime:
    """The same for every row of a stacked case."""
    ways = np.array([_way(each) for each in questions])
    parts = {each.name: np.zeros(len(questions)) for each in fields(StepTime)}
    for way in np.unique(ways):
        rows = np.flatnonzero(ways == way)
        found = step_of(questions[rows[0]], take(case, rows), constants)
        for name, values in parts.items():
            values[rows] = getattr(found, name)
    return StepTime(**parts)


@lru_cache(maxsize=1024)
def _place(metric: str) -> int | None:
    return next((place for place, (start, _) in enumerate(METRICS) if metric.startswith(start)), None)


def _rates(questions: Sequence[Question], case: ServingCase, constants: ServingConstants) -> Rates:
    """Each row by the one way of serving that its metric needs; NaN for the quantities that it does not ask for."""
    ways = np.array([_way(each) for each in questions])
    first, latency, tpot, outputs, inputs, ttft = np.full((6, len(questions)), np.nan)
    lengths = (np.asarray(case.load.input_tokens), np.asarray(case.load.output_tokens))
    rates = Rates(first, latency, tpot, outputs, inputs, ttft, lengths, np.asarray(case.layout.gpus))
    for way, fill in ((_TOGETHER, _together), (_READING, _reading), (_ALONE, _alone), (_MIXED, _mixed)):
        rows = np.flatnonzero(ways == way)
        if len(rows):
            fill(rates, rows, take(case, rows), constants)
    return rates


_TOGETHER, _READING, _ALONE, _MIXED = range(4)


def _way(asked: Question) -> int:
    if asked.setup.phase is Phase.PREFILL:
        return _READING
    if asked.static:
        return _TOGETHER
    return _ALONE if asked.setup.phase is Phase.DECODE else _MIXED


def _start(case: ServingCase) -> Array:
    """Requests of a batch that starts together: one where nothing is stated."""
    return np.where(np.isfinite(case.load.concurrency), case.load.concurrency, 1.0)


def _together(rates: Rates, rows: Places, case: ServingCase, constants: ServingConstants) -> None:
    batch = _start(case)
    latency = static_latency(case, batch, constants)
    rates.latency_seconds[rows] = latency
    rates.output_tokens_per_s[rows] = batch * case.load.output_tokens / latency


def _reading(rates: Rates, rows: Places, case: ServingCase, constants: ServingConstants) -> None:
    served = prefill(case, prompts_of(case), constants)
    rates.first_token_seconds[rows] = served.ttft_seconds
    rates.input_tokens_per_s[rows] = served.input_tokens_per_s


def _alone(rates: Rates, rows: Places, case: ServingCase, constants: ServingConstants) -> None:
    served = decode(case, running(case, constants), constants)
    rates.tpot_seconds[rows] = served.tpot_seconds
    rates.output_tokens_per_s[rows] = served.output_tokens_per_s


def _mixed(rates: Rates, rows: Places, case: ServingCase, constants: ServingConstants) -> None:
    served = _in_waves(case, continuous(case, constants), constants)
    drained = 1.0 + _drained(case, served.batch, constants)
    rates.tpot_seconds[rows] = served.tpot_seconds
    rates.output_tokens_per_s[rows] = served.output_tokens_per_s / drained
    rates.ttft_seconds[rows] = served.ttft_seconds
    rates.latency_seconds[rows] = case.load.output_tokens * served.batch / served.output_tokens_per_s


def _in_waves(case: ServingCase, served: Served, constants: ServingConstants) -> Served:
    """What a closed loop of equal requests sees of an engine that reads all waiting prompts first.

    Requests that begin together end together, so all C prompts stand in one row: a request waits for `wave` of them
    before its first token and for the rest after it, where in steady state it would meet all of them among its decode
    steps. Its whole time is the same: what TTFT gains, O − 1 tokens lose.
    """
    bound = np.isfinite(case.load.concurrency) & (case.load.prompts_first > 0)
    earlier = np.where(bound, constants.wave, 0.0) * (served.tpot_seconds - served.undisturbed_seconds)
    waited = earlier * np.maximum(case.load.output_tokens - 1, 0)
    return replace(served, tpot_seconds=served.tpot_seconds - earlier, ttft_seconds=served.ttft_seconds + waited)


def _drained(case: ServingCase, batch: Number, constants: ServingConstants) -> Number:
    """Time that a closed loop loses while it fills and empties, over its run; nothing where no loop is stated."""
    at_once = np.asarray(case.load.concurrency)
    requests = np.where(at_once > _REQUESTS, _TURNS * at_once, _REQUESTS)
    return np.where(np.isfinite(requests), constants.drain * batch / requests, 0.0)
