"""Measured rows that the product ships for its fits, or those of any file, as jobs with measured seconds."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from mfu.predict.training.engines import engine
from mfu.predict.types import Placement, Problem, Training
from mfu.predict.validate import runs, steps, sweep, trainer, training
from mfu.predict.validate.common import Row
from mfu.workload.parameters import count


@dataclass(frozen=True, slots=True)
class Measured:
    """One job with the seconds that its step took."""

    table: str
    source: str
    series: str
    """Rows that repeat one another but for a few fields: a source's runs of one model on one product."""
    setup: Training
    placement: Placement
    seconds: float


SHARE: Final = {
    "training": 1.0,
    "experts": 0.15,
    "plain": 0.15,
    "steps": 0.25,
    "runs": 0.15,
    "sweep": 0.12,
    "trainer": 0.15,
    "outside": 0.1,
}
"""Weight of all rows of a table together, training as 1."""
MANY_ALIKE: Final = ("steps", "sweep")
"""Tables of one stack each, with more rows than all the others."""
SWEEP_LEAST_MFU: Final = 5.0
"""Slower layouts of the sweep stalled in that cluster's network; they inform the ranking, not the constants."""


def measured(table: str, rows: Iterable[Any]) -> list[Measured]:
    """The rows of one table that a fit may use."""
    return [found for row in rows if (found := READERS[table](row)) is not None]


@lru_cache(maxsize=1)
def shipped_rows() -> tuple[Measured, ...]:
    """Every measured row that the product ships (`fit/data`, each with its source)."""
    found: list[Measured] = []
    for table, file in FILES.items():
        found += measured(table, read(file))
    return tuple(found)


def read(name: str) -> list[dict[str, Any]]:
    """Rows of one shipped file."""
    text = resources.files("mfu.predict.fit").joinpath("data", name).read_text(encoding="utf-8")
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(csv.DictReader(io.StringIO(text)))


def _seconds(setup: Training, placement: Placement, rate: float) -> float:
    return setup.global_batch_size * setup.sequence_length / placement.gpus / rate


def series_of(source: str, setup: Training, placement: Placement) -> str:
    """Rows of one series differ in layout, batch or length alone."""
    size = count(setup.architecture).total
    return f"{source}/{size:.3g}/{placement.device.label}/{setup.precisions.compute.value}"


def asked_training(row: Row) -> Measured | None:
    """Any row of the training table that can be asked about, useful for a fit or not."""
    found = training.question(row)
    if isinstance(found, Problem):
        return None
    setup, placement, rate = found
    source = training.source_of(row)
    table = _table(row)
    series = series_of(source, setup, placement)
    return Measured(table, source, series, setup, placement, _seconds(setup, placement, rate))


def _table(row: Row) -> str:
    """Rows of lower tiers weigh by tables of their own, and so do those that others published."""
    if training.source_of(row) in _outside():
        return "outside"
    if row.get("tier") != "B":
        return "training"
    return "experts" if row.get("moe_experts") else "plain"


@lru_cache(maxsize=1)
def _outside() -> frozenset[str]:
    """Sources of `outside.csv`: what people who did not tune for a publication reached, with much left unsaid."""
    return frozenset(training.source_of(row) for row in read("outside.csv"))


def _training(row: Row) -> Measured | None:
    flag = row.get("quality_flag") or ""
    return asked_training(row) if _informs(row, flag) and not _UNFIT.search(flag) else None


_UNFIT: Final = re.compile(r"outlier|DOUBTFUL|not stated")


def _informs(row: Row, flag: str) -> bool:
    """Tier A, and rows of lower tiers that still teach: mixtures, of which tier A has few, and stacks of the framework
    itself, of which it has next to none."""
    tier = row.get("tier") or ""
    taught = bool(row.get("moe_experts")) or engine(training.engine_name(row)).plain
    return tier == "A" or (tier == "B" and taught) or "LoRA" in flag


def asked_steps(row: Row) -> Measured | None:
    """Any row of the step table that can be asked about."""
    found = steps.question(row)
    if isinstance(found, Problem):
        return None
    setup, placement, seconds = found
    source = training.source_of(row)
    return Measured("steps", source, series_of(source, setup, placement), setup, placement, seconds)


def asked_runs(row: Row) -> Measured | None:
    """A training run of the table of runs."""
    found = runs.question(row) if row.get("kind") == "train" else None
    if found is None or isinstance(found, Problem):
        return None
    setup, placement = found
    return Measured("runs", "runs", series_of("runs", setup, placement), setup, placement, float(row["step_s"]))


def asked_sweep(row: Row) -> Measured | None:
    """Any row of the sweep that can be asked about; each question of it counts as a source."""
    found = sweep.question(row)
    if isinstance(found, Problem):
        return None
    setup, placement = found
    rate = float(row["tokens_per_s_per_gpu"])
    series = f"sweep/{row['params_b']}/{row['gpus']}"
    return Measured("sweep", "sweep", series, setup, placement, _seconds(setup, placement, rate))


def _sweep(row: Row) -> Measured | None:
    return asked_sweep(row) if float(row["mfu_pct"]) >= SWEEP_LEAST_MFU else None


def asked_trainer(record: Mapping[str, Any]) -> Measured | None:
    """A recorded run of a training program whose declaration says all that set its pace."""
    found = trainer.question(record)
    if isinstance(found, Problem) or record.get("truth") in trainer.UNDECLARED:
        return None
    setup, placement = found
    scenario, source = str(record.get("scenario")), trainer.source_of(record)
    return Measured("trainer", source, scenario, setup, placement, float(record["step_s"]))


READERS: Mapping[str, Callable[[Any], Measured | None]] = {
    "training": _training,
    "fresh": _training,
    "plain": _training,
    "published": _training,
    "outside": _training,
    "steps": asked_steps,
    "runs": asked_runs,
    "sweep": _sweep,
    "trainer": asked_trainer,
}
FILES: Final = {
    "training": "training.csv",
    "fresh": "fresh.csv",
    "plain": "plain.csv",
    "published": "published.csv",
    "outside": "outside.csv",
    "steps": "steps.csv",
    "runs": "runs.csv",
    "sweep": "sweep.csv",
    "trainer": "trainer.jsonl",
}


def without(rows: Sequence[Measured], sources: frozenset[str]) -> list[Measured]:
    """The rows of other sources."""
    return [row for row in rows if row.source not in sources]
