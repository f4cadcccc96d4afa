"""`mfu validate inference FILE --leave-out source`: each source predicted by a fit that never saw it.

A fit uses the file's own rows and the shipped rows of sources that the file does not hold, less the source in turn.
All fits share the linearisation at the fit of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.dataset import question
from mfu.predict.inference.doubt import KNOWN, NEW_ENGINE, NEW_PRODUCT, own_doubt, reach_of_values, shared_doubt
from mfu.predict.inference.fit.newton import ServingFit, fit, linear, shipped_fit, solved
from mfu.predict.inference.fit.rows import ServingRows, log_errors, rows_of, shipped_rows, stack_effects, without
from mfu.predict.inference.fit.settings import with_settings
from mfu.predict.inference.kernels import StepTime
from mfu.predict.inference.measured import steps_of
from mfu.predict.inference.recipes import turned_away
from mfu.predict.inference.row_words import source_of
from mfu.predict.types import Problem
from mfu.predict.validate.common import Report, Row, Scored, coverage, mape
from mfu.predict.validate.inference import errors_by_kind, predictable, validate
from mfu.predict.validate.left_out import Forecast, Refit, left_out

Floats = NDArray[np.float64]
_PASSES = 3
"""How often the errors are evaluated anew at the constants of a fit that leaves a source out."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class ServingRefits:
    """Everything that may be used, its fit, and how fits of a part of it are made."""

    rows: ServingRows
    whole: ServingFit
    base: Floats

    @classmethod
    def of(cls, rows: ServingRows) -> ServingRefits:
        """Start from the shipped constants: a fit of nearly the same rows ends near them."""
        return cls.around(rows, fit(rows, rounds=_ROUNDS, start=shipped_fit(rows)))

    @classmethod
    def around(cls, rows: ServingRows, whole: ServingFit) -> ServingRefits:
        """A fit that is already there."""
        return cls(rows, whole, log_errors(rows, whole.unknowns.constants(whole.theta)))

    def of_part(self, chosen: NDArray[np.bool_]) -> ServingConstants:
        """The constants of a fit of the chosen rows alone."""
        kept = np.flatnonzero(chosen)
        rows, jacobian = self.rows.take(kept), self.whole.jacobian[kept]
        state, base = self.whole, self.base[kept]
        for _ in range(_PASSES):
            state = solved(linear(rows, state.unknowns, base, jacobian, state.theta), state)
            base = log_errors(rows, state.unknowns.constants(state.theta))
        return with_settings(state.constants(), rows)


def inference_left_out(rows: Sequence[Row], *, given: int = 0) -> Report:
    """The report of `rows`, each predicted by a fit without its source."""
    report = validate(rows)
    asked = [row for row in rows if predictable(row)]
    usable = [
        row for row, scored in zip(asked, report.scored, strict=True) if scored.keys["trust"] == "plain" and _tells(row)
    ]
    sources = frozenset(source_of(row) for row in asked)
    refits = ServingRefits.of(rows_of([*usable, *without(shipped_rows(), sources)]))
    every = rows_of(asked)
    found = left_out(report, _refit(refits, every, asked), given=given)
    known = [known_by(refits.rows, every, row) for row in range(len(every))]
    scored = tuple(
        replace(row, keys={**row.keys, "known": each}) for row, each in zip(found.scored, known, strict=True)
    )
    return replace(found, scored=scored, extra={**found.extra, **errors_by_kind(scored), **by_known(scored)})


def known_by(fitted: ServingRows, rows: ServingRows, row: int) -> str:
    """What the other sources of a fit know of a row: a product that none of them has comes before an engine."""
    others = fitted.source != rows.source[row]
    if rows.product[row] not in fitted.product[others]:
        return NEW_PRODUCT
    return KNOWN if _engine(rows.engine[row]) in {_engine(each) for each in set(fitted.engine[others])} else NEW_ENGINE


def _engine(level: str) -> str:
    """Whatever its generation."""
    return str(level).split(" before ")[0]


def by_known(scored: Sequence[Scored]) -> dict[str, float | None]:
    """Error and coverage of plain rows by what others knew of them."""
    groups = {
        each: [row for row in scored if row.keys["known"] == each and row.keys["trust"] == "plain"]
        for each in (KNOWN, NEW_ENGINE, NEW_PRODUCT)
    }
    errors = {f"mape_{name.replace(' ', '_')}": mape(rows) for name, rows in groups.items()}
    return {**errors, **{f"coverage_{name.replace(' ', '_')}": coverage(rows) for name, rows in groups.items()}}


def _tells(row: Row) -> bool:
    """Whether it is known what ran: not where drafts were published beside none, or where requests stood outside."""
    asked = question(row)
    return not isinstance(asked, Problem) and asked.speculation is None and not turned_away(row)


def _refit(refits: ServingRefits, every: ServingRows, asked: Sequence[Row]) -> Refit:
    names = np.array([source_of(row) for row in asked])

    def refit(kept: NDArray[np.bool_]) -> Forecast:
        return forecast(every, refits.of_part(refits.rows.source != str(names[~kept][0])))

    return refit


def forecast(rows: ServingRows, constants: ServingConstants) -> Forecast:
    """Predictions of every row in its own unit, with what they may be off by."""
    error = log_errors(rows, constants) + stack_effects(rows, constants)
    predicted = np.exp(rows.log_measured + rows.sign * error)
    step = steps_of(rows.questions, rows.case, constants)
    precision = [str(each.setup.precisions.weights) for each in rows.questions]
    return Forecast(
        predicted,
        shared_doubt(constants, rows.engine, rows.product),
        own_doubt(constants, rows.case, step, rows.setting),
        reach=reach_of_values(constants, rows.engine, rows.product, rates=rows.sign > 0),
        spent=_spent(step),
        hardware=np.char.add(np.char.add(rows.product, " "), np.array(precision)),
    )


def _spent(step: StepTime) -> Floats:
    """Shares of each row's step: arithmetic, weights, the cache, messages, and what the host and launches take."""
    parts = (
        step.matrix_compute + step.prefill_attention + step.activations,
        step.weight_reads,
        step.decode_attention,
        step.communication + step.bubble,
        step.launch + step.host,
    )
    return np.stack([np.asarray(part / step.total, dtype=np.float64) for part in parts], axis=-1)
