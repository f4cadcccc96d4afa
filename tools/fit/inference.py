"""Fit the shipped constants of the serving model from published rows, and say how well they hold on unseen sources.

    python tools/fit/inference.py ../shared/data/inference_throughput.csv            # fit, cross-validate, print
    python tools/fit/inference.py ../shared/data/inference_throughput.csv --write    # and write the constants

Least squares on log(predicted / measured) with a robust weight. Each constant is held by a prior around the value that
its documented source gives, so that what the rows do not decide stays where physics put it. Left out of the fit: rows
that the table flags, deployments whose shape is not stated, and one host-bound stack (LLM-Inference-Bench on MI300X).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import Case, stack_cases
from mfu.predict.inference.constants import UNSTATED, Constants, document, engine_key, load, parse
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.measured import values_of
from mfu.predict.types import Problem

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, str]]
TARGET = Path(__file__).resolve().parents[2] / "operator/mfu/predict/inference/data/constants.json"
LEFT_OUT = ("SGL-", "DSOI-", "DSR1-")
FLAGS = ("KV-LIMITED", "SUSPECT", "REJECT", "CAUTION")
TABLES = ("TRT12", "TRT10", "TRT020", "TRT06", "TRT05P", "TRTHA", "TRTH200")
ROBUST = 0.15
"""Errors of the logarithm beyond this count linearly, not squared."""
PRIOR_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of the fit as one case; `source` is the prefix of the id."""

    rows: Rows
    questions: list[Question]
    case: Case
    measured: Floats
    source: NDArray[np.str_]
    gpu: NDArray[np.str_]
    weight: Floats

    def predicted(self, constants: Constants) -> Floats:
        speed = np.array([constants.engine_factor(each.setup.engine) for each in self.questions])
        return values_of(self.questions, replace(self.case, speed=speed), constants)


@dataclass(frozen=True, slots=True)
class Space:
    """Names, priors, spreads and upper bounds of the fitted values; all in logarithms."""

    names: tuple[str, ...]
    engines: tuple[str, ...]
    prior: Floats
    spread: Floats
    most: Floats

    def constants(self, point: Floats) -> Constants:
        values = np.exp(point)
        split = len(self.names)
        filled = json.loads(json.dumps(document()))
        for name, value in zip(self.names, values[:split], strict=True):
            filled["numbers"][name]["value"] = float(f"{value:.4g}")
        fixed = {filled["engines"]["reference"]: 1.0, **filled["engines"]["held"]}
        fitted = {name: float(f"{value:.4g}") for name, value in zip(self.engines, values[split:], strict=True)}
        filled["engines"]["value"] = {**fixed, **fitted}
        return parse(filled)


def space_of(spec: Mapping[str, Any], engines: Sequence[str]) -> Space:
    fitted = {name: each for name, each in spec["numbers"].items() if "prior" in each}
    free = tuple(name for name in engines if name not in (spec["engines"]["reference"], *spec["engines"]["held"]))
    mean, spread = spec["engines"]["prior"], spec["engines"]["spread"]
    return Space(
        names=tuple(fitted),
        engines=free,
        prior=np.log([*(each["prior"] for each in fitted.values()), *(mean for _ in free)]),
        spread=np.array([*(each["spread"] for each in fitted.values()), *(spread for _ in free)]),
        most=np.log([*(each["most"] for each in fitted.values()), *(1.3 for _ in free)]),
    )


def read(path: Path) -> Data:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if _usable(row)]
    kept, questions, cases = [], [], []
    for row in rows:
        asked = question(row)
        case = asked if isinstance(asked, Problem) else case_of(asked.setup, asked.placement, load())
        if not isinstance(asked, Problem) and not isinstance(case, Problem) and not _starved(asked):
            kept.append(row)
            questions.append(asked)
            cases.append(case)
    source = np.array([row["id"].split("-")[0] for row in kept])
    return Data(
        rows=kept,
        questions=questions,
        case=stack_cases(cases),
        measured=np.array([each.value for each in questions]),
        source=source,
        gpu=np.array([each.placement.device.gpu.api_name for each in questions]),
        weight=np.sqrt([_weight(each) for each in source]),
    )


def _usable(row: Mapping[str, str]) -> bool:
    if row["id"].startswith(LEFT_OUT) or any(flag in row["notes"] for flag in FLAGS):
        return False
    return not (row["id"].startswith("LIB-") and row["gpu"].startswith("MI300X"))


