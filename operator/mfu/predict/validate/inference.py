"""Rows of `inference_throughput.csv` against the serving model, each in the unit of its own metric.

Predictions never read `id` or `notes`. Only the report's breakdown does: `trust` sets apart the rows that the table
itself flags, and those of one host-bound stack that the model is known to miss.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mfu.hardware.problem import ProblemReason
from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import Case
from mfu.predict.inference.constants import Constants, load
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.measured import known_metric, predicted_values
from mfu.predict.types import Problem
from mfu.predict.validate.common import Refused, Report, Row, Scored, mape, size_of
from mfu.workload.parameters import count

_FLAGS = re.compile(r"KV-LIMITED|SUSPECT|REJECT|CAUTION")
_HOST_BOUND = re.compile(r"LLM-Inference-Bench")
_TABLES = re.compile(r"TensorRT-LLM")


def validate(rows: Sequence[Row], constants: Constants | None = None) -> Report:
    """Predict every row at once; `extra` has the error of TensorRT-LLM tables and of the rest, flagged rows aside."""
    constants = constants or load()
    asked = [_ask(row, constants) for row in rows]
    answered = [(row, each) for row, each in zip(rows, asked, strict=True) if not isinstance(each, Problem)]
    refused = [
        Refused(row.get("id") or "", str(each))
        for row, each in zip(rows, asked, strict=True)
        if isinstance(each, Problem)
    ]
    scored = _scored(answered, constants)
    plain = [row for row in scored if row.keys["trust"] == "plain"]
    tables = [row for row in plain if row.keys["table"] == "TensorRT-LLM"]
    rest = [row for row in plain if row.keys["table"] != "TensorRT-LLM"]
    extra = {"mape_plain": mape(plain), "mape_tensorrt_llm_tables": mape(tables), "mape_rest": mape(rest)}
    return Report(len(rows), tuple(scored), tuple(refused), extra)


def _ask(row: Row, constants: Constants) -> tuple[Question, Case] | Problem:
    try:
        asked = question(row)
    except KeyError as missing:
        return Problem(ProblemReason.INVALID_SPEC, str(missing.args[0]), "is missing as a column")
    if isinstance(asked, Problem):
        return asked
    if not known_metric(asked.metric):
        problem = f"is {asked.metric!r}, no known quantity"
        return Problem(ProblemReason.INVALID_SPEC, "metric", problem, "name one such as output_tok_s_total")
    case = case_of(asked.setup, asked.placement, constants)
    return case if isinstance(case, Problem) else (asked, case)


def _scored(answered: Sequence[tuple[Row, tuple[Question, Case]]], constants: Constants) -> list[Scored]:
    if not answered:
        return []
    questions = [asked for _, (asked, _) in answered]
    values = predicted_values(questions, [case for _, (_, case) in answered], constants)
    return [
        Scored(row.get("id") or "", asked.value, float(value), _keys(row, asked))
        for (row, (asked, _)), value in zip(answered, values, strict=True)
    ]


def _keys(row: Row, asked: Question) -> dict[str, str]:
    source = row.get("source") or ""
    return {
        "gpu": asked.placement.device.gpu.api_name,
        "precision": row.get("weight_precision") or "",
        "source": source.split(" id=")[0],
        "size": size_of(float(count(asked.setup.architecture).total)),
        "engine": asked.setup.engine or "not stated",
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
    host_bound = _HOST_BOUND.search(row.get("source") or "") and asked.placement.device.gpu.vendor == "AMD"
    return "host-bound" if host_bound else "plain"
