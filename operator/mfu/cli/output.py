"""Tables and JSON in one place, so that all commands look alike."""

from __future__ import annotations

import csv
import json
import math
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

import yaml
from rich.cells import cell_len
from rich.console import Console

# A pipe or a file gets the whole width: nothing there is wrapped.
WIDE = 200
_GAP = "   "


def add_output(parser: ArgumentParser, *more: str) -> None:
    choices = ("table", "json", "yaml", *more)
    parser.add_argument("-o", "--output", choices=choices, default="table", help="default: table")


def positive(text: str) -> int:
    """Type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def amount(text: str) -> float:
    """Type of an argument that measures something."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def console() -> Console:
    return Console(
        width=None if sys.stdout.isatty() else WIDE,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not sys.stdout.isatty(),
    )


def print_line(out: Console, text: str, *, hang: int = 6) -> None:
    """One line; on a terminal wrapped between words, what follows under `hang` blanks."""
    if sys.stdout.isatty():
        text = fill(text, out.width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False)
    out.print(text)


def print_document(value: Any, output: str) -> None:
    """For programs: `json` or `yaml`, the same value."""
    text = json.dumps(value, indent=2, sort_keys=False, allow_nan=False)
    # Through JSON, so that both forms know the same types: enumerations are words, tuples are lists.
    print(text if output == "json" else yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True).rstrip())


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """RFC 4180 with a head, for spreadsheets."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_no_formula(cell) for cell in row] for row in rows)


def _no_formula(cell: str) -> str:
    """A name that a tenant chose must not run in whoever opens the file: spreadsheets take `=…` for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "@", "+", "\t") else cell


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """Plain columns, as kubectl prints them: never cut, without blanks at the end of a line.

    On a terminal that is too narrow for them, one line a cell: a wrapped table is no table.
    """
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty() and sum(widths) + len(_GAP) * (len(widths) - 1) > get_terminal_size().columns:
        print_records(columns, lines[1:])
        return
    for line in lines:
        cells = [
            _padded(cell, width, right=name in right) for cell, width, name in zip(line, widths, columns, strict=True)
        ]
        print(_GAP.join(cells).rstrip())


def print_records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first cell as a heading, every other one under it with the name of its column; empty ones are left out."""
    label = max((cell_len(name) for name in columns[1:]), default=0)
    for row in rows:
        print(f"{columns[0]} {row[0]}".strip())
        for name, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                print(f"  {_padded(name, label, right=False)}{_GAP}{cell}")


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if right else cell + blanks


def bar(share: float, width: int = 30) -> str:
    """A horizontal bar of a fraction: `bar(0.5, 4) == "██"`; halves count."""
    whole, half = divmod(round(max(0.0, min(1.0, share)) * width * 2), 2)
    return "█" * whole + ("▌" if half else "")
