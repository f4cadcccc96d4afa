"""Measured rows as one struct of arrays to which any constants can be bound at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.types import Precision
from mfu.predict.fit.tables import SHARE, Measured
from mfu.predict.training.arrays import TrainingCase, stack_cases, take_case
from mfu.predict.training.case import arithmetic_of, case_of, habitat_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import TrainingConstants, shipped
from mfu.predict.training.engines import UNKNOWN, engine
from mfu.predict.training.machine import attention_units, is_linked, relative_power
from mfu.predict.training.step import TrainingStep, step

Floats = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Cases made with neutral constants, so that any constants can be bound to all of them."""

    case: TrainingCase
    architecture: Names
    attention_units: Names
    engine: Names
    product: Names
    arithmetic: Names
    habitat: Names
    source: Names
    series: Names
    table: Names
    four_bit: NDArray[np.bool_]
    tensor_cores: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    power: Floats
    log_seconds: Floats

    def take(self, index: NDArray[np.intp]) -> TrainingRows:
        rest = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "case"}
        return TrainingRows(case=take_case(self.case, index), **rest)

    def names(self, factor: str) -> Names:
        """The level of each row in a factor of the random effects; its publisher, all versions of a source together."""
        if factor == "publisher":
            return np.asarray(np.char.partition(self.source, "@")[:, 0])
        return np.asarray(getattr(self, factor))


def neutral(c: TrainingConstants) -> TrainingConstants:
    """Constants whose per-architecture and per-stack entries are 1."""
    tables = ("sustained", "attention", "engine", "product", "arithmetic", "habitat")
    ones = {f"{table}.{key}": 1.0 for table in tables for key in c.tables[table]}
    rest = ("ceiling.FP4", "link_share", "pcie_share", "network_share", "host_operation")
    return c.replace({**ones, "power_share": 0.0, **dict.fromkeys(rest, 1.0)})


def rows_of(measured: Sequence[Measured]) -> TrainingRows:
    """Rows that the model can predict; the others are left out."""
    c = neutral(shipped())
    cases, kept = [], []
    for each in measured:
        case = None if refuse(each.setup, each.placement) else case_of(each.setup, each.placement, c)
        if case is not None:
            cases.append(case)
            kept.append(each)
    gpus = [each.placement.device.gpu for each in kept]
    arithmetics = [arithmetic_of(each.setup, each.placement) for each in kept]
    compute = [each.setup.precisions.compute for each in kept]
    return TrainingRows(
        case=stack_cases(cases),
        architecture=np.array([gpu.architecture for gpu in gpus]),
        attention_units=np.array([attention_units(gpu) for gpu in gpus]),
        engine=np.array([engine_level(each) for each in kept]),
        product=np.array([each.placement.device.gpu.api_name for each in kept]),
        arithmetic=np.array(arithmetics),
        habitat=np.array([habitat_of(each.setup.engine, name) for each, name in zip(kept, arithmetics, strict=True)]),
        source=np.array([each.source for each in kept]),
        series=np.array([each.series for each in kept]),
        table=np.array([each.table for each in kept]),
        four_bit=np.array([each is Precision.FP4 for each in compute]),
        tensor_cores=np.array([each is not Precision.FP32 for each in compute]),
        linked=np.array([is_linked(each.placement) for each in kept]),
        power=np.array([relative_power(each.placement.device) for each in kept]),
        log_seconds=np.log([each.seconds for each in kept]),
    )


def engine_level(job: Measured) -> str:
    """The engine's name; one that nobody names is no engine that sources share, so each of its sources has its own."""
    found = engine(job.setup.engine)
    return found.name if found is not UNKNOWN else f"{found.name} {job.source}"


def bind(rows: TrainingRows, c: TrainingConstants) -> TrainingCase:
    """The same cases under `c`."""
    clock = np.array([c.of("sustained", each) for each in rows.architecture])
    sustained = np.where(rows.tensor_cores, np.minimum(clock * rows.power ** c["power_share"], 1.0), 1.0)
    four = np.where(rows.four_bit, c.of("ceiling", "FP4"), 1.0)
    machine = replace(
        rows.case.machine,
        ceiling=rows.case.machine.ceiling * sustained * four,
        ceiling16=rows.case.machine.ceiling16 * sustained,
        attention=rows.case.machine.held * np.array([c.of("attention", each) for each in rows.attention_units]),
        link=rows.case.machine.link * np.where(rows.linked, c["link_share"], c["pcie_share"]),
        link_latency=np.full(len(sustained), c["link_latency"]),
        network=rows.case.machine.network * c["network_share"],
        network_latency=np.full(len(sustained), c["network_latency"]),
    )
    stack = replace(
        rows.case.stack,
        efficiency=efficiency(rows, c),
        seconds_per_layer=rows.case.stack.seconds_per_layer * c["host_operation"],
        exchange_seconds=rows.case.stack.exchange_seconds * c["host_operation"],
        plain_exchange_seconds=rows.case.stack.plain_exchange_seconds * c["host_operation"],
        loop_seconds=rows.case.stack.loop_seconds * c["host_operation"],
        dispatch_seconds=rows.case.stack.dispatch_seconds * c["host_operation"],
        shard_seconds=rows.case.stack.shard_seconds * c["host_operation"],
    )
    return replace(rows.case, machine=machine, stack=stack)


def efficiency(rows: TrainingRows, c: TrainingConstants) -> Floats:
    """The factors of engine, product, arithmetic and habitat."""
    found = np.ones(len(rows.engine))
    for table in ("engine", "product", "arithmetic", "habitat"):
        found = found * np.array([c.of(table, str(name)) for name in rows.names(table)])
    return found


def steps(rows: TrainingRows, c: TrainingConstants) -> TrainingStep:
    """Every row's step under `c`."""
    return step(bind(rows, c), c)


def log_errors(rows: TrainingRows, c: TrainingConstants) -> Floats:
    """log(predicted / measured) of the step time."""
    return np.log(steps(rows, c).seconds) - rows.log_seconds


LONE = 2.0
"""Rows at which a source weighs half of what the square root of its rows says: one row alone is an anecdote."""


def weights(rows: TrainingRows) -> Floats:
    """Every table its share; within it, a source weighs with the square root of its rows. What others published of
    engines and products that other tables hold weighs little: what ran there is said less well than in those."""
    found = np.zeros(len(rows.table))
    for table, share in SHARE.items():
        here = rows.table == table
        for source in np.unique(rows.source[here]):
            members = here & (rows.source == source)
            count = np.count_nonzero(members)
            found[members] = np.sqrt(count) / (count + LONE)
        if table == "outside":
            found[here & _known(rows, here)] *= KNOWN
        if np.any(here):
            found[here] *= share / found[here].sum()
    return found


def _known(rows: TrainingRows, outside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows of an engine and a product that other tables have measured."""
    return np.isin(rows.engine, rows.engine[~outside]) & np.isin(rows.product, rows.product[~outside])


KNOWN = 0.05
"""Weight of a published row that teaches no new engine and no new product, beside one that does."""
