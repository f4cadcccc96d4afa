"""`mfu observe -f workload.yaml train.log`: how fast a job trained by its own log, beside how fast it should."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from mfu.cli.declaration import Declaration, known_product, place, read
from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, console, print_document, print_line, print_table
from mfu.hardware.catalog import device_peak
from mfu.observe.pace import SteadyPace, steady
from mfu.observe.steps import RunShape
from mfu.predict import model_flops_per_token, predict
from mfu.predict.types import Placement, Prediction, Problem, Training
from mfu.telemetry.pods.logs.facts import corrected
from mfu.telemetry.pods.logs.formats import LogProgram
from mfu.telemetry.pods.logs.reader import Reader, TrainingLog
from mfu.units import TERA, percent

COLUMNS: Final = ("WORKLOAD", "PRODUCT", "GPUS", "LOG", "STEPS", "STEP", "TOKENS/S", "MFU", "EXPECTED", "BAND")
POLL_SECONDS: Final = 0.5
CHUNK_LINES: Final = 2_000
IMPOSSIBLE: Final = 1.0
"""No GPU does more than its peak."""
COUNTS_DIFFER: Final = 0.15
_WORDS: Final = {
    "step_seconds": "step",
    "tokens_per_second": "tokens/s",
    "mfu": "MFU",
    "expected_mfu": "expected MFU",
}


@dataclass(frozen=True, slots=True)
class Observed:
    """One log against one declaration. What is None stands in `why`, by its name in the JSON."""

    name: str
    product: str | None
    gpus: int
    log: TrainingLog
    pace: SteadyPace
    mfu: float | None
    expected: Prediction | None
    why: dict[str, str]
    notes: tuple[str, ...]


def add_parser(subparsers: Any) -> None:
    """Register `mfu observe`."""
    parser = subparsers.add_parser("observe", help="observed MFU from a training log", description=__doc__)
    parser.add_argument("-f", "--file", required=True, help="ModelWorkload as YAML or JSON")
    parser.add_argument("log", nargs="?", default="-", help="what the training program printed; - or none: stdin")
    parser.add_argument("-F", "--follow", action="store_true", help="go on as the log grows, across its rotation")
    parser.add_argument("--product", help="GPU product; default: the only one that the file names")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 observed, 2 where a file cannot be read or understood, 1 where the log has no step line."""
    if args.file == "-" and args.log == "-":
        raise UsageError("-f - and the log cannot both come from standard input: name a file for one of them")
    declaration = training_of(read(args.file), args.file)
    product = product_of(declaration, args.product)
    reader = Reader(declared=declaration.setup.engine or "")
    said = False
    for lines in _follow(args.log) if args.follow else whole(args.log):
        if reader.take(lines) and args.follow:
            _show(observed(declaration, product, reader.log()), args.output, live=True)
            said = True
    if not (args.follow and said):
        result = observed(declaration, product, reader.log())
        _show(result, args.output, live=False)
        return 0 if result.log.program is not None else 1
    return 0


def training_of(declarations: tuple[Declaration, ...], path: str) -> Declaration:
    found = [each for each in declarations if isinstance(each.setup, Training)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"{path}: spec.mode: a training log needs a ModelWorkload with mode Training")
    raise UsageError(f"{path}: holds {len(found)} training workloads: leave the one that wrote the log")


def product_of(declaration: Declaration, asked: str | None) -> str | None:
    if asked:
        return known_product(asked)
    named = declaration.spec.accelerators.products
    return named[0] if len(named) == 1 else None


def observed(declaration: Declaration, product: str | None, log: TrainingLog) -> Observed:
    """The log's steady pace as MFU of the declared model, with what is expected of the declaration."""
    setup = declaration.setup
    assert isinstance(setup, Training)
    placement = None if product is None else place(declaration, product)
    count = declaration.spec.accelerators.count
    shape, notes = corrected(_shape(setup, count), log.facts)
    pace = steady(log.readings, shape)
    mfu, why = _mfu(setup, placement, pace, shape)
    expected, unexpected = _expected(setup, placement)
    return Observed(
        name=declaration.name,
        product=product,
        gpus=shape.gpus,
        log=log,
        pace=pace,
        mfu=mfu,
        expected=expected,
        why={**pace.why, **why, **unexpected},
        notes=(*notes, *pace.notes, *_remarks(setup, log, pace, shape)),
    )


def _shape(setup: Training, gpus: int) -> RunShape:
    return RunShape(
        gpus, setup.sequence_length, setup.global_batch_size, setup.micro_batch_size, setup.parallelism.data
    )


def _mfu(
    setup: Training, placement: Placement | None, pace: SteadyPace, shape: RunShape
) -> tuple[float | None, dict[str, str]]:
    if placement is None:
        return None, {"mfu": _UNPLACED}
    peak = device_peak(placement.device, setup.precisions.compute)
    if not peak:
        return None, {"mfu": f"{placement.device.label} has no dense {setup.precisions.compute.value} peak"}
    flops = _flops_per_s_per_gpu(setup, pace, shape)
    if flops is None:
        return None, {"mfu": pace.why.get("mfu", "no pace is known")}
    if flops / peak > IMPOSSIBLE:
        many = f"{flops / TERA:,.0f} TFLOP/s per GPU would be {flops / peak:.1f} x its peak"
        return None, {"mfu": f"{many}: check the model, globalBatchSize, accelerators.count and the product"}
    return flops / peak, {}


