"""How far a training prediction may be off, by how near it is to what was measured.

Two parts, as standard deviations of log(measured / predicted). What all runs of one stack on one product err by
together: the engine, the product and the number format (little where they were measured, the whole spread between
engines or products where not) and what sources differ by. What each run errs by alone: the series, the run, and the
terms that the model knows less well than arithmetic, each by its share of the step: a step that communicates for half
of its time is known by half as well as communication is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.names import StepTerm
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.case import arithmetic_of, habitat_of
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.engines import engine
from mfu.predict.training.step import TrainingStep
from mfu.predict.types import Placement, Training

Names = NDArray[np.str_]

UNSURE: Final[Mapping[str, tuple[StepTerm, ...]]] = {
    "communication": (
        StepTerm.TENSOR_COMMUNICATION,
        StepTerm.CONTEXT_COMMUNICATION,
        StepTerm.EXPERT_COMMUNICATION,
        StepTerm.PIPELINE_COMMUNICATION,
        StepTerm.DATA_COMMUNICATION,
    ),
    "host": (StepTerm.HOST,),
    "memory": (StepTerm.MEMORY_BOUND, StepTerm.OPTIMIZER),
    "shape": (StepTerm.KERNEL_SHAPE, StepTerm.EXPERT_IMBALANCE),
    "pipeline": (StepTerm.PIPELINE_BUBBLE, StepTerm.VOCABULARY_IMBALANCE),
}
"""Entries of the `doubt` table and the terms whose share of the step they scale."""


def stack_doubt(c: TrainingConstants, setup: Training, placement: Placement) -> float:
    """What runs of this stack on this product err by together."""
    names = (engine(setup.engine).name, placement.device.gpu.api_name, arithmetic_of(setup, placement))
    return float(shared_doubt(c, *(np.array([name]) for name in names))[0])


def run_doubt(
    c: TrainingConstants, setup: Training, placement: Placement, found: tuple[TrainingCase, TrainingStep]
) -> float:
    """What a run errs by alone."""
    habitat = habitat_of(setup.engine, arithmetic_of(setup, placement))
    return float(own_doubt(c, *found, np.array([habitat])).item())


def shared_doubt(c: TrainingConstants, engines: Names, products: Names, arithmetics: Names) -> Array:
    """The same for arrays of names."""
    total = np.zeros(len(engines))
    columns = {"engine": engines, "product": products, "arithmetic": arithmetics}
    for table, names in {**columns, "habitat": habitats(engines, arithmetics)}.items():
        total = total + np.array([c.of(f"{table}_doubt", str(name)) for name in names]) ** 2
    for name, column in shared_columns(c, engines, products, arithmetics).items():
        total = total + c.of("doubt", name) ** 2 * column
    return np.asarray(np.sqrt(total))


def shared_columns(c: TrainingConstants, engines: Names, products: Names, arithmetics: Names) -> dict[str, Array]:
    """By how much each entry of the `doubt` table counts that runs of one stack share: a source always, an engine or a
    product that nobody measured, programs that nobody tunes for a publication, and what few sources have measured."""
    new = np.maximum(unmeasured(c, "product", products), unmeasured(c, "arithmetic", arithmetics))
    return {
        "source": np.ones(len(engines)),
        "unknown": unmeasured(c, "engine", engines),
        "product": new,
        "architecture": unmeasured_architecture(c, arithmetics),
        "plain": np.array([float(engine(str(name)).plain) for name in engines]),
        "few": fewness(c, habitats(engines, arithmetics)),
    }


def fewness(c: TrainingConstants, names: Names) -> Array:
    """By how much a mean over the sources of a habitat is doubtful beside one source: 1 where none has measured it.

    Programs tuned for Blackwell, known from one publisher: 1 / (1 + 0.99) = 0.5; for Hopper, from eleven: 0.08.
    """
    return np.array([1.0 / (1.0 + c.of("publishers", str(name))) for name in names])


def habitats(engines: Names, arithmetics: Names) -> Names:
    """The habitat of each row."""
    return np.array([habitat_of(str(name), str(units)) for name, units in zip(engines, arithmetics, strict=True)])


def unmeasured_architecture(c: TrainingConstants, arithmetics: Names) -> Array:
    """1 for matrix units that no measured row had, in any format."""
    known = {name.split()[0] for name in c.tables["arithmetic"] if " " in name}
    return np.array([float(str(name).split()[0] not in known) for name in arithmetics])


def unmeasured(c: TrainingConstants, table: str, names: Names) -> Array:
    """1 for the names that no measured row had."""
    return np.array([float(not c.measured(table, str(name))) for name in names])


def own_doubt(c: TrainingConstants, case: TrainingCase, found: TrainingStep, habitat: Names) -> Array:
    """What each run errs by alone."""
    total = np.zeros(np.shape(found.seconds))
    for name, share in shares(case, found, fewness(c, habitat)).items():
        total = total + (c.of("doubt", name) * share) ** 2
    return np.asarray(np.sqrt(total))


def shares(case: TrainingCase, found: TrainingStep, few: Array) -> dict[str, Array]:
    """By how much each entry of the `doubt` table counts: 1 for what every run has, the share of the step for terms.
    Mixtures err by more where few have measured: their kernels and schedules change from release to release."""
    terms = {
        name: np.asarray(sum((np.asarray(found.losses[term]) for term in among), np.zeros(()))) / found.seconds
        for name, among in UNSURE.items()
    }
    experts = np.asarray(case.model.moe_layers > 0.0, dtype=float)
    return {"own": np.ones(()), "experts": experts, "few_experts": experts * np.sqrt(few), **terms}
