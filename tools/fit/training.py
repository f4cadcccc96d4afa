"""Fit the shipped constants of the training model from measured rows, and say how well they hold on unseen sources.

    python -m tools.fit.training              # fit the rows that the package ships, leave each source out, print
    python -m tools.fit.training --write      # and write the constants

The fit itself lives in `mfu.predict.fit`, where `mfu validate … --leave-out source` calls it too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.doubts import left_out_errors, likeliest
from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.newton import fit
from mfu.predict.fit.parameters import PREDICTED
from mfu.predict.fit.rows import TrainingRows, log_errors, rows_of, steps
from mfu.predict.fit.tables import MANY_ALIKE, shipped_rows
from mfu.predict.fit.unnamed import hidden, unnamed
from mfu.predict.spread import NORMAL_80
from mfu.predict.training.constants import DEFAULT, TrainingConstants, document
from mfu.predict.training.doubt import own_doubt, shared_doubt
from mfu.predict.training.engines import UNKNOWN
from tools.fit import sweep as fit_sweep

ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = ROOT / "operator/mfu/predict/training/data/constants.json"
LEARNED = (*(f"{name}{end}" for name in PREDICTED for end in ("", "_doubt")), "publishers")
"""Tables whose entries are the levels that the fit saw, and nothing else."""
ROUNDS = 10


def summary(rows: TrainingRows, c: TrainingConstants) -> None:
    """Print the error of the rate by table, engine and source."""
    errors = np.exp(-log_errors(rows, c)) - 1.0
    for label, column in (("table", rows.table), ("engine", rows.engine), ("source", rows.source)):
        for value in np.unique(column):
            here = errors[column == value]
            print(f"  {label:7s} {value:45s} {len(here):5d}  mape {np.abs(here).mean():.3f}  bias {here.mean():+.3f}")


def left_out(rows: TrainingRows, refits: TrainingRefits) -> None:
    """Print the error of each source under a fit that never saw it."""
    found = []
    for source in np.unique(rows.source):
        here = np.flatnonzero(rows.source == source)
        errors = log_errors(rows.take(here), refits.less(str(source)))
        found.append((float(np.mean(np.abs(np.exp(-errors) - 1.0))), str(source), len(here)))
    for error, source, count in sorted(found):
        print(f"  {source:45s} {count:5d}  mape {error:.3f}")
    means = [error for error, *_ in found]
    print(f"  median source {np.median(means):.3f}, mean source {np.mean(means):.3f}")


@dataclass(frozen=True, slots=True)
class Stranger:
    """Rows of one engine or product under a fit that never saw it: share that their band holds, its half-width."""

    level: str
    rows: int
    mape: float
    coverage: float
    half_width: float


def strangers(refits: TrainingRefits, factor: str) -> list[Stranger]:
    """Each engine or product in turn as one that nobody measured; tables of thousands of alike rows aside."""
    names = refits.rows.names(factor)
    chosen = ~np.isin(refits.rows.table, MANY_ALIKE)
    return [_stranger(refits, factor, str(level), names, chosen) for level in np.unique(names[chosen])]


def _stranger(
    refits: TrainingRefits, factor: str, level: str, names: NDArray[np.str_], chosen: NDArray[np.bool_]
) -> Stranger:
    rows, c = refits.rows.take(np.flatnonzero((names == level) & chosen)), refits.less(level, factor=factor)
    errors = log_errors(rows, c)
    doubt = np.hypot(
        shared_doubt(c, rows.engine, rows.product, rows.arithmetic),
        own_doubt(c, rows.case, steps(rows, c), rows.habitat),
    )
    reach = NORMAL_80 * doubt
    held, off = np.abs(errors) <= reach, np.abs(np.expm1(-errors))
    return Stranger(level, len(errors), float(off.mean()), float(held.mean()), float(np.sinh(reach).mean()))


def print_strangers(refits: TrainingRefits) -> None:
    """Print what the band holds of engines and products that no fit saw, all rows counted alike."""
    for factor in ("engine", "product"):
        found = strangers(refits, factor)
        for each in found:
            print(
                f"  new {factor} {each.level:25s} {each.rows:5d}  mape {each.mape:.3f}  "
                f"holds {each.coverage:.2f}  half-width {each.half_width:.2f}"
            )
        print(f"  new {factor}s: the band holds {held_of(found):.3f}")


def held_of(found: Sequence[Stranger]) -> float:
    """Share of all their rows that their bands hold."""
    return sum(each.coverage * each.rows for each in found) / sum(each.rows for each in found)


def write(values: Mapping[str, float]) -> None:
    """Put the fitted values into the document, four significant digits, everything else untouched."""
    text = document()
    for name in LEARNED:
        text[name]["value"] = {DEFAULT: _default(text[name]["value"])}
    for name, value in values.items():
        table, _, key = name.partition(".")
        if key.startswith(f"{UNKNOWN.name} "):
            continue  # one source's own, of which no declaration can tell
        entry, rounded = text[table], float(f"{value:.4g}")
        if key and isinstance(entry["value"], dict):
            entry["value"][key] = rounded
        else:
            entry["value"] = rounded
    CONSTANTS.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _default(table: object) -> float:
    return float(table[DEFAULT]) if isinstance(table, dict) else 1.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--sweep", action="store_true", help="also fit what only the layout sweep can tell")
    options = parser.parse_args(arguments)
    rows = rows_of(shipped_rows())
    whole = fit(rows, rounds=ROUNDS)
    values = whole.values()
    for name, value in values.items():
        print(f"  {name:40s} {value:.4g}")
    summary(rows, whole.constants())
    print("left out of the fit:")
    refits = TrainingRefits.around(rows, whole)
    left_out(rows, refits)
    print_strangers(refits)
    values.update(unnamed(hidden(refits, shipped_rows()), values[f"engine.{DEFAULT}"]))
    print("an engine without a name:", values[f"engine.{UNKNOWN.name}"], "±", values[f"engine_doubt.{UNKNOWN.name}"])
    doubts = likeliest(left_out_errors(refits))
    values.update({f"doubt.{name}": value for name, value in doubts.items()})
    print("bands:", ", ".join(f"{name} {value:.3f}" for name, value in doubts.items()))
    if options.sweep:
        values = {**values, **fit_sweep.main()}
    if options.write:
        write(values)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
