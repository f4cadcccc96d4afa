"""`mfu validate training|steps|runs|sweep FILE --leave-out source`: each source predicted by a fit that never saw it.

A fit uses the file's own rows and the shipped rows of sources that the file does not hold, less the source in turn.
All fits share the linearisation at the fit of everything: leaving rows out moves the constants little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.newton import TrainingFit, bare, fit, linear, publishers, shipped_fit, solved
from mfu.predict.fit.rows import TrainingRows, log_errors, rows_of, steps
from mfu.predict.fit.tables import (
    READERS,
    Measured,
    asked_runs,
    asked_steps,
    asked_sweep,
    asked_trainer,
    asked_training,
    measured,
    shipped_rows,
    without,
)
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import TrainingConstants, shipped
from mfu.predict.training.doubt import own_doubt, shared_doubt
from mfu.predict.training.step import TrainingStep
from mfu.predict.validate.common import Report, Row
from mfu.predict.validate.left_out import Forecast, left_out
from mfu.predict.validate.runs import validate_any
from mfu.predict.validate.steps import validate_steps
from mfu.predict.validate.sweep import validate_sweep
from mfu.predict.validate.training import validate_training

Floats = NDArray[np.float64]
_PASSES = 2
"""How often the errors are evaluated anew at the constants of a fit that leaves a source out."""


@dataclass(frozen=True, slots=True)
class TrainingRefits:
    """Everything that may be used, its fit, and how fits of a part of it are made."""

    rows: TrainingRows
    whole: TrainingFit
    base: Floats

    @classmethod
    def of(cls, measured: Sequence[Measured], rounds: int = 3) -> TrainingRefits:
        """Start from the shipped constants: a fit of nearly the same rows ends near them."""
        rows = rows_of(measured)
        return cls.around(rows, fit(rows, rounds=rounds, start=shipped_fit(rows)))

    @classmethod
    def around(cls, rows: TrainingRows, whole: TrainingFit) -> TrainingRefits:
        """A fit that is already there."""
        return cls(rows, whole, log_errors(rows, bare(whole.theta)))

    def less(self, level: str, *, factor: str = "source") -> TrainingConstants:
        """The constants of a fit of every other source (or engine, or product)."""
        kept = np.flatnonzero(self.rows.names(factor) != level)
        rows, jacobian = self.rows.take(kept), self.whole.jacobian[kept]
        state, base = replace(self.whole, publishers=publishers(rows)), self.base[kept]
        for _ in range(_PASSES):
            state = solved(linear(rows, base, jacobian, state.theta), state)
            base = log_errors(rows, bare(state.theta))
        return state.constants()


def left_out_sources(
    report: Report,
    asked: Sequence[Measured],
    usable: Sequence[Measured],
    *,
    sound: Sequence[bool] | None = None,
    given: int = 0,
    seconds: bool = False,
) -> Report:
    """`asked` are the report's scored rows in order, `usable` those that a fit may use, `sound` which of the asked ones
    these are, all where None; `seconds` says that the report is of step times, not of rates."""
    sources = frozenset(each.source for each in asked)
    refits = TrainingRefits.of([*usable, *without(shipped_rows(), sources)])
    rows = rows_of(asked)
    usual = steps(rows, shipped()).seconds
    names = np.array([each.source for each in asked])
    hardware = np.char.add(np.char.add(rows.product, "/"), rows.arithmetic)
    method = np.array([each.setup.method.value for each in asked])
    told = None if sound is None else np.array(sound)

    def refit(kept: NDArray[np.bool_]) -> Forecast:
        c = refits.less(str(names[~kept][0]))
        found = steps(rows, c)
        ratio = found.seconds / usual
        predicted = np.array([row.predicted for row in report.scored]) * (ratio if seconds else 1.0 / ratio)
        shared = shared_doubt(c, rows.engine, rows.product, rows.arithmetic)
        own = own_doubt(c, rows.case, found, rows.habitat)
        return Forecast(predicted, shared, own, spent(found), hardware, method, told)

    keyed = [
        replace(row, keys={**row.keys, "source": str(name)}) for row, name in zip(report.scored, names, strict=True)
    ]
    return left_out(replace(report, scored=tuple(keyed)), refit, given=given)


def spent(found: TrainingStep) -> Floats:
    """Shares of each step: arithmetic at peak, then every loss; a row a step."""
    parts = [found.ideal, *found.losses.values()]
    return np.stack([np.broadcast_to(part / found.seconds, np.shape(found.seconds)) for part in parts], axis=-1)


def training_left_out(rows: Sequence[Row], *, given: int = 0) -> Report:
    """`mfu validate training FILE --leave-out source`."""
    return _table_left_out("training", validate_training(rows), rows, asked_training, given=given)


def steps_left_out(rows: Sequence[Row], *, given: int = 0) -> Report:
    """`mfu validate steps FILE --leave-out source`."""
    asked = _asked(asked_steps, rows)
    return left_out_sources(validate_steps(rows), asked, asked, given=given, seconds=True)


def sweep_left_out(rows: Sequence[Row], *, given: int = 0) -> Report:
    """`mfu validate sweep FILE --leave-out source`: the table is one source."""
    return _table_left_out("sweep", validate_sweep(rows), rows, asked_sweep, given=given)


def _table_left_out(
    table: str, report: Report, rows: Sequence[Row], reader: Callable[[Any], Measured | None], *, given: int
) -> Report:
    """Tables of which a fit may use a part."""
    asked = [row for row in rows if (found := reader(row)) is not None and _predictable(found)]
    sound = [READERS[table](row) is not None for row in asked]
    return left_out_sources(report, _asked(reader, asked), measured(table, rows), sound=sound, given=given)


def runs_left_out(rows: Sequence[Mapping[str, Any]], *, given: int = 0) -> Report:
    """`mfu validate runs FILE --leave-out source`, training runs alone: the serving model has refits of its own."""
    recorded = bool(rows) and "config" in rows[0]
    trained = rows if recorded else [row for row in rows if row.get("kind") == "train"]
    asked = _asked(asked_trainer if recorded else asked_runs, trained)
    return left_out_sources(validate_any(trained), asked, asked, given=given, seconds=True)


def _asked(reader: Callable[[Any], Measured | None], rows: Sequence[Any]) -> list[Measured]:
    """The jobs that the report scored, in its order."""
    found = [each for row in rows if (each := reader(row)) is not None]
    return [each for each in found if _predictable(each)]


def _predictable(job: Measured) -> bool:
    return refuse(job.setup, job.placement) is None
