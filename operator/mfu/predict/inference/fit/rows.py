"""Measured rows as one stacked case to which any constants can be bound at once."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.build import setting_of
from mfu.predict.inference.case import ServingCase, stack_cases, take
from mfu.predict.inference.constants import ServingConstants, engine_level, load
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.measured import asked_case, is_rate, known_metric, values_of
from mfu.predict.inference.row_words import source_of
from mfu.predict.types import Problem

Floats = NDArray[np.float64]
Names = NDArray[np.str_]
Table = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServingRows:
    """Cases with every stack's factors 1; `sign` is 1 where more is faster (a rate), -1 where less is (a time)."""

    questions: tuple[Question, ...]
    case: ServingCase
    log_measured: Floats
    sign: Floats
    engine: Names
    product: Names
    source: Names
    series: Names
    setting: Names

    def __len__(self) -> int:
        return len(self.questions)

    def names(self, factor: str) -> Names:
        """The level of each row in a factor of the random effects."""
        return np.asarray(getattr(self, factor))

    def take(self, index: NDArray[np.intp]) -> ServingRows:
        return ServingRows(
            questions=tuple(self.questions[place] for place in index),
            case=take(self.case, index),
            log_measured=self.log_measured[index],
            sign=self.sign[index],
            engine=self.engine[index],
            product=self.product[index],
            source=self.source[index],
            series=self.series[index],
            setting=self.setting[index],
        )


def rows_of(table: Sequence[Table]) -> ServingRows:
    """The rows that the model can predict; the others are left out."""
    neutral = load().without_stacks()
    found = [(row, *made) for row in table if (made := _made(row, neutral)) is not None]
    asked = tuple(question for _, question, _ in found)
    sources = [source_of(row) for row, _, _ in found]
    return ServingRows(
        questions=asked,
        case=stack_cases([case for _, _, case in found]),
        log_measured=np.log([each.value for each in asked]),
        sign=np.array([1.0 if is_rate(each.metric) else -1.0 for each in asked]),
        engine=np.array([engine_level(each.setup.engine, each.setup.engine_version) for each in asked]),
        product=np.array([each.placement.device.gpu.api_name for each in asked]),
        source=np.array(sources),
        series=np.array([f"{source}/{_series(each)}" for source, each in zip(sources, asked, strict=True)]),
        setting=np.array([setting_of(each.setup, each.placement.device.gpu.api_name) for each in asked]),
    )


def _made(row: Table, constants: ServingConstants) -> tuple[Question, ServingCase] | None:
    asked = question(row)
    if isinstance(asked, Problem) or not known_metric(asked.metric):
        return None
    case = asked_case(asked, constants)
    return None if isinstance(case, Problem) else (asked, case)


def _series(asked: Question) -> str:
    """Rows of one series differ in lengths, load and layout alone."""
    setup, product = asked.setup, asked.placement.device.gpu.api_name
    return f"{setup.architecture.name}/{product}/{setup.engine}/{setup.precisions.weights}"


@lru_cache(maxsize=1)
def shipped_rows() -> tuple[Table, ...]:
    """Every measured row that the product ships, each with its source."""
    text = (files("mfu.predict.inference") / "data" / "measured.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def without(table: Sequence[Table], sources: frozenset[str]) -> list[Table]:
    """The rows of other sources."""
    return [row for row in table if source_of(row) not in sources]


def log_errors(rows: ServingRows, constants: ServingConstants) -> Floats:
    """log(predicted / measured) as speed: positive where the row is predicted too fast, rate or time."""
    host = np.array([constants.stack(str(name)).host for name in rows.engine])
    values = values_of(rows.questions, replace(rows.case, host=host), constants)
    return np.asarray(rows.sign * (np.log(values) - rows.log_measured))


def stack_effects(rows: ServingRows, constants: ServingConstants) -> Floats:
    """Logarithm of the factor that engine, product and setting put on each row's speed."""
    engine = np.array([constants.stack(str(name)).speed for name in rows.engine])
    product = np.array([constants.product(str(name)).speed for name in rows.product])
    setting = np.array([constants.setting(str(name)).speed for name in rows.setting])
    return np.asarray(np.log(constants.usual_speed * engine * product * setting))
