"""`mfu report`: how much of what the cluster's GPUs cost becomes work, and where the rest goes."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mfu.cli.cluster import add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, console, print_json, print_line, print_table
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import FLEETREPORTS
from mfu.units import money, percent

_RIGHT = frozenset({"GPUS", "ALLOCATED", "MFU", "ALLOCATED-MFU", "KNOWN", "$/H", "SHARE", "WORKLOADS", "LOST/H"})


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("report", help="the fleet on one page", description=__doc__)
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    status = with_client(args, _get)
    if args.output == "json":
        print_json(status)
        return 0
    if not status:
        print("no report yet: is the operator running, and does the cluster have GPU nodes?")
        return 1
    show(status)
    return 0


def show(status: Mapping[str, Any]) -> None:
    """The report's status as tables."""
    currency, out = status.get("currency", "$"), console()
    summary: dict[str, str] = defaultdict(lambda: "Unknown", status.get("summary") or {})
    out.print(f"Fleet MFU {summary['mfu']}; {summary['gpus']} GPUs allocated; {summary['coverage']} of GPU-time known")
    for each in status.get("bills") or ():
        print_line(out, _bill(each))
    out.print(f"Main cause of loss: {summary['cause']}\n")
    for title, key, name in (("PRODUCT", "products", "product"), ("NAMESPACE", "namespaces", "namespace")):
        _groups(title, status.get(key) or (), name, currency)
    _groups("NODE", status.get("nodes") or (), "node", currency)
    _losses(status.get("losses") or (), currency)


def _bill(each: Mapping[str, Any]) -> str:
    """Every amount of one currency, and how they make up the whole."""

    def amount(name: str) -> str:
        return money(float(each.get(name, 0)), each["currency"])

    parts = " + ".join(f"{amount(name)} {words}" for name, words in _PARTS)
    unpriced = each.get("unpricedGPUs", "0")
    beside = "" if float(unpriced) == 0 else f"; {unpriced} GPUs have no price"
    return f"{amount('perHour')} per hour = {parts}{beside}"


_PARTS = (
    ("useful", "useful"),
    ("lost", "lost"),
    ("heldIdle", "held idle"),
    ("unallocated", "unallocated"),
    ("unknown", "unknown"),
)


def _groups(title: str, rows: Sequence[Mapping[str, Any]], name: str, currency: str) -> None:
    columns = (title, "GPUS", "ALLOCATED", "MFU", "ALLOCATED-MFU", "KNOWN", "$/H")
    print_table(columns, [_group(each, name, currency) for each in rows], right=_RIGHT)
    print()


def _group(each: Mapping[str, Any], name: str, currency: str) -> tuple[str, ...]:
    unknown = (each.get("coverage") or {}).get("unknown")
    return (
        each[name],
        str(each.get("gpus", "0")),
        str(each.get("allocatedGPUs", "0")),
        percent(_number(each.get("mfu"))),
        percent(_number(each.get("allocatedMFU"))),
        percent(None if unknown is None else 1 - float(unknown), 0),
        money(_number(each.get("costPerHour")), currency),
    )


def _losses(rows: Sequence[Mapping[str, Any]], currency: str) -> None:
    columns = ("CAUSE", "EXPLAINS", "WHO", "WORKLOADS", "SHARE", "LOST/H")
    lines = [
        (
            each["cause"],
            each["explains"],
            each.get("actor", ""),
            str(each.get("workloads", 0)),
            percent(_number(each.get("share"))),
            money(_number(each.get("lostPerHour")), currency),
        )
        for each in rows
    ]
    print_table(columns, lines, right=_RIGHT)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


async def _get(client: KubeClient) -> dict[str, Any]:
    try:
        report = await client.get(FLEETREPORTS, "fleet")
    except ApiError as error:
        if error.status != 404:
            raise
        if "could not find the requested resource" in error.message:
            raise UsageError(
                "the cluster does not know FleetReport: install the chart or `kubectl apply -f crds/`"
            ) from error
        return {}
    return report.get("status") or {}
