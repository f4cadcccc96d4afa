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
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.constants import ServingConstants, document
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.doubt import TERMS, features, own_doubt, shared_doubt
from mfu.predict.inference.fit.left_out import NEW_ENGINE, NEW_PRODUCT, ServingRefits, known_by
from mfu.predict.inference.fit.newton import ServingFit, fit
from mfu.predict.inference.fit.rows import ServingRows, log_errors, rows_of, shipped_rows, stack_effects
from mfu.predict.inference.fit.settings import with_settings
from mfu.predict.inference.measured import steps_of
from mfu.predict.inference.recipes import by_recipe, turned_away
from mfu.predict.inference.row_words import named_concurrency, source_of
from mfu.predict.spread import NORMAL_80
from mfu.predict.types import Problem
from mfu.predict.validate.inference import validate

Floats = NDArray[np.float64]
DATA: Final = Path(__file__).resolve().parents[2] / "operator/mfu/predict/inference/data"
PUBLISHED: Final = Path(__file__).resolve().parents[2] / "benchmarks/published/inference.csv"
UNCLEAR: Final = ("SGL-", "DSOI-", "DSR1-")
"""Production averages and best-practice posts whose layout or speculation is not stated."""
DRAFTED: Final = r"1\.2\.0rc6\.post3.*MTP"
"""Runs of DeepSeek-R1 in a release that only recipes with multi-token prediction used (InferenceX, nvidia-master.yaml
of April 2026: dsr1-*-b200-trt-mtp; those without are of rc6.post2). How many drafts were accepted is not published, and
a setting that was run both ways may be of either: none of them informs the fit."""
COVERED: Final = 0.82
"""What the band shall hold of the rows of sources left out."""
LARGEST: Final = 0.6
"""Errors (log) beyond this count as this: runs in another state than the one declared, not the model's doubt."""


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


def errors(rows: ServingRows, constants: ServingConstants) -> Floats:
    """log(predicted / measured) as speed, the factors of engine and product included."""
    return log_errors(rows, constants) + stack_effects(rows, constants)


def leave_out(refits: ServingRefits, labels: NDArray[np.str_]) -> Floats:
    """Errors of each row by constants fitted without its source."""
    found = np.full(len(refits.rows), np.nan)
    for source in dict.fromkeys(labels.tolist()):
        away = labels == source
        found[away] = errors(refits.rows, refits.less(source))[away]
        print(f"  without {source[:48]:48s} {summary(refits.rows, found, away)}")
    return found


def summary(rows: ServingRows, error: Floats, chosen: NDArray[np.bool_]) -> str:
    """Rows, MAPE in the rows' own units, and median error as speed."""
    off = np.abs(np.expm1(rows.sign * error))[chosen]
    return f"{int(chosen.sum()):5d} rows  MAPE {off.mean():.3f}  bias {np.median(error[chosen]):+.3f}"


def doubts(rows: ServingRows, error: Floats, constants: ServingConstants) -> dict[str, float]:
    """What a run errs by alone, by what its time is made of: squared errors of left-out rows, less what sources and
    stacks share, on the features, none negative; then widened together until the band holds what it shall."""
    weight = _source_weights(rows)
    given = features(rows.case, steps_of(rows.questions, rows.case, constants))
    shared = shared_doubt(constants, rows.engine, rows.product) ** 2 + constants.doubt["series"] ** 2
    found = _nonnegative(given, np.minimum(error**2, LARGEST**2) - shared, weight)
    for scale in np.arange(0.6, 2.0, 0.02):
        reach = NORMAL_80 * np.sqrt(shared + given @ found * scale**2)
        if weight @ (np.abs(error) <= reach) >= COVERED * weight.sum():
            break
    return {name: float(value * scale) for name, value in zip(TERMS, np.sqrt(found), strict=True)}


def doubts_of_the_new(
    rows: ServingRows, error: Floats, constants: ServingConstants, spread: Mapping[str, float]
) -> dict[str, float]:
    """What rows err by beyond their band where no other source had their engine or product, until it holds them."""
    known = np.array([known_by(rows, rows, row) for row in range(len(rows))])
    steps, none = steps_of(rows.questions, rows.case, constants), replace(constants, settings={})
    own = own_doubt(none, rows.case, steps, rows.setting) ** 2 + constants.doubt["source"] ** 2
    found = {}
    for factor, group in (("engine", NEW_ENGINE), ("product", NEW_PRODUCT)):
        here, other = known == group, "product" if factor == "engine" else "engine"
        shared = own[here] + spread[factor] ** 2 + _mean_doubt(constants, other) ** 2
        weight = _source_weights(rows)[here]
        for beyond in np.arange(0.0, 0.5, 0.002):
            reach = NORMAL_80 * np.sqrt(shared + beyond**2)
            if weight @ (np.abs(error[here]) <= reach) >= COVERED * weight.sum():
                break
        found[f"new {factor}"] = float(beyond)
    return found


def _mean_doubt(constants: ServingConstants, factor: str) -> float:
    known = constants.engines if factor == "engine" else constants.products
    return float(np.mean([each.doubt for each in known.values()]))


def _source_weights(rows: ServingRows) -> Floats:
    counts = {source: np.count_nonzero(rows.source == source) for source in np.unique(rows.source)}
    return np.array([counts[source] ** -0.5 for source in rows.source])


def _nonnegative(given: Floats, wanted: Floats, weight: Floats) -> Floats:
    """Least squares with no coefficient below zero, by projected gradient."""
    normal, right = given.T @ (weight[:, None] * given), given.T @ (weight * wanted)
    found = np.full(given.shape[1], 0.01)
    for _ in range(20_000):
        found = np.maximum(found - (normal @ found - right) / np.trace(normal), 0.0)
    return found


def write(found: ServingFit, rows: ServingRows, doubt: Mapping[str, float]) -> None:
    constants, filled = with_settings(found.constants(), rows), document()
    for name in (*found.unknowns.names, "usual_speed"):
        filled["numbers"][name]["value"] = float(f"{getattr(constants, name):.4g}")
    for key in ("engines", "products", "settings"):
        stacks = getattr(constants, key)
        fields = ("speed", "host", "doubt") if key == "engines" else ("speed", "doubt")
        filled[key] = {
            name: {field: float(f"{getattr(stack, field):.4g}") for field in fields} for name, stack in stacks.items()
        }
    told = {**found.spread, **doubt, **found.unknown(doubt)}
    filled["doubt"] = {name: float(f"{value:.3g}") for name, value in told.items()}
    (DATA / "constants.json").write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")


def held_out(source: str) -> bool:
    """Whether a publisher's rows stay out of a fit of half of them: the last bit of the hash of the name."""
    publisher = source.split()[0].split("@")[0]
    return hashlib.sha256(publisher.encode()).digest()[-1] % 2 == 1


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
    left = leave_out(ServingRefits.around(rows, found), rows.source)
    print(f"left out by source {summary(rows, left, everything)}")
    doubt = doubts(rows, left, found.constants())
    constants = found.constants()
    wider = replace(constants, doubt={**constants.doubt, **doubt})
    doubt |= doubts_of_the_new(rows, left, wider, found.spread)
    print({name: round(value, 3) for name, value in {**found.spread, **doubt}.items()})
    if options.write:
        write(found, rows, doubt)
    return 0


if __name__ == "__main__":
    sys.exit(main())