_UNPLACED: Final = "no single GPU product is declared: name one in spec.accelerators.products or with --product"


def _flops_per_s_per_gpu(setup: Training, pace: SteadyPace, shape: RunShape) -> float | None:
    """Tokens x model FLOPs; the log's own FLOP/s only where it tells nothing else."""
    if pace.tokens_per_s is None:
        return pace.flops_per_s_per_gpu
    return pace.tokens_per_s * model_flops_per_token(setup) / shape.gpus


def _expected(setup: Training, placement: Placement | None) -> tuple[Prediction | None, dict[str, str]]:
    if placement is None:
        return None, {"expected_mfu": _UNPLACED}
    found = predict(setup, placement)
    return (None, {"expected_mfu": f"spec.{found}"}) if isinstance(found, Problem) else (found, {})


def _remarks(setup: Training, log: TrainingLog, pace: SteadyPace, shape: RunShape) -> Iterator[str]:
    if log.whole_run:
        yield "only the mean over the whole run is in the log: warm-up, evaluation and checkpoints are in it"
    logged = pace.flops_per_s_per_gpu
    if logged is None:
        return
    if pace.tokens_per_s is None:
        yield "MFU by the log's own count of FLOPs: it gives no tokens, samples or step times"
        return
    ours = pace.tokens_per_s * model_flops_per_token(setup) / shape.gpus
    if abs(logged / ours - 1) > COUNTS_DIFFER:
        yield (
            f"the log counts {logged / TERA:,.1f} TFLOP/s per GPU, the declared model gives {ours / TERA:,.1f}: "
            "its formula differs (causal mask, recomputation, head), or the model does"
        )


def document(result: Observed) -> dict[str, Any]:
    """The JSON of one observation; fractions, seconds, tokens per second of all GPUs."""
    pace, expected = result.pace, result.expected
    rate = pace.tokens_per_s
    return {
        "workload": result.name,
        "engine": None if result.log.program is None else result.log.program.value,
        "product": result.product,
        "gpus": result.gpus,
        "steps": pace.steps,
        "step_seconds": pace.step_seconds,
        "tokens_per_second": rate,
        "tokens_per_second_per_gpu": None if rate is None else rate / result.gpus,
        "mfu": result.mfu,
        "expected_mfu": None if expected is None else expected.mfu,
        "expected_low": None if expected is None else expected.low,
        "expected_high": None if expected is None else expected.high,
        "left_out": {"warm_up": pace.warm_up, "pauses": pace.pauses},
        "why": result.why,
        "notes": list(result.notes),
    }


def _show(result: Observed, output: str, *, live: bool) -> None:
    if output != "table":
        # Of a log that grows, one line a state: that is what a reader of JSON lines can take.
        print(json.dumps(document(result)), flush=True) if live else print_document(document(result), output)
        return
    print_table(COLUMNS, [_cells(result)], right=frozenset(COLUMNS[2:3] + COLUMNS[4:]))
    out = console()
    for reason in dict.fromkeys(result.why.values()):
        unknown = ", ".join(_WORDS[field] for field, why in result.why.items() if why == reason)
        print_line(out, f"unknown {unknown}: {reason}")
    if result.log.program is None:
        print_line(out, f"step lines are known of {', '.join(LogProgram)} and what prints the like")
    for note in result.notes:
        print_line(out, f"note: {note}")


def _cells(result: Observed) -> list[str]:
    pace, expected = result.pace, result.expected
    return [
        result.name,
        result.product or "Unknown",
        str(result.gpus),
        "Unknown" if result.log.program is None else result.log.program.value,
        f"{pace.steps}",
        "Unknown" if pace.step_seconds is None else f"{pace.step_seconds:.3f} s",
        "Unknown" if pace.tokens_per_s is None else f"{pace.tokens_per_s:,.0f}",
        percent(result.mfu),
        percent(None if expected is None else expected.mfu),
        "Unknown" if expected is None else f"{percent(expected.low)}-{percent(expected.high)}",
    ]


def whole(path: str) -> Iterator[list[str]]:
    if path == "-":
        yield from _chunks(sys.stdin)
        return
    with _opened(path) as log:
        yield from _chunks(log)


def _chunks(log: TextIO) -> Iterator[list[str]]:
    while lines := log.readlines(CHUNK_LINES * 80):
        yield lines


def _follow(path: str) -> Iterator[list[str]]:
    """What is there, then what comes; a file that was rotated or cut is opened anew."""
    if path == "-":
        yield from ([line] for line in sys.stdin)
        return
    while True:
        with _opened(path) as log:
            yield from _grown(path, log)


def _grown(path: str, log: TextIO) -> Iterator[list[str]]:
    rest = ""
    while True:
        lines = log.readlines(CHUNK_LINES * 80)
        if lines:
            lines[0], rest = rest + lines[0], ""
            if not lines[-1].endswith("\n"):
                whole, _, rest = lines.pop().rpartition("\r")
                lines.append(whole)
            yield lines
            continue
        if _replaced(path, log):
            return
        time.sleep(POLL_SECONDS)


def _replaced(path: str, log: TextIO) -> bool:
    try:
        now, ours = Path(path).stat(), os.fstat(log.fileno())
    except FileNotFoundError:
        return False
    return now.st_ino != ours.st_ino or now.st_size < log.tell()


def _opened(path: str) -> TextIO:
    try:
        return Path(path).open(encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
