"""Predictions as people read them: a row a product, and of the first that fits where its peak goes and what to do."""

from __future__ import annotations

from math import inf

from rich.text import Text

from mfu.api.quantities import tokens
from mfu.cli.declaration import Declaration
from mfu.cli.output import console, print_line, print_table
from mfu.cli.predict_advice import advice, waterfall
from mfu.cli.predicted import ProductRow, duration, late, latency
from mfu.decide.scale import attainable_on_scale
from mfu.predict.types import Prediction, Problem
from mfu.units import gibibytes, money, percent

COLUMNS = (
    "PRODUCT",
    "GPUS",
    "FITS",
    "MFU",
    "MBU",
    "BAND",
    "TOKENS/S/GPU",
    "STEP",
    "TTFT",
    "TPOT",
    "MEMORY",
    "ATTAINABLE",
    "BOUND",
    "COST",
)


def ordered(declaration: Declaration, rows: list[ProductRow], *, named: bool) -> list[ProductRow]:
    """As they were named; of all products first what fits and keeps its limits, then cheapest, or else fastest."""
    if named:
        return rows

    def rank(row: ProductRow) -> tuple[bool, bool, float, float]:
        rate = row.prediction.tokens_per_s_per_gpu
        dear = inf if row.price is None else row.price / rate
        return not row.prediction.memory.fits, bool(late(declaration, row.prediction)), dear, -rate

    return sorted(rows, key=rank)


def show(declaration: Declaration, rows: list[ProductRow], refusals: list[tuple[str, Problem]], *, named: bool) -> None:
    out = console()
    model = declaration.spec.model.display_name
    mode, precision = declaration.spec.mode.value, declaration.setup.precisions.compute.value
    out.print(Text(f"{declaration.name}", style="bold"), Text(f"{model}, {mode}, {precision}"))
    rows = ordered(declaration, rows, named=named)
    shown = rows if named else [row for row in rows if row.prediction.memory.fits] or rows[:1]
    _table([_cells(declaration, row) for row in shown])
    if len(shown) < len(rows):
        print_line(out, f"does not fit on {', '.join(row.placement.device.label for row in rows[len(shown) :])}")
    for product, refusal in refusals:
        out.print(f"{product}: {refusal}")
    first = next((row for row in rows if row.prediction.memory.fits), rows[0])
    waterfall(first)
    advice(declaration, first)


def _table(lines: list[list[str]]) -> None:
    """Without the columns in which nothing is known of any product: MBU of training, COST without a price."""
    kept = [column for column in range(len(COLUMNS)) if any(line[column] != "-" for line in lines)]
    columns = [COLUMNS[column] for column in kept]
    print_table(columns, [[line[column] for column in kept] for line in lines], right=frozenset(COLUMNS[3:11]))


def _cells(declaration: Declaration, row: ProductRow) -> list[str]:
    found = row.prediction
    memory = f"{gibibytes(found.memory.total_bytes)} of {gibibytes(found.memory.capacity_bytes)}"
    head = [row.placement.device.label, str(row.placement.gpus), _fits(declaration, found)]
    if not found.memory.fits:
        # What does not fit reaches nothing.
        return [*head, *["-"] * 7, memory, _reach(row), "-", "-"]
    return [
        *head,
        percent(found.mfu),
        percent(found.mbu) if found.mbu is not None else "-",
        f"{percent(found.low)}-{percent(found.high)}",
        f"{found.tokens_per_s_per_gpu:,.0f}",
        duration(found.step_seconds),
        latency(found.ttft_seconds),
        latency(found.tpot_seconds),
        memory,
        _reach(row),
        found.bound,
        _cost(declaration, row),
    ]


def _fits(declaration: Declaration, found: Prediction) -> str:
    """`no: KVCache` beyond memory, `late: TPOT` where it fits but misses a declared limit."""
    if not found.memory.fits:
        return f"no: {found.memory.largest_term}"
    missed = late(declaration, found)
    return f"late: {', '.join(each.split()[0] for each in missed)}" if missed else "yes"


def _reach(row: ProductRow) -> str:
    if row.best is None or not row.best.prediction.memory.fits:
        return "-"
    return f"{percent(attainable_on_scale(row.prediction, row.best))} {row.prediction.scale.value}"


def _cost(declaration: Declaration, row: ProductRow) -> str:
    if row.price is None:
        return "-"
    per_million = row.price / 3600.0 / row.prediction.tokens_per_s_per_gpu * 1e6
    total = _total_tokens(declaration)
    whole = "" if total is None else f", run {money(per_million * total / 1e6)}"
    return f"{money(per_million)} per M tokens{whole}"


def _total_tokens(declaration: Declaration) -> float | None:
    block = declaration.spec.training
    return None if block is None or block.total_tokens is None else float(tokens(block.total_tokens))