def _starved(asked: Question) -> bool:
    """Fewer requests than attention groups: the table holds some runs twice, once with the requests of one group."""
    return asked.setup.concurrency is not None and asked.setup.concurrency < asked.setup.parallelism.data


def _weight(source: str) -> float:
    """Vendor tables are exact in their shapes and few; the static 2024 rows are many and name no engine."""
    if source in TABLES:
        return 3.0
    return {"LIB": 0.6, "AICS": 1.0}.get(source, 1.5)


def fit(data: Data, space: Space, chosen: NDArray[np.bool_], start: Floats, rounds: int) -> Floats:
    """Levenberg-Marquardt on the chosen rows, bounded above; robust weights renewed each round."""

    def residuals(point: Floats) -> Floats:
        error = np.log(data.predicted(space.constants(point)) / data.measured) * data.weight
        return np.concatenate([error[chosen], PRIOR_WEIGHT * (point - space.prior) / space.spread])

    point, damping = np.minimum(start, space.most), 1e-2
    current = residuals(point)
    for _ in range(rounds):
        slope = _jacobian(residuals, point, current, space.most)
        point, current, damping = _descend(residuals, (point, current, slope), damping, space.most)
    return point


def _jacobian(residuals: Callable[[Floats], Floats], point: Floats, current: Floats, most: Floats) -> Floats:
    columns = []
    for place in range(len(point)):
        moved, step = point.copy(), 1e-3 if point[place] + 1e-3 < most[place] else -1e-3
        moved[place] += step
        columns.append((residuals(moved) - current) / step)
    return np.stack(columns, axis=1)


def _descend(
    residuals: Callable[[Floats], Floats], state: tuple[Floats, Floats, Floats], damping: float, most: Floats
) -> tuple[Floats, Floats, float]:
    point, current, slope = state
    robust = 1.0 / np.sqrt(1.0 + (current / ROBUST) ** 2)
    normal = slope.T @ (slope * robust[:, None])
    pull = slope.T @ (current * robust)
    for _ in range(8):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), pull)
        trial = np.minimum(point - np.clip(step, -0.5, 0.5), most)
        after = residuals(trial)
        if _cost(after) < _cost(current):
            return trial, after, max(damping / 3.0, 1e-6)
        damping *= 4.0
    return point, current, damping


def _cost(residual: Floats) -> float:
    return float(np.sum(2 * ROBUST**2 * (np.sqrt(1 + (residual / ROBUST) ** 2) - 1)))


def errors(data: Data, constants: Constants) -> Floats:
    return data.predicted(constants) / data.measured - 1.0


def summary(title: str, error: Floats, data: Data) -> str:
    tables = np.isin(data.source, TABLES)
    parts = [
        f"{name} {np.abs(error[rows]).mean():.3f}"
        for name, rows in (("tables", tables), ("rest", ~tables))
        if rows.any()
    ]
    return f"{title}: {len(error)} rows, MAPE {np.abs(error).mean():.3f} ({', '.join(parts)})"


def cross_validate(data: Data, space: Space, label: NDArray[np.str_], best: Floats) -> Floats:
    """Error of each row by constants fitted without its group, started half-way back to the prior."""
    error = np.full(len(label), np.nan)
    for group in dict.fromkeys(label.tolist()):
        away = label == group
        point = fit(data, space, ~away, 0.5 * (best + space.prior), 6)
        error[away] = errors(data, space.constants(point))[away]
        held = error[away]
        print(
            f"  without {group:12s} {away.sum():5d} rows  MAPE {np.abs(held).mean():.3f}  bias {np.median(held):+.3f}"
        )
    return error


def write(space: Space, point: Floats, spread: float) -> None:
    filled = document()
    constants = space.constants(point)
    for name in space.names:
        filled["numbers"][name]["value"] = getattr(constants, name)
    filled["numbers"]["relative_error"]["value"] = float(f"{spread:.3g}")
    filled["engines"]["value"] = dict(constants.engines)
    TARGET.write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="write the constants into the package")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    data = read(options.file)
    named = {engine_key(each.setup.engine) or UNSTATED for each in data.questions}
    space = space_of(document(), sorted(named))
    everything = np.ones(len(data.rows), dtype=bool)
    best = fit(data, space, everything, space.prior, options.rounds)
    print(summary(f"fit of {len(best)} values", errors(data, space.constants(best)), data))
    by_source = cross_validate(data, space, data.source, best)
    print(summary("left out by source", by_source, data))
    print(summary("left out by GPU", cross_validate(data, space, data.gpu, best), data))
    if options.write:
        write(space, best, float(1.4826 * np.median(np.abs(np.log1p(by_source)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
