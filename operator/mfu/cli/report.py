"""`mfu report`: how much of what the cluster's GPUs cost becomes work, and where the rest goes."""

from __future__ import annotations

import argparse
from typing import Any

from mfu.api.fleetreport import FleetStatus
from mfu.cli.cluster import add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, console, print_json, print_line, print_table
from mfu.cluster.client import KubeClient
from mfu.cluster.said import UnknownToServer, fleet_status
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT
from mfu.show.fleet import GROUP_COLUMNS, LOSS_COLUMNS, FleetView, fleet_view

_RIGHT = frozenset({*GROUP_COLUMNS, "WORKLOADS", "SHARE", "LOST/H"})


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("report", help="the fleet on one page", description=__doc__)
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    status = with_client(args, _get)
    if args.output == "json":
        print_json(status.document())
        return 0
    if status == NO_REPORT:
        print("no report yet: is the operator running, and does the cluster have GPU nodes?")
        return 1
    print_fleet(fleet_view(status.read()))
    return 0


def print_fleet(page: FleetView) -> None:
    """The fleet as tables."""
    out = console()
    out.print(page.headline)
    if page.factors:
        print_line(out, page.factors)
    for bill in page.bills:
        print_line(out, bill.sentence)
    for line in page.held_for_nothing:
        print_line(out, f"! {line}")
    out.print(f"Main cause of loss: {page.main_cause}\n")
    for group in page.groups:
        print_table((group.title, *GROUP_COLUMNS), group.rows, right=_RIGHT)
        print()
    print_table(LOSS_COLUMNS, page.losses, right=_RIGHT)


async def _get(client: KubeClient) -> Packed[FleetStatus]:
    try:
        return await fleet_status(client)
    except UnknownToServer as error:
        raise UsageError(
            "the cluster does not know FleetReport: install the chart or `kubectl apply -f crds/`"
        ) from error
