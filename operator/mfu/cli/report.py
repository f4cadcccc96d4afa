"""`mfu report [--fleet]`: how much of what the cluster's GPUs cost becomes work, and where the rest goes.

Then its workloads, those that lose most first. With -n NAMESPACE: what that namespace holds, what it costs, what each
cause takes of it, and its workloads; that needs the right to list its ModelWorkloads and no more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console

from mfu.api.fleetreport import FleetStatus
from mfu.cli.cluster import add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cli.listing import add_shard, read
from mfu.cli.output import add_output, console, positive, print_csv, print_document, print_line, print_table
from mfu.cluster.client import KubeClient
from mfu.cluster.said import UnknownToServer, fleet_status, shards_that_report
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT
from mfu.show.flat import FLEET_CSV, TENANT_CSV, fleet_rows, tenant_rows
from mfu.show.fleet import CHARGED, GROUP_COLUMNS, LOSS_COLUMNS, DraftLine, FleetView, fleet_view
from mfu.show.fleet_groups import FAMILY_COLUMNS, LAYOUT_COLUMNS, TREND_COLUMNS
from mfu.show.tenant import Amount, TenantView, tenant_view
from mfu.show.top import TopOrder, top
from mfu.show.workloads import Listed
from mfu.units import money, percent

SAVING_COLUMNS: Final = ("CAUSE", "EXPLAINS", "WHO", "WORKLOADS", "TAKES/H")
WORKLOAD_COLUMNS: Final = ("WORKLOAD", "MODEL", "GPUS", "EXPECTED", "OBSERVED", "SCALE", "FACTORS", "CAUSE", "LOST/H")
_RIGHT = frozenset(
    {
        *(*GROUP_COLUMNS, CHARGED, *TREND_COLUMNS, *FAMILY_COLUMNS[:-1], "WAITING", "MOVED"),
        *("SHARE", "TAKES/H", "EXPECTED", "OBSERVED", "FACTORS", "LOST/H"),
    }
)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("report", help="the fleet on one page", description=__doc__)
    of = parser.add_mutually_exclusive_group()
    of.add_argument("--fleet", action="store_true", help="the whole fleet (default)")
    space = "one namespace instead of the fleet"
    of.add_argument("-n", "--namespace", "--tenant", metavar="NAMESPACE", dest="tenant", help=space)
    add_shard(parser)
    parser.add_argument("--top", type=positive, default=20, help="workloads to show (default: 20)")
    add_cluster(parser)
    add_output(parser, "csv")


def run(args: argparse.Namespace) -> int:
    return _tenant(args) if args.tenant else _fleet(args)


def _tenant(args: argparse.Namespace) -> int:
    workloads = with_client(args, lambda client: read(client, args.tenant))
    if args.output == "csv":
        print_csv(TENANT_CSV, tenant_rows(workloads))
        return 0
    page = tenant_view(workloads)
    if args.output != "table":
        print_document(asdict(page), args.output)
        return 0
    print_tenant(args.tenant, page)
    print()
    print_workloads(workloads, args.top)
    return 0


def print_tenant(namespace: str, page: TenantView) -> None:
    """Totals, and what each cause would bring if it alone were mended."""
    out = console()
    out.print(f"{namespace}: {page.workloads} workloads hold {page.gpus} GPUs")
    for each in page.amounts:
        spent, lost = (money(amount, each.currency) for amount in (each.per_hour, each.lost_per_hour))
        out.print(f"{spent} per hour, {lost} of it lost at run time{charged(each)}")
    if page.unpriced:
        out.print(f"{page.unpriced} of them have no price")
    print()
    rows = [
        (each.cause, each.explains, each.actor, str(each.workloads), money(each.per_hour, each.currency))
        for each in page.savings
    ]
    if rows:
        print_table(SAVING_COLUMNS, rows, right=_RIGHT)
    else:
        out.print("Nothing is lost to a known cause.")


def charged(each: Amount) -> str:
    """`; charged $24.00`; empty where nothing is."""
    return "" if each.charged_per_hour is None else f"; charged {money(each.charged_per_hour, each.currency)}"


def print_workloads(workloads: Sequence[Listed], most: int) -> None:
    """Those that lose most money first, unknown ones last."""
    rows = top(workloads, TopOrder.LOST)
    cells = [
        (
            each.key,
            each.model,
            str(each.gpus),
            percent(each.levels.expected),
            percent(each.levels.observed),
            each.scale,
            _product(each.factors),
            each.cause,
            each.lost,
        )
        for each in rows[:most]
    ]
    print_table(WORKLOAD_COLUMNS, cells, right=_RIGHT)
    if len(rows) > most:
        print(f"{len(rows) - most} more: --top {len(rows)}")


def _fleet(args: argparse.Namespace) -> int:
    status = with_client(args, lambda client: _get(client, args.shard))
    if args.output in ("json", "yaml"):
        print_document(status.document(), args.output)
        return 0
    if status == NO_REPORT:
        print(with_client(args, no_report))
        return 1
    if args.output == "csv":
        print_csv(FLEET_CSV, fleet_rows(status.read()))
        return 0
    print_fleet(fleet_view(status.read()))
    print()
    if args.shard:
        print("its workloads: `mfu report -n NAMESPACE`; those of all shards: `mfu top`")
        return 0
    found = with_client(args, _workloads)
    if isinstance(found, str):
        print(f"workloads are not shown: {found}")
    else:
        print_workloads(found, args.top)
    return 0


def _product(factors: Sequence[float | None]) -> str:
    """Scheduled × progressing × program, which come to reference MFU: `100 × 100 × 15%`; Unknown where none is."""
    if all(each is None for each in factors):
        return percent(None)
    return " × ".join(percent(each, 0) for each in factors).replace("% ×", " ×")


async def no_report(client: KubeClient) -> str:
    """Why there is none, and which there are: several operators write one each."""
    shards = await shards_that_report(client)
    if shards:
        return f"no such report; each shard has its own: --shard {', --shard '.join(shards)}"
    return "no report yet: is the operator running, and does the cluster have GPU nodes?"


async def _workloads(client: KubeClient) -> tuple[Listed, ...] | str:
    """The report is for whoever may read it; its table of workloads needs one right more."""
    try:
        return await read(client, None)
    except UsageError as error:
        return str(error)


def print_fleet(page: FleetView) -> None:
    """The fleet as tables."""
    out = console()
    out.print(page.headline)
    if page.factors:
        print_line(out, page.factors)
    for bill in page.bills:
        print_line(out, bill.sentence)
        if bill.earned:
            print_line(out, bill.earned)
    out.print(f"Main cause of loss: {page.main_cause}")
    for line in page.beside:
        print_line(out, line)
    for line in (*page.held_for_nothing, *page.structural):
        print_line(out, f"! {line}")
    print()
    for group in page.groups:
        print_table((group.title, *group.columns), group.rows, right=_RIGHT)
        print()
    if page.losses:
        print_table(LOSS_COLUMNS, page.losses, right=_RIGHT)
    else:
        out.print("Nothing is lost to a known cause.")
    if page.uncaused:
        print_line(out, page.uncaused)
    _lately(out, page)
    _drafts(out, page.drafts)


def _lately(out: Console, page: FleetView) -> None:
    """Families, the last day's changes, the last days, and MIG layouts to come."""
    if page.families:
        print()
        print_table(("FAMILY", *FAMILY_COLUMNS), page.families, right=_RIGHT)
    if page.changes:
        out.print("\nChanged in the last day")
    for line in page.changes:
        print_line(out, f"  {line}")
    if page.trend:
        print()
        print_table(("DAY", *TREND_COLUMNS), page.trend, right=_RIGHT)
    if page.layouts:
        print()
        print_table(("NODE", *LAYOUT_COLUMNS), page.layouts, right=_RIGHT)


def _drafts(out: Console, drafts: Sequence[DraftLine]) -> None:
    if drafts:
        out.print("\nGPU pods that nobody declared, and the command that adopts them")
    for each in drafts:
        print_line(out, f"  {each.sentence}")
        print_line(out, f"    {each.command}")


async def _get(client: KubeClient, shard: str) -> Packed[FleetStatus]:
    try:
        return await fleet_status(client, shard)
    except UnknownToServer as error:
        raise UsageError(
            "the cluster does not know FleetReport: install the chart or `kubectl apply -f crds/`"
        ) from error
