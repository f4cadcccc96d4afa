"""Tables and JSON in one place, so that all commands look alike."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# A pipe or a file gets the whole width: nothing there is wrapped.
WIDE = 200


def add_output(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, sort_keys=False, allow_nan=False)
    print()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """Plain columns, as kubectl prints them."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def bar(share: float, width: int = 30) -> str:
    """A horizontal bar of a fraction: `bar(0.5, 4) == "██"`; halves count."""
    whole, half = divmod(round(max(0.0, min(1.0, share)) * width * 2), 2)
    return "█" * whole + ("▌" if half else "")
