"""Fit the shipped constants of the serving model from measured rows, and say how well they hold on unseen sources.

    python -m tools.fit.inference                       # fit, leave sources out, print
    python -m tools.fit.inference --write               # and write the constants
    python -m tools.fit.inference --rows A.csv B.csv    # first take the rows that the product ships from tables
    python -m tools.fit.inference --half                # without half of the publishers of benchmarks/published

Gauss-Newton on log(predicted / measured) with robust weights. Each constant is held by a prior around the value that
its documented source gives; engines, products, sources and series are random effects. Rows that never inform the fit:
those that the table flags, runs that drafted tokens or may have, requests that waited outside of the server,
deployments whose shape is not stated, bursts that are no steady state, and one host-bound stack (LLM-Inference-Bench on
MI300X). How far a prediction may be off comes from the sources left out. With `--half` a hash of their names decides
which publishers of benchmarks/published are in no part of the fit, and the fit's errors on their rows are printed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mfu.predict.inference.constants import document
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.fit.left_out import ServingRefits
from mfu.predict.inference.fit.newton import ServingFit, fit
from mfu.predict.inference.fit.rows import ServingRows, rows_of, shipped_rows
from mfu.predict.inference.fit.settings import with_settings
from mfu.predict.inference.recipes import by_recipe, turned_away
from mfu.predict.inference.row_words import named_concurrency, publisher_of, source_of
from mfu.predict.types import Problem
from mfu.predict.validate.inference import validate
from tools.fit.inference_bands import Calibration, calibrated, errors, summary

DATA: Final = Path(__file__).resolve().parents[2] / "operator/mfu/predict/inference/data"
PUBLISHED: Final = Path(__file__).resolve().parents[2] / "benchmarks/published/inference.csv"
UNCLEAR: Final = ("SGL-", "DSOI-", "DSR1-")
"""Production averages and best-practice posts whose layout or speculation is not stated."""
LATER: Final = "later_"
"""Tables that came after the model: half of their publishers stay out of every fit and grade it."""
DRAFTED: Final = r"1\.2\.0rc6\.post3.*MTP"
"""Runs of DeepSeek-R1 in a release that only recipes with multi-token prediction used (InferenceX, nvidia-master.yaml
of April 2026: dsr1-*-b200-trt-mtp; those without are of rc6.post2). How many drafts were accepted is not published, and
a setting that was run both ways may be of either: none of them informs the fit."""


def ship(paths: Sequence[Path]) -> int:
    """Write the rows that may inform a fit, without notes, into the package; returns how many."""
    kept = [row for path in paths for row in _usable(path)]
    columns = [name for name in kept[0] if name != "notes"]
    with (DATA / "measured.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    shipped_rows.cache_clear()
    return len(kept)


def _usable(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    trust = {row.id: row.keys["trust"] for row in validate(rows).scored}
    for row in rows:
        if path.name.startswith(LATER) and held_out(row["source"]):
            continue
        asked = question(row)
        if isinstance(asked, Problem) or row["id"].startswith(UNCLEAR) or trust.get(row["id"]) != "plain":
            continue
        if asked.speculation is not None or re.search(DRAFTED, row["notes"]) or turned_away(row):
            continue
        starved = asked.setup.concurrency is not None and asked.setup.concurrency < asked.setup.parallelism.data
        if not starved:
            yield {**row, "source": source_of(row) + _run(row, asked), "metric": row["metric"].split(" ")[0]}


def _run(row: Mapping[str, str], asked: Question) -> str:
    """What a run's name says of the run: whose recipe it is, its engine and its requests at once."""
    named = named_concurrency(row["source"])
    at_once = "" if named is None else f"_c{named:.0f}"
    recipe = "dsr1_" if by_recipe(row["source"]) else ""
    return f" id={recipe}{asked.setup.engine}{at_once}" if " id=" in row["source"] else ""


def write(found: ServingFit, rows: ServingRows, learned: Calibration) -> None:
    constants, filled = with_settings(learned.of(found.constants()), rows), document()
    for name in (*found.unknowns.names, "usual_speed"):
        filled["numbers"][name]["value"] = float(f"{getattr(constants, name):.4g}")
    for key in ("engines", "products", "settings"):
        stacks = getattr(constants, key)
        fields = ("speed", "host", "doubt") if key == "engines" else ("speed", "doubt")
        filled[key] = {
            name: {field: float(f"{getattr(stack, field):.4g}") for field in fields} for name, stack in stacks.items()
        }
    filled["doubt"] = {name: float(f"{constants.doubt[name]:.3g}") for name in (*found.spread, *learned.doubt)}
    filled["reach"] = {name: [float(f"{side:.3g}") for side in sides] for name, sides in learned.reach.items()}
    filled["strangers"] = {name: float(f"{speed:.3g}") for name, speed in learned.strangers.items()}
    (DATA / "constants.json").write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")


def held_out(source: str) -> bool:
    """Whether a publisher's rows stay out of a fit of half of them: the last bit of the hash of the name."""
    return hashlib.sha256(publisher_of(source).encode()).digest()[-1] % 2 == 1


def half(rounds: int) -> int:
    """Fit without half of the publishers and print the errors of all their rows, flagged ones included."""
    with PUBLISHED.open(newline="", encoding="utf-8") as file:
        away = [row for row in csv.DictReader(file) if held_out(row["source"])]
    sources = {source_of(row) for row in away}
    rows = rows_of([row for row in shipped_rows() if source_of(row) not in sources])
    report = validate(away, with_settings(fit(rows, rounds=rounds).constants(), rows))
    print(
        f"{len(away)} rows of half of the publishers: MAPE {report.mape:.3f}  median {report.median_ape:.3f}"
        f"  bias {report.bias:+.3f}  coverage {report.coverage:.3f}"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, nargs="+", help="tables to take the shipped rows from")
    parser.add_argument("--write", action="store_true", help="write the constants into the package")
    parser.add_argument("--half", action="store_true", help="hold half of the publishers out and predict them")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    if options.half:
        return half(options.rounds)
    if options.rows:
        print(f"{ship(options.rows)} rows shipped")
    rows = rows_of(shipped_rows())
    found = fit(rows, rounds=options.rounds)
    everything = np.ones(len(rows), dtype=bool)
    fitted = errors(rows, with_settings(found.constants(), rows))
    print(f"fit of {len(found.theta)} values {summary(rows, fitted, everything)}")
    learned = calibrated(ServingRefits.around(rows, found))
    print(learned)
    if options.write:
        write(found, rows, learned)
    return 0


if __name__ == "__main__":
    sys.exit(main())
