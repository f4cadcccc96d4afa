"""`mfu validate KIND FILE.csv`: predictions against measured rows, the error by GPU, precision, source and size."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, console, print_document, print_table
from mfu.predict.sharing.hosts import SHARED_HOST, hosts
from mfu.predict.validate.common import Report, Row
from mfu.predict.validate.sharing import read_pairs, validate_sharing
from mfu.units import percent

KINDS: Final = {
    "training": ("mfu.predict.validate.training", "validate_training", ("gpu", "gpus", "source", "precision")),
    "inference": ("mfu.predict.validate.inference", "validate", ("gpu", "metric", "value", "source")),
    "steps": ("mfu.predict.validate.steps", "validate_steps", ("gpu", "gpus", "hidden", "step_s")),
    "sweep": ("mfu.predict.validate.sweep", "validate_sweep", ("gpus", "micro_batch", "tokens_per_s_per_gpu")),
    "runs": ("mfu.predict.validate.runs", "validate_any", ("gpu", "kind", "precision", "step_s")),
}
"""Kind of table: its module, its function, and columns without which a file is none of that kind."""
LEFT_OUT: Final = {
    "training": ("mfu.predict.fit.left_out", "training_left_out"),
    "steps": ("mfu.predict.fit.left_out", "steps_left_out"),
    "inference": ("mfu.predict.inference.fit.left_out", "inference_left_out"),
    "sweep": ("mfu.predict.fit.left_out", "sweep_left_out"),
    "runs": ("mfu.predict.fit.left_out", "runs_left_out"),
}
"""Kinds that are refitted without each source in turn: module and function of (rows, given)."""
SHARING: Final = "sharing"
_MOST_GROUPS = 12


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("validate", help="predictions against measured rows", description=__doc__)
    parser.add_argument("kind", choices=(*KINDS, SHARING), help="which table the file is")
    parser.add_argument(
        "file", type=Path, help="CSV file with that table's columns (sharing, recorded runs: JSON lines)"
    )
    parser.add_argument("--tier", help="training: only rows of this tier, such as A")
    parser.add_argument("--leave-out", choices=("source",), help="refit without each source and score it by that fit")
    parser.add_argument("--given", type=int, choices=(0, 1), default=0, help="rows known of a source left out")
    parser.add_argument(
        "--host", choices=hosts(), default=SHARED_HOST, help="sharing: the recorded host that the pairs ran on"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    if args.kind == SHARING:
        return sharing(args)
    _, _, columns = KINDS[args.kind]
    rows = read(args.file, columns)
    if args.tier:
        rows = [row for row in rows if str(row.get("tier") or "") == args.tier]
    found = scored(args.kind, rows, leave_out=args.leave_out, given=args.given)
    if args.output != "table":
        print_document(found.document(), args.output)
        return 0
    show(args.kind, found)
    return 0


def sharing(args: argparse.Namespace) -> int:
    """What each of two programs on one GPU keeps of its rate alone: every pair, and the mean and worst error."""
    try:
        found = validate_sharing(read_pairs(args.file.read_text(encoding="utf-8")), args.host)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{args.file}: {error}") from error
    if args.output != "table":
        print_document(found.document(), args.output)
        return 0
    cells = [
        [name, pair.mode, other, percent(predicted), percent(measured)]
        for pair in found.pairs
        for name, other, predicted, measured in zip(
            pair.programs, reversed(pair.programs), pair.predicted, pair.measured, strict=True
        )
    ]
    print_table(
        ("PROGRAM", "MODE", "BESIDE", "PREDICTED", "MEASURED"), cells, right=frozenset({"PREDICTED", "MEASURED"})
    )
    out = console()
    for line, reason in found.refused:
        out.print(f"refused row {line}: {reason}")
    if found.errors:
        out.print(f"{len(found.pairs)} pairs: mean error {fmean(found.errors):.3f}, worst {max(found.errors):.3f}")
    return 0


def scored(kind: str, rows: Sequence[Row], *, leave_out: str | None, given: int) -> Report:
    """The report of the shipped constants, or of fits that leave sources out. UsageError where a kind has no refit."""
    if leave_out is None:
        if given:
            raise UsageError("--given: says how many rows of a source left out are known; add --leave-out source")
        module, function, _ = KINDS[kind]
        validate: Callable[[Sequence[Row]], Report] = getattr(importlib.import_module(module), function)
        return validate(rows)
    if kind not in LEFT_OUT:
        raise UsageError(f"--leave-out: {kind} has no refit; one of {', '.join(LEFT_OUT)}")
    module, function = LEFT_OUT[kind]
    refitted: Callable[..., Report] = getattr(importlib.import_module(module), function)
    return refitted(rows, given=given)


def read(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a CSV file, or objects of a file of JSON lines. UsageError for a file that is not there, lacks a needed
    column, or holds a line that is no object."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            if file.read(1) == "{":
                file.seek(0)
                return objects(path, file)
            file.seek(0)
            reader = csv.DictReader(file)
            rows = [{key: value or "" for key, value in row.items() if isinstance(key, str)} for row in reader]
            names = reader.fieldnames or []
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text file: {error.reason}") from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise UsageError(f"{path}: has no column {', '.join(missing)}; is it another kind of table?")
    return rows


def objects(path: Path, lines: Iterable[str]) -> list[dict[str, Any]]:
    """One object a line; blank lines are skipped."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}: line {number} is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise UsageError(f"{path}: line {number} is no JSON object")
        found.append(value)
    return found


def _figure(value: float | None) -> str:
    return "Unknown" if value is None else f"{value:.3f}"


def show(kind: str, found: Report) -> None:
    """The report as people read it."""
    out = console()
    out.print(f"{kind}: {found.rows} rows, {len(found.scored)} predicted, {len(found.refused)} refused")
    for reason, count in Counter(row.reason for row in found.refused).most_common(_MOST_GROUPS):
        out.print(f"  refused {count:5d}  {reason}")
    if not found.scored:
        return
    out.print(f"MAPE {percent(found.mape)}, median {percent(found.median_ape)}, bias {percent(found.bias)}")
    if found.coverage is not None:
        out.print(f"80 % band: holds {percent(found.coverage)} of the rows, half-width {percent(found.half_width)}")
    for name, value in found.extra.items():
        out.print(f"memory MAPE {percent(value)}" if name == "memory_mape" else f"{name} {_figure(value)}")
    hosts = sum("host sets the pace" in row.note for row in found.scored)
    if hosts:
        out.print(f"in {hosts} rows the host, not the GPU, sets the pace")
    seen: Counter[str] = Counter()
    cells = []
    for group in found.by():
        seen[group.key] += 1
        if seen[group.key] <= _MOST_GROUPS:
            memory = "" if group.memory_mape is None else percent(group.memory_mape)
            cells.append([group.key, group.value, str(group.rows), percent(group.mape), percent(group.bias), memory])
    if not any(row[-1] for row in cells):
        cells = [row[:-1] for row in cells]
    titles = ("BY", "VALUE", "ROWS", "MAPE", "BIAS", "MEMORY")[: len(cells[0])]
    print_table(titles, cells, right=frozenset({"ROWS", "MAPE", "BIAS", "MEMORY"}))
