"""The constants that only the layout sweep can tell: memory terms, and how layouts of a blocking pipeline rank.

Coordinate descent from the shipped values: memory by mean absolute relative error of the peak, ranking by the mean of
rank correlation and of the rate of the first choice. Called by `tools.fit.training --sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.tables import read
from mfu.predict.names import MemoryTerm
from mfu.predict.training.arrays import TrainingCase, stack_cases
from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import TrainingConstants, shipped
from mfu.predict.training.peak_memory import training_memory
from mfu.predict.training.risk import ranking_seconds
from mfu.predict.training.step import step
from mfu.predict.types import Placement, Problem, Training
from mfu.predict.validate.sweep import question, spearman
from mfu.units import GIB

Floats = NDArray[np.float64]
Values = dict[str, float]

MEMORY = (
    "activation_unfused",
    "buffer_bytes",
    "gathered_layers",
    "gathered_busy",
    "gathered_growth",
)
RANKING = ("launch_blocking",)
"""How often exchanges stall is read off the table: fitted to the ranking of some questions it misleads on others."""
SEED = 5


@dataclass(frozen=True, slots=True)
class Sweep:
    """Jobs of the sweep, their measured peak bytes and rates, and which question each belongs to."""

    jobs: tuple[tuple[Training, Placement], ...]
    peak_bytes: Floats
    rates: Floats
    questions: tuple[NDArray[np.intp], ...]

    def case(self, c: TrainingConstants) -> TrainingCase:
        return stack_cases([case for setup, placement in self.jobs if (case := case_of(setup, placement, c))])


def load() -> Sweep:
    """Every shipped row that the model can predict."""
    jobs: list[Any] = []
    members: dict[Any, Any] = {}
    peaks, rates = [], []
    for row in read("sweep.csv"):
        found = question(row)
        if isinstance(found, Problem) or refuse(*found):
            continue
        key = tuple(row[name] for name in ("params_b", "gpus", "global_batch"))
        members.setdefault(key, []).append(len(jobs))
        jobs.append(found)
        peaks.append(float(row["peak_mem_gb"]) * GIB)
        rates.append(float(row["tokens_per_s_per_gpu"]))
    several = tuple(np.array(each) for each in members.values() if len(each) > 1)
    return Sweep(tuple(jobs), np.array(peaks), np.array(rates), several)


def memory_error(sweep: Sweep, case: TrainingCase, c: TrainingConstants) -> float:
    """Mean absolute relative error of the allocator's peak."""
    found = training_memory(case, c)
    held = found.total - found.terms[MemoryTerm.FRAMEWORK]
    return float(np.mean(np.abs(held / sweep.peak_bytes - 1.0)))


def ranking_quality(sweep: Sweep, case: TrainingCase, c: TrainingConstants) -> tuple[float, float]:
    """(rate of the first choice over the best, rank correlation), means over questions."""
    seconds = ranking_seconds(case, step(case, c), c)
    first, ranks = [], []
    for rows in sweep.questions:
        first.append(float(sweep.rates[rows[np.argmin(seconds[rows])]] / sweep.rates[rows].max()))
        rho = spearman(list(-seconds[rows]), list(sweep.rates[rows]))
        ranks += [] if rho is None else [rho]
    return float(np.mean(first)), float(np.mean(ranks))


def fit(sweep: Sweep, *, rounds: int = 25) -> Values:
    """Fitted values of both groups of constants."""
    case = sweep.case(shipped())
    memory = descend(MEMORY, lambda c: memory_error(sweep, case, c), rounds=rounds)
    return {**memory, **descend(RANKING, lambda c: -sum(ranking_quality(sweep, case, c)), rounds=max(rounds // 3, 1))}


def descend(names: Sequence[str], loss: Callable[[TrainingConstants], float], *, rounds: int) -> Values:
    """Coordinate descent with shrinking relative steps."""
    start = shipped()
    values = {name: start[name] for name in names}
    best = loss(start.replace(values))
    size = dict.fromkeys(names, 0.3)
    for _ in range(rounds):
        for name in names:
            value, found = _better(start, values, name, size[name], loss)
            if found < best - 1e-6:
                best, values[name] = found, value
            else:
                size[name] *= 0.6
    return values


def _better(
    start: TrainingConstants,
    values: Mapping[str, float],
    name: str,
    size: float,
    loss: Callable[[TrainingConstants], float],
) -> tuple[float, float]:
    tried = [values[name] * factor for factor in (1.0 + size, 1.0 / (1.0 + size))]
    losses = [loss(start.replace({**values, name: value})) for value in tried]
    index = int(np.argmin(losses))
    return tried[index], losses[index]


def held_out(sweep: Sweep, *, splits: int = 10) -> tuple[float, float, float]:
    """(memory error, first choice, rank correlation) on random halves of the questions that their fit left out."""
    case = sweep.case(shipped())
    generator = np.random.default_rng(SEED)
    found = []
    for _ in range(splits):
        order = generator.permutation(len(sweep.questions))
        inside, outside = np.array_split(order, 2)
        found.append(_left_out(sweep, case, inside, outside))
    memory, first, ranks = np.mean(found, axis=0)
    return float(memory), float(first), float(ranks)


def _left_out(
    sweep: Sweep, case: TrainingCase, inside: NDArray[np.intp], outside: NDArray[np.intp]
) -> tuple[float, float, float]:
    c = shipped().replace(fit(_part(sweep, [sweep.questions[each] for each in inside]), rounds=12))
    others = tuple(sweep.questions[each] for each in outside)
    held = training_memory(case, c)
    errors = np.abs((held.total - held.terms[MemoryTerm.FRAMEWORK]) / sweep.peak_bytes - 1.0)
    return float(np.mean(errors[np.concatenate(others)])), *ranking_quality(replace(sweep, questions=others), case, c)


def _part(sweep: Sweep, questions: Sequence[NDArray[np.intp]]) -> Sweep:
    """Those questions alone, rows renumbered."""
    rows = np.concatenate(questions)
    ends = np.cumsum([len(each) for each in questions])
    numbered = tuple(np.arange(end - len(each), end) for each, end in zip(questions, ends, strict=True))
    return Sweep(tuple(sweep.jobs[row] for row in rows), sweep.peak_bytes[rows], sweep.rates[rows], numbered)


def main() -> Values:
    """Fit, print, and say how it does on questions that its fit left out."""
    jobs = load()
    found = fit(jobs)
    for name, value in found.items():
        print(f"  {name:40s} {value:.4g}")
    memory, first, rank = held_out(jobs)
    print(f"sweep, half of the questions left out: memory {memory:.3f} first {first:.3f} spearman {rank:.3f}")
    return found
