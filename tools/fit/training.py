"""Fit the shipped constants of the training model from published rows, and say how well they hold on unseen sources.

    python -m tools.fit.training ../shared/data             # fit, cross-validate by source, print
    python -m tools.fit.training ../shared/data --write     # and write the constants

Least squares on log(predicted / measured) with a robust weight, every parameter held by a prior around the value that
its documented source gives. One row of each published source weighs the less the more rows the source has.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.types import Precision
from mfu.predict.training.arrays import Case, stack_cases, take_case
from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import Constants, document, shipped
from mfu.predict.training.engines import engine
from mfu.predict.training.machine import relative_power
from mfu.predict.training.step import step
from mfu.predict.types import Placement, Refusal, Training
from mfu.predict.validate import runs, steps, sweep, training
from tools.fit import sweep as fit_sweep

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = ROOT / "operator/mfu/predict/training/data/constants.json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted constant: its prior value and how far (in log) it may stray."""

    name: str
    prior: float
    spread: float
    most: float = float("inf")


PARAMETERS = (
    Parameter("sustained.ampere", 0.95, 0.05, 1.0),
    Parameter("sustained.hopper", 0.86, 0.07, 1.0),
    Parameter("sustained.blackwell", 0.85, 0.1, 1.0),
    Parameter("power_share", 0.33, 0.3, 1.0),
    Parameter("ceiling.FP4", 0.62, 0.2, 0.9),
    Parameter("attention.ampere", 0.55, 0.25),
    Parameter("attention.hopper", 0.45, 0.25),
    Parameter("attention.blackwell", 0.32, 0.3),
    Parameter("older_attention", 0.6, 0.2, 1.0),
    Parameter("depth", 128.0, 0.7),
    Parameter("tail", 0.5, 0.5),
    Parameter("half_sequence", 300.0, 0.7),
    Parameter("half_head", 16.0, 0.7),
    Parameter("attention_backward", 2.6, 0.15),
    Parameter("score_bytes", 10.0, 0.4),
    Parameter("hidden_traffic", 10.0, 0.4),
    Parameter("narrow_traffic", 1.0, 0.4),
    Parameter("fused_traffic", 0.6, 0.3, 1.0),
    Parameter("cast_traffic", 1.5, 0.6),
    Parameter("elementwise_backward", 1.8, 0.2),
    Parameter("logit_traffic", 6.0, 0.4),
    Parameter("selective_share", 0.8, 0.5, 1.5),
    Parameter("expert_imbalance", 1.1, 0.05, 1.2),
    Parameter("expert_hidden", 0.3, 0.4, 0.95),
    Parameter("permute_traffic", 4.0, 0.5),
    Parameter("launch_expert", 1.5, 0.5),
    Parameter("link_share", 0.75, 0.15, 0.95),
    Parameter("network_share", 0.75, 0.25, 0.95),
    Parameter("link_latency", 12e-6, 0.5),
    Parameter("network_latency", 4e-5, 0.5),
    Parameter("rail_power", 0.5, 0.15, 1.0),
    Parameter("gather_latency", 4e-4, 0.5),
    Parameter("tensor_hidden", 0.6, 0.3, 0.98),
    Parameter("pipeline_exposed", 0.4, 0.6, 1.0),
    Parameter("data_hidden", 0.7, 0.3, 1.0),
    Parameter("data_floor", 0.1, 0.6, 1.0),
    Parameter("optimizer_passes", 1.2, 0.3),
    Parameter("jitter", 0.005, 0.5),
    Parameter("host_operation", 1.05e-5, 0.2),
    Parameter("launch_recompute", 0.35, 0.2),
    Parameter("launch_tensor", 0.03, 0.5),
)
ENGINE_SPREAD = 0.06
"""Engines differ from 1 only where the rows insist: the factor also carries everything the model leaves out."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Cases made with neutral constants, so that any constants can be bound to all of them at once."""

    case: Case
    architecture: NDArray[np.str_]
    engine: NDArray[np.str_]
    source: NDArray[np.str_]
    table: NDArray[np.str_]
    four_bit: NDArray[np.bool_]
    tensor_cores: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    power: Floats
    log_seconds: Floats
    tokens: Floats

    def take(self, index: NDArray[np.intp]) -> Rows:
        return Rows(
            take_case(self.case, index),
            *(
                getattr(self, name)[index]
                for name in (
                    "architecture",
                    "engine",
                    "source",
                    "table",
                    "four_bit",
                    "tensor_cores",
                    "linked",
                    "power",
                    "log_seconds",
                    "tokens",
                )
            ),
        )


