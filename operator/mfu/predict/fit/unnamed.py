"""What a program reaches whose engine nobody names: the engines that were measured, predicted with their names hidden.

An engine that no fit has seen has habits that nobody knows either. Each known engine in turn plays that part: its rows
are predicted by the fit of all others and with `UNKNOWN`'s habits in place of its own. Every engine counts once, every
source of it alike. Their mean is the factor of an engine without a name, their spread how far the next one may stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.rows import TrainingRows, engine_level, log_errors, rows_of
from mfu.predict.fit.tables import MANY_ALIKE, Measured
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import DEFAULT, TrainingConstants
from mfu.predict.training.engines import UNKNOWN

Floats = NDArray[np.float64]
_ROUNDS: Final = 4
"""A step is not all arithmetic, so that a factor takes some rounds to bring the mean to zero."""


@dataclass(frozen=True, slots=True)
class HiddenRows:
    """Rows without the names of their engines, the names beside them, and the fit of all others for each name."""

    rows: TrainingRows
    engine: NDArray[np.str_]
    others: dict[str, TrainingConstants]

    def errors(self, shift: float) -> Floats:
        """The mean error of each engine (log of predicted by measured seconds), with `shift` on the common factor."""
        return np.array([self._error(name, c, shift) for name, c in self.others.items()])

    def _error(self, name: str, c: TrainingConstants, shift: float) -> float:
        rows = self.rows.take(np.flatnonzero(self.engine == name))
        factor = c.of("engine", DEFAULT) * float(np.exp(shift))
        found = log_errors(rows, c.replace({f"engine.{UNKNOWN.name}": factor}))
        return float(np.mean([np.median(found[rows.source == source]) for source in np.unique(rows.source)]))


def hidden(refits: TrainingRefits, jobs: Sequence[Measured]) -> HiddenRows:
    """Rows of all engines, tables of thousands of alike rows aside. Without a name here, each source is an engine."""
    kept = [job for job in jobs if job.table not in MANY_ALIKE]
    blank = [(job, replace(job, setup=replace(job.setup, engine=None))) for job in kept]
    usable = [(job, unnamed) for job, unnamed in blank if refuse(unnamed.setup, unnamed.placement) is None]
    names = np.array([engine_level(job) for job, _ in usable])
    others = {str(name): refits.less(str(name), factor="engine") for name in np.unique(names)}
    return HiddenRows(rows_of([unnamed for _, unnamed in usable]), names, others)


def unnamed(found: HiddenRows, common: float) -> dict[str, float]:
    """Entries of the constants: the factor of an engine without a name, and what is unknown of it (log).

    `common` is the mean factor of all engines, by their own habits.
    """
    shift = 0.0
    for _ in range(_ROUNDS):
        shift += float(np.mean(found.errors(shift)))
    spread = float(np.std(found.errors(shift), ddof=1))
    return {f"engine.{UNKNOWN.name}": common * float(np.exp(shift)), f"engine_doubt.{UNKNOWN.name}": spread}
