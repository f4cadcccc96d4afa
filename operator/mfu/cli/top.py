"""`mfu top`: what the cluster's GPUs do, live; what loses most stands first. Ctrl-C ends it.

Where it does not write to a terminal, and with --once or -o json, it prints one picture and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mfu.cli.cluster import with_client
from mfu.cli.errors import UsageError
from mfu.cli.listing import add_source, listed, narrowed, read
from mfu.cli.output import WIDE, add_output, print_document
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.show.levels import ScaleLevels
from mfu.show.tenant import tenant_view
from mfu.show.top import TopOrder, TopRow, top
from mfu.show.workloads import Listed
from mfu.units import money, percent

BAR: Final = 24
HEAD_ROWS: Final = 4
BARS_FROM: Final = 120
"""Columns of a terminal from which on bars are drawn."""
LEAST_SECONDS: Final = 1.0


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("top", help="what the GPUs do, live", description=__doc__)
    parser.add_argument("--sort", choices=[str(each) for each in TopOrder], default="lost", help="default: lost")
    parser.add_argument("--seconds", type=float, default=5.0, help="between two looks (default: 5)")
    parser.add_argument("--once", action="store_true", help="one picture, then end")
    add_source(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    if not args.seconds >= LEAST_SECONDS:
        raise UsageError(f"--seconds {args.seconds:g}: look once a second at most")
    out, by = Console(highlight=False, markup=False, emoji=False), TopOrder(args.sort)
    live = sys.stdout.isatty() and not args.once and not args.snapshot and args.output == "table"
    if live:
        with_client(args, lambda client: _watch(client, args, out))
    elif args.output == "table":
        print_once(listed(args), by)
    else:
        print_document([document(each) for each in top(listed(args), by)], args.output)
    return 0


def document(row: TopRow) -> dict[str, Any]:
    """One workload for programs: fractions of the peak, money per hour, null where unknown."""
    found = row.levels
    return {
        "workload": row.key,
        "model": row.model,
        "gpus": row.gpus,
        "scale": row.scale,
        "observed": found.observed,
        "expected": found.expected,
        "attainable": found.attainable,
        "cause": row.cause,
        "lost_per_hour": row.lost_per_hour,
    }


def print_once(found: Sequence[Listed], by: TopOrder) -> None:
    """The whole table: as wide as it is in a pipe, without bars in a terminal that has no room for them."""
    room = get_terminal_size().columns if sys.stdout.isatty() else WIDE
    wide = room >= BARS_FROM
    out = Console(width=WIDE if wide else room, highlight=False, markup=False, emoji=False)
    for line in picture(found, by, rows=len(found), wide=wide):
        with out.capture() as captured:
            out.print(line)
        print("\n".join(each.rstrip() for each in captured.get().splitlines()))


async def _watch(client: KubeClient, args: argparse.Namespace, out: Console) -> None:
    with Live(console=out, screen=True, auto_refresh=False) as shown:
        shown.update(Text("reading workloads …"), refresh=True)
        while True:
            rows = max(1, out.size.height - HEAD_ROWS)
            shown.update(await _look(client, args, rows, wide=out.size.width >= BARS_FROM), refresh=True)
            await asyncio.sleep(args.seconds)


async def _look(client: KubeClient, args: argparse.Namespace, rows: int, *, wide: bool = True) -> Table:
    """What there is now; a server that is away for a while ends nothing."""
    whole = Table.grid()
    try:
        found = await read(client, args.namespace)
    except ApiError as error:
        raise narrowed(error, args.namespace) from error
    except ServerUnreachable as error:
        whole.add_row(Text(f"the API server does not answer: {error}", style="yellow"))
        return whole
    for line in picture(found, TopOrder(args.sort), rows=rows, wide=wide):
        whole.add_row(line)
    return whole


def picture(found: Sequence[Listed], by: TopOrder, *, rows: int, wide: bool = True) -> tuple[Text, Table]:
    """A head with totals, and the first `rows` workloads; without bars where there is no room for them."""
    ordered = top(found, by)
    return _head(found, len(ordered) - rows), _table(ordered[:rows]) if wide else _narrow(ordered[:rows])


def _head(found: Iterable[Listed], left_out: int) -> Text:
    totals = tenant_view(found)
    spent = [
        f"{money(each.per_hour, each.currency)} per hour, {money(each.lost_per_hour, each.currency)} of it lost"
        for each in totals.amounts
    ]
    more = [f"{left_out} more below"] if left_out > 0 else []
    at = time.strftime("%H:%M:%S")
    return Text("; ".join([f"{at}  {totals.workloads} workloads", f"{totals.gpus} GPUs", *spent, *more]), style="bold")


def _table(rows: Sequence[TopRow]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, right in (("WORKLOAD", 0), ("MODEL", 0), ("GPUS", 1), ("OBSERVED │ EXPECTED", 0), ("", 1), ("", 1)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for name in ("SCALE", "CAUSE"):
        table.add_column(name, no_wrap=True)
    table.add_column("LOST/H", justify="right", no_wrap=True)
    for row in rows:
        found = row.levels
        cells = (row.key, row.model, str(row.gpus), gauge(found), percent(found.observed), percent(found.expected))
        table.add_row(*cells, row.scale, row.cause, row.lost)
    return table


def _narrow(rows: Sequence[TopRow]) -> Table:
    """What an eighty-column terminal holds: figures, no bars, and of the name as much as fits."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("WORKLOAD", overflow="fold", ratio=1)
    for name in ("GPUS", "OBS", "EXP"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("CAUSE", no_wrap=True)
    table.add_column("LOST/H", justify="right", no_wrap=True)
    for row in rows:
        found = row.levels
        figures = (str(row.gpus), percent(found.observed), f"{percent(found.expected)} {row.scale}")
        table.add_row(row.key, *figures, row.cause, row.lost)
    return table


def gauge(found: ScaleLevels) -> str:
    """Observed as a bar with a mark where it is expected: `gauge(ScaleLevels(0.5, 0.25, None))` fills a quarter."""
    filled = 0 if found.observed is None else round(BAR * min(1.0, max(0.0, found.observed)))
    cells = ["█"] * filled + ["·"] * (BAR - filled)
    if found.expected is not None:
        cells[min(BAR - 1, round(BAR * min(1.0, max(0.0, found.expected))))] = "│"
    return "".join(cells)