def neutral(c: Constants) -> Constants:
    """Constants whose per-architecture and per-engine entries are 1."""
    ones = {f"{t}.{k}": 1.0 for t in ("sustained", "attention", "engine") for k in c.tables[t]}
    return c.replace(
        {
            **ones,
            "power_share": 0.0,
            "ceiling.FP4": 1.0,
            "link_share": 1.0,
            "pcie_share": 1.0,
            "network_share": 1.0,
            "host_operation": 1.0,
        }
    )


def bind(rows: Rows, c: Constants) -> Case:
    """The same cases under `c`."""
    clock = np.array([c.of("sustained", each) for each in rows.architecture])
    sustained = np.where(rows.tensor_cores, np.minimum(clock * rows.power ** c["power_share"], 1.0), 1.0)
    four = np.where(rows.four_bit, c.of("ceiling", "FP4"), 1.0)
    machine = replace(
        rows.case.machine,
        ceiling=rows.case.machine.ceiling * sustained * four,
        ceiling16=rows.case.machine.ceiling16 * sustained,
        attention=np.array([c.of("attention", each) for each in rows.architecture]),
        link=rows.case.machine.link * np.where(rows.linked, c["link_share"], c["pcie_share"]),
        link_latency=np.full(len(sustained), c["link_latency"]),
        network=rows.case.machine.network * c["network_share"],
        network_latency=np.full(len(sustained), c["network_latency"]),
    )
    stack = replace(
        rows.case.stack,
        efficiency=np.array([c.of("engine", each) for each in rows.engine]),
        seconds_per_layer=rows.case.stack.seconds_per_layer * c["host_operation"],
    )
    return replace(rows.case, machine=machine, stack=stack)


def log_errors(rows: Rows, c: Constants) -> Floats:
    """log(predicted / measured) of the step time."""
    return np.log(step(bind(rows, c), c).seconds) - rows.log_seconds


Found = tuple[Training, Placement, float, str]


def load(folder: Path) -> Rows:
    """All usable rows of the four tables."""
    found: list[tuple[str, Found]] = []
    for table, reader in READERS.items():
        with (folder / FILES[table]).open(newline="", encoding="utf-8") as file:
            found += [(table, each) for row in csv.DictReader(file) if (each := reader(row)) is not None]
    return _rows(found)


def _rows(found: Sequence[tuple[str, Found]]) -> Rows:
    c = neutral(shipped())
    cases, kept = [], []
    for table, (setup, placement, seconds, source) in found:
        case = None if refuse(setup, placement) else case_of(setup, placement, c)
        if case is not None:
            cases.append(case)
            kept.append((table, setup, placement, seconds, source))
    gpus = [placement.device.gpu for _, _, placement, _, _ in kept]
    return Rows(
        case=stack_cases(cases),
        architecture=np.array([gpu.architecture for gpu in gpus]),
        engine=np.array([engine(setup.engine).name for _, setup, _, _, _ in kept]),
        source=np.array([source for *_, source in kept]),
        table=np.array([table for table, *_ in kept]),
        four_bit=np.array([setup.precisions.compute is Precision.FP4 for _, setup, _, _, _ in kept]),
        tensor_cores=np.array([setup.precisions.compute is not Precision.FP32 for _, setup, _, _, _ in kept]),
        linked=np.array([_linked(placement) for _, _, placement, _, _ in kept]),
        power=np.array([relative_power(placement.device) for _, _, placement, _, _ in kept]),
        log_seconds=np.log([seconds for *_, seconds, _ in kept]),
        tokens=np.array([setup.micro_batch_size * setup.sequence_length for _, setup, _, _, _ in kept], dtype=float),
    )


def _linked(placement: Placement) -> bool:
    gpu = placement.device.gpu
    return gpu.nvlink_bytes_per_s is not None and gpu.nvlink_domain_gpus > 1 and placement.nvlink is not False


def _training(row: Mapping[str, str]) -> Found | None:
    found = None if row["tier"] != "A" or "outlier" in row["quality_flag"] else training.question(row)
    if found is None or isinstance(found, Refusal):
        return None
    setup, placement, rate = found
    return setup, placement, _seconds(setup, placement, rate), training.source_of(row)


