"""`mfu calibrate runs.csv runs.jsonl train.log -o stack.yaml`: what your own runs say of your stack.

Tables (the columns of the shared training table or of the table of runs), JSON lines of a recorder, and, with -f, logs
of training programs. `mfu predict --stack stack.yaml` and `mfu plan --stack stack.yaml` read the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from mfu.cli import observe
from mfu.cli.declaration import Declaration, place
from mfu.cli.declaration import read as read_declarations
from mfu.cli.errors import UsageError
from mfu.cli.output import console, print_table
from mfu.cli.validate import read as read_rows
from mfu.predict import predict
from mfu.predict.calibrate import WIDEST, OwnRun, calibrate, from_stack, narrower, to_stack
from mfu.predict.fit.tables import Measured, asked_runs, asked_steps, asked_trainer, asked_training
from mfu.predict.learnkeys import key_of
from mfu.predict.types import Corrections, Prediction
from mfu.telemetry.pods.logs.reader import Reader
from mfu.units import percent

COLUMNS: Final = ("STACK", "RUNS", "FACTOR", "BAND BEFORE", "BAND AFTER")
_LOG: Final = (".log", ".txt", ".out", "")


def add_parser(subparsers: Any) -> None:
    """Register `mfu calibrate`."""
    parser = subparsers.add_parser("calibrate", help="a stack's own factor, from runs", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="CSV tables, JSON lines, or logs of training programs")
    parser.add_argument("-f", "--file", help="ModelWorkload that wrote the logs, as YAML or JSON")
    parser.add_argument("--product", help="GPU product of the logs; default: the only one that the file names")
    parser.add_argument("-o", "--output-file", required=True, type=Path, metavar="STACK.yaml", help="where to write")


def run(args: argparse.Namespace) -> int:
    """Exit status 0, or 2 where a run cannot be read or nothing was measured."""
    declaration = observe.training_of(read_declarations(args.file), args.file) if args.file else None
    found = [each for path in args.runs for each in _runs(path, declaration, args.product)]
    if not found:
        raise UsageError(f"{', '.join(map(str, args.runs))}: no run in it can be predicted")
    corrections = calibrate(found)
    for key, each in corrections.by_key.items():
        if not 1.0 / WIDEST <= each.factor <= WIDEST:
            raise UsageError(f"{key}: ran {each.factor:.2g} times as fast as predicted; check what was declared of it")
    args.output_file.write_text(yaml.safe_dump(to_stack(corrections), sort_keys=False), encoding="utf-8")
    _show(found, corrections)
    return 0


def stack_of(path: Path | None) -> Corrections | None:
    """The corrections of a file that `mfu calibrate` wrote; None without one."""
    if path is None:
        return None
    try:
        return from_stack(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no YAML: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def add_stack(parser: argparse.ArgumentParser) -> None:
    """The option of commands that predict."""
    parser.add_argument("--stack", type=Path, metavar="STACK.yaml", help="what `mfu calibrate` learned of your stack")


def _runs(path: Path, declaration: Declaration | None, product: str | None) -> Iterator[OwnRun]:
    if path.suffix.lower() in _LOG:
        yield from _logged(path, declaration, product)
        return
    for row in read_rows(path, ()):
        measured = _measured(row)
        found = None if measured is None else predict(measured.setup, measured.placement)
        if measured is not None and isinstance(found, Prediction):
            yield OwnRun(measured.setup, measured.placement, found, measured.seconds)


def _measured(row: dict[str, Any]) -> Measured | None:
    """A row of whichever table it is."""
    if "config" in row:
        return asked_trainer(row)
    if "batch_per_gpu" in row:
        return asked_runs(row)
    return asked_steps(row) if "step_s" in row else asked_training(row)


def _logged(path: Path, declaration: Declaration | None, product: str | None) -> Iterator[OwnRun]:
    if declaration is None:
        raise UsageError(f"{path}: a log says not what was trained; add -f workload.yaml")
    reader = Reader(declared=declaration.setup.engine or "")
    for lines in observe.whole(str(path)):
        reader.take(lines)
    named = observe.product_of(declaration, product)
    result = observe.observed(declaration, named, reader.log())
    seconds = result.pace.step_seconds
    if named is None or seconds is None or result.expected is None:
        why = "; ".join(result.why.values()) or "its product is not known: add --product"
        raise UsageError(f"{path}: {why}")
    yield OwnRun(declaration.setup, place(declaration, named), result.expected, seconds)


def _show(runs: list[OwnRun], corrections: Corrections) -> None:
    cells = []
    for key, each in corrections.by_key.items():
        one = next(run for run in runs if key_of(run.setup, run.placement) == key)
        before, after = narrower(one.prediction, each)
        cells.append([key, str(each.observations), f"{each.factor:.3f}", f"±{percent(before)}", f"±{percent(after)}"])
    print_table(COLUMNS, cells, right=frozenset(COLUMNS[1:]))
    console().print("bands as one standard deviation of a run of that stack")
