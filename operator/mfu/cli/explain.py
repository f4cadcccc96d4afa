"""`mfu explain NAME`: why one workload of a cluster runs as fast as it does, and what to change.

--history shows every setting that it ran with, what each reached and what advice had promised; --watch looks again
every few seconds until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from typing import Any, Final

from mfu.api.workload_status import WorkloadStatus
from mfu.cli.cluster import add_cluster, named, with_client
from mfu.cli.errors import UsageError
from mfu.cli.explanation import print_explanation
from mfu.cli.output import add_output, positive, print_document, print_line, print_table
from mfu.cli.output import console as terminal
from mfu.cluster.client import KubeClient, ServerUnreachable
from mfu.cluster.said import is_paused, names_of_workloads, workload_status
from mfu.cluster.traces import traces_of
from mfu.engine.packed import Packed
from mfu.engine.views import NO_STATUS
from mfu.show.explanation import explanation
from mfu.show.history import COLUMNS, history_rows, last_change
from mfu.show.path import Traces, way

CLEAR: Final = "\x1b[H\x1b[2J"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="explain one ModelWorkload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="name of the ModelWorkload, or NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", help="default: the namespace of the kubeconfig's context")
    parser.add_argument("--history", action="store_true", help="the settings that it ran with, newest first")
    parser.add_argument("-w", "--watch", action="store_true", help="look again until Ctrl-C")
    parser.add_argument("--seconds", type=positive, default=5, help="between two looks (default: 5)")
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    namespace, name = named(args)
    if args.watch:
        with_client(args, lambda client: _watch(client, args, namespace, name))
    found = with_client(args, lambda client: _get(client, namespace, name))
    return _show(args, (namespace, name), found)


@dataclass(frozen=True, slots=True)
class FoundWorkload:
    """What the cluster holds of one."""

    status: Packed[WorkloadStatus]
    paused: bool
    traces: Traces


def _show(args: argparse.Namespace, key: tuple[str, str], found: FoundWorkload) -> int:
    status = found.status
    if args.output != "table":
        print_document(_document(found, history=args.history), args.output)
        return 0
    if status == NO_STATUS:
        print(f"{'/'.join(key)} has no status yet: is the operator running? (kubectl get pods -A | grep mfu)")
        return 1
    if args.history:
        _history("/".join(key), status.read())
    else:
        print_explanation(explanation(*key, status.read(), paused=found.paused, traces=found.traces))
    return 0


def _document(found: FoundWorkload, *, history: bool) -> Any:
    """Its status, and under `path` how far its place has come: decided, allowed, sent, seen."""
    document = found.status.document()
    if history:
        return document.get("history", [])
    status = found.status.read()
    points = way(status.decisions, found.traces, status.conditions)
    return {**document, "path": {each.step: each.words for each in points}} if points else document


def _history(key: str, status: WorkloadStatus) -> None:
    rows = history_rows(status)
    if not rows:
        print(f"{key} has no history yet: a setting enters it after five minutes of readings")
        return
    print_table(COLUMNS, rows, right=frozenset(("BEFORE", "AFTER", "PROMISED", "GPUS")))
    change = last_change(status)
    if change is not None:
        print_line(terminal(), change.sentence, hang=0)


async def _watch(client: KubeClient, args: argparse.Namespace, namespace: str, name: str) -> None:
    """Ends with Ctrl-C; a server that is away for a while ends nothing."""
    while True:
        if sys.stdout.isatty() and args.output == "table":
            print(CLEAR, end="")
        try:
            _show(args, (namespace, name), await _get(client, namespace, name))
        except ServerUnreachable as error:
            print(f"the API server does not answer: {error}")
        sys.stdout.flush()
        await asyncio.sleep(args.seconds)


async def _get(client: KubeClient, namespace: str, name: str) -> FoundWorkload:
    found = await workload_status(client, name, namespace)
    if found is None:
        names = ", ".join(await names_of_workloads(client, namespace)) or "none"
        raise UsageError(f"namespace {namespace} has no ModelWorkload {name}; it has {names}")
    paused = await is_paused(client, name, namespace)
    return FoundWorkload(found, paused, await traces_of(client, name, namespace))