def _experts(row: Mapping[str, str]) -> Found | None:
    """Mixtures of tier B: all but their recomputation mode is known, and tier A has one mixture only."""
    found = training.question(row) if row["tier"] == "B" and row["moe_experts"] else None
    if found is None or isinstance(found, Refusal):
        return None
    setup, placement, rate = found
    return setup, placement, _seconds(setup, placement, rate), f"experts of {training.source_of(row)}"


def _steps(row: Mapping[str, str]) -> Found | None:
    found = steps.question(row)
    return None if isinstance(found, Refusal) else (*found, "steps")


def _runs(row: Mapping[str, str]) -> Found | None:
    found = runs.question(row) if row["kind"] == "train" else None
    return None if found is None or isinstance(found, Refusal) else (*found, float(row["step_s"]), "runs")


def _sweep(row: Mapping[str, str]) -> Found | None:
    found = sweep.question(row)
    if isinstance(found, Refusal) or float(row["mfu_pct"]) < SWEEP_LEAST_MFU:
        return None
    return (*found, _seconds(*found, float(row["tokens_per_s_per_gpu"])), "sweep")


SWEEP_LEAST_MFU = 5.0
"""Slower layouts of the sweep stalled in that cluster's network; they inform the ranking, not the constants."""


def _seconds(setup: Training, placement: Placement, rate: float) -> float:
    return setup.global_batch_size * setup.sequence_length / placement.gpus / rate


READERS: Mapping[str, Callable[[Mapping[str, str]], Found | None]] = {
    "training": _training,
    "experts": _experts,
    "steps": _steps,
    "runs": _runs,
    "sweep": _sweep,
}
FILES = {
    "training": "training_mfu.csv",
    "experts": "training_mfu.csv",
    "steps": "measured_steps.csv",
    "runs": "gpu_runs.csv",
    "sweep": "layout_sweep.csv",
}
SHARE = {"training": 1.0, "experts": 0.1, "steps": 0.25, "runs": 0.15, "sweep": 0.12}
"""Weight of all rows of a table together, training as 1."""


def weights(rows: Rows) -> Floats:
    """Every table its share; within it, a source weighs with the square root of its rows."""
    found = np.zeros(len(rows.table))
    for table, share in SHARE.items():
        here = rows.table == table
        for source in np.unique(rows.source[here]):
            members = here & (rows.source == source)
            found[members] = 1.0 / np.sqrt(np.count_nonzero(members))
        if np.any(here):
            found[here] *= share / found[here].sum()
    return found


@dataclass(frozen=True, slots=True)
class Fit:
    names: tuple[str, ...]
    values: Floats

    def constants(self) -> Constants:
        return shipped().replace(dict(zip(self.names, self.values, strict=True)))


def fit(rows: Rows, *, rounds: int = 30, start: Fit | None = None) -> Fit:
    """Damped Gauss-Newton on robustly weighted log errors and the priors."""
    parameters = (*PARAMETERS, *(Parameter(f"engine.{name}", 1.0, ENGINE_SPREAD) for name in np.unique(rows.engine)))
    names = tuple(each.name for each in parameters)
    prior = np.log([each.prior for each in parameters])
    spread = np.array([each.spread for each in parameters])
    most = np.log([each.most for each in parameters])
    weight = weights(rows) * EFFECTIVE_ROWS
    known = dict(zip(start.names, start.values, strict=True)) if start else {}
    theta = np.log([known.get(each.name, each.prior) for each in parameters])
    for _ in range(rounds):
        theta = _iterate(rows, names, (theta, prior, spread, most), weight)
    return Fit(names, np.exp(theta))


EFFECTIVE_ROWS = 250.0
"""What all training rows together count against the priors: rows of one source are far from independent."""
NOISE = 0.06
"""Standard deviation of log error that rows of one kind have between sources (MLPerf: 1 %; software drift: 15 %)."""


