"""Rows of `inference_throughput.csv` against the serving model, each in the unit of its own metric.

Predictions never read `id` or `notes`. Only the report's breakdown does: `trust` sets apart the rows that the table
itself flags, and those of one host-bound stack that the model is known to miss.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mfu.hardware.problem import ProblemReason
from mfu.predict.inference.build import setting_of
from mfu.predict.inference.case import ServingCase, stack_cases
from mfu.predict.inference.constants import UNSTATED, ServingConstants, engine_level, load
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.doubt import own_doubt, reach_of_values, shared_doubt
from mfu.predict.inference.measured import asked_case, is_rate, known_metric, steps_of, values_of
from mfu.predict.inference.row_words import source_of
from mfu.predict.inference.shape import Array
from mfu.predict.types import Problem
from mfu.predict.validate.common import RefusedRow, Report, Row, Scored, coverage, mape, size_of
from mfu.workload.parameters import count

_FLAGS = re.compile(r"KV-LIMITED|SUSPECT|REJECT|CAUTION")
_HOST_BOUND = re.compile(r"LLM-Inference-Bench")
_BURST = 1000
"""Requests at once from which a closed loop is no steady state: the benchmark sends no more than that in all."""
_TABLES = re.compile(r"TensorRT-LLM")


def validate(rows: Sequence[Row], constants: ServingConstants | None = None) -> Report:
    """Predict every row at once; `extra` has the error of TensorRT-LLM tables and of the rest, flagged rows aside."""
    constants = constants or load()
    asked = [_ask(row, constants) for row in rows]
    answered = [(row, each) for row, each in zip(rows, asked, strict=True) if not isinstance(each, Problem)]
    refused = [
        RefusedRow(row.get("id") or "", str(each))
        for row, each in zip(rows, asked, strict=True)
        if isinstance(each, Problem)
    ]
    scored = _scored(answered, constants)
    return Report(len(rows), tuple(scored), tuple(refused), errors_by_kind(scored))


def errors_by_kind(scored: Sequence[Scored]) -> dict[str, float | None]:
    """Errors of the rows that the table does not flag: all, TensorRT-LLM's own tables, the rest; and their band."""
    plain = [row for row in scored if row.keys["trust"] == "plain"]
    tables = [row for row in plain if row.keys["table"] == "TensorRT-LLM"]
    rest = [row for row in plain if row.keys["table"] != "TensorRT-LLM"]
    return {
        "mape_plain": mape(plain),
        "mape_tensorrt_llm_tables": mape(tables),
        "mape_rest": mape(rest),
        "coverage_plain": coverage(plain),
    }


def predictable(row: Row) -> bool:
    """Whether the row is scored, not refused."""
    return not isinstance(_ask(row, load()), Problem)


def _ask(row: Row, constants: ServingConstants) -> tuple[Question, ServingCase] | Problem:
    try:
        asked = question(row)
    except KeyError as missing:
        return Problem(ProblemReason.INVALID_SPEC, str(missing.args[0]), "is missing as a column")
    if isinstance(asked, Problem):
        return asked
    if not known_metric(asked.metric):
        problem = f"is {asked.metric!r}, no known quantity"
        return Problem(ProblemReason.INVALID_SPEC, "metric", problem, "name one such as output_tok_s_total")
    case = asked_case(asked, constants)
    return case if isinstance(case, Problem) else (asked, case)


def _scored(answered: Sequence[tuple[Row, tuple[Question, ServingCase]]], constants: ServingConstants) -> list[Scored]:
    if not answered:
        return []
    questions = [asked for _, (asked, _) in answered]
    case = stack_cases([case for _, (_, case) in answered])
    values = values_of(questions, case, constants)
    doubt, sides = _doubt(questions, case, constants)
    factors = np.exp(doubt[:, None] * sides)
    return [
        Scored(
            row.get("id") or "",
            asked.value,
            float(value),
            _keys(row, asked),
            low=float(value / below),
            high=float(value * above),
        )
        for (row, (asked, _)), value, (below, above) in zip(answered, values, factors, strict=True)
    ]


def _doubt(questions: Sequence[Question], case: ServingCase, constants: ServingConstants) -> tuple[Array, Array]:
    """Standard deviations, and how many of them the band reaches below and above."""
    engines = np.array([engine_level(each.setup.engine, each.setup.engine_version) for each in questions])
    products = np.array([each.placement.device.gpu.api_name for each in questions])
    settings = np.array([setting_of(each.setup, each.placement.device.gpu.api_name) for each in questions])
    own = own_doubt(constants, case, steps_of(questions, case, constants), settings)
    rates = np.array([is_rate(each.metric) for each in questions])
    doubt = np.hypot(shared_doubt(constants, engines, products), own)
    return doubt, reach_of_values(constants, engines, products, rates=rates)


def _keys(row: Row, asked: Question) -> dict[str, str]:
    source = row.get("source") or ""
    engine = asked.setup.engine
    return {
        "gpu": asked.placement.device.gpu.api_name,
        "precision": row.get("weight_precision") or "",
        "source": source_of(row),
        "size": size_of(float(count(asked.setup.architecture).total)),
        "engine": "not stated" if engine == UNSTATED else str(engine),
        "metric": asked.metric,
        "table": "TensorRT-LLM" if _TABLES.search(source) and not _measured_elsewhere(source) else "other",
        "trust": _trust(row, asked),
    }


def _measured_elsewhere(source: str) -> bool:
    """Best-practice posts with speculative decoding, and other people's measurements of the engine."""
    return bool(re.search(r"Best_perf_practice| id=", source))


def _trust(row: Row, asked: Question) -> str:
    if _FLAGS.search(row.get("notes") or ""):
        return "flagged"
    closed = asked.metric.startswith("output_tok_s_total")
    if closed and (asked.setup.concurrency or 0.0) >= _BURST:
        return "burst"
    host_bound = _HOST_BOUND.search(row.get("source") or "") and asked.placement.device.gpu.vendor == "AMD"
    return "host-bound" if host_bound else "plain"