def _iterate(rows: Rows, names: tuple[str, ...], state: tuple[Floats, ...], weight: Floats) -> Floats:
    theta, prior, spread, most = state

    def errors(at: Floats) -> Floats:
        return log_errors(rows, shipped().replace(dict(zip(names, np.exp(np.minimum(at, most)), strict=True))))

    def objective(at: Floats) -> float:
        residual = errors(at)
        return float(np.sum(weight * np.abs(residual)) / NOISE + 0.5 * np.sum(((at - prior) / spread) ** 2))

    base = errors(theta)
    jacobian = np.empty((len(base), len(theta)))
    for column in range(len(theta)):
        moved = theta.copy()
        moved[column] -= _DELTA
        jacobian[:, column] = (base - errors(moved)) / _DELTA
    robust = weight / np.maximum(np.abs(base), 0.01) / NOISE
    normal = jacobian.T @ (robust[:, None] * jacobian) + np.diag(1.0 / spread**2)
    gradient = jacobian.T @ (robust * base) + (theta - prior) / spread**2
    direction = np.linalg.solve(normal, gradient)
    best, found = objective(theta), theta
    for scale in (1.0, 0.5, 0.25, 0.1):
        candidate = np.minimum(theta - scale * direction, most)
        if (value := objective(candidate)) < best:
            best, found = value, candidate
            break
    return found


_DELTA = 0.01


def cross_validate(rows: Rows, full: Fit) -> list[tuple[str, int, float]]:
    """(source, rows, MAPE of its rate) with the source left out of the fit; an engine seen nowhere else keeps 1."""
    found = []
    here = rows.table == "training"
    for source in np.unique(rows.source[here]):
        held = here & (rows.source == source)
        rest = rows.take(np.flatnonzero(~held))
        fitted = fit(rest, rounds=4, start=Fit(full.names, _forget(full, rest)))
        errors = log_errors(rows.take(np.flatnonzero(held)), fitted.constants().replace(_unseen(rows, rest)))
        found.append((str(source), int(held.sum()), float(np.mean(np.abs(np.exp(-errors) - 1.0)))))
    return sorted(found, key=lambda each: each[2])


def _forget(full: Fit, rest: Rows) -> Floats:
    gone = {name for name in full.names if name.startswith("engine.") and name[7:] not in set(rest.engine)}
    return np.array([1.0 if name in gone else value for name, value in zip(full.names, full.values, strict=True)])


def _unseen(rows: Rows, rest: Rows) -> dict[str, float]:
    return {f"engine.{name}": 1.0 for name in set(rows.engine) - set(rest.engine)}


def summary(rows: Rows, c: Constants) -> None:
    """Print MAPE of the rate (training, sweep) or of the step time (steps, runs) by table and engine."""
    errors = log_errors(rows, c)
    ape = np.where(np.isin(rows.table, ("training", "sweep")), np.abs(np.exp(-errors) - 1), np.abs(np.exp(errors) - 1))
    for label, column in (("table", rows.table), ("engine", rows.engine), ("source", rows.source)):
        for value in np.unique(column):
            here = column == value
            bias = float(np.mean(np.exp(-errors[here]) - 1.0))
            print(f"  {label:7s} {value:55s} rows {here.sum():5d}  mape {ape[here].mean():.3f}  bias {bias:+.3f}")


def write(fitted: Fit) -> None:
    """Put the fitted values into the document, four significant digits, everything else untouched."""
    text = document()
    for name, value in zip(fitted.names, fitted.values, strict=True):
        table, _, key = name.partition(".")
        entry = text[table]
        rounded = float(f"{value:.4g}")
        if key and isinstance(entry["value"], dict):
            entry["value"][key] = rounded
        else:
            entry["value"] = rounded
    CONSTANTS.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-cross-validation", action="store_true")
    options = parser.parse_args(arguments)
    rows = load(options.folder)
    print(f"{len(rows.table)} rows, {len(PARAMETERS)} constants, {len(np.unique(rows.engine))} engine factors")
    fitted = fit(rows)
    for name, value in zip(fitted.names, fitted.values, strict=True):
        print(f"  {name:32s} {value:.4g}")
    summary(rows, fitted.constants())
    if not options.no_cross_validation:
        held = cross_validate(rows, fitted)
        print("left out of the fit:")
        for source, count, error in held:
            print(f"  {source:55s} rows {count:4d}  mape {error:.3f}")
        print(f"  median source {np.median([error for *_, error in held]):.3f}")
    jobs = fit_sweep.load(options.folder / FILES["sweep"])
    swept = fit_sweep.fit(jobs)
    for name, value in swept.items():
        print(f"  {name:32s} {value:.4g}")
    if not options.no_cross_validation:
        memory, first, rank = fit_sweep.held_out(jobs)
        print(f"sweep, half of the questions left out: memory {memory:.3f} first {first:.3f} spearman {rank:.3f}")
    if options.write:
        write(Fit((*fitted.names, *swept), np.concatenate([fitted.values, list(swept.values())])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
