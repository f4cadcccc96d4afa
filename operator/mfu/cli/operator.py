"""`mfu operator`: watch, evaluate, and say what was found. Runs in the cluster, or anywhere with a kubeconfig.

With --dry-run nothing is written to the cluster: what would be said is printed as a table, again whenever it changes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from mfu.cli.cluster import with_client
from mfu.cli.errors import UsageError
from mfu.cli.output import print_table
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import NoCluster, connect
from mfu.cluster.resources import MFUPOLICIES, MODELWORKLOADS
from mfu.controller.config import BadConfig, LeaderElection, OperatorConfig, load
from mfu.controller.operator import operate
from mfu.engine.plan import Plan
from mfu.show.fleet import fleet_view
from mfu.show.top import TopOrder, top
from mfu.show.workloads import COLUMNS, row
from mfu.web.planned import seen_of


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("operator", help="run the operator", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, the pod's account, ~/.kube/config")
    parser.add_argument("--config", type=Path, help="configuration file (docs/configuration.md)")
    parser.add_argument("--dry-run", action="store_true", help="evaluate, print and publish metrics; write nothing")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")


def run(args: argparse.Namespace) -> int:
    level = args.log_level or ("warning" if args.dry_run else "info")
    logging.basicConfig(level=level.upper(), format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        config = load(args.config)
        if args.dry_run:
            return _dry(args, config.model_copy(update={"dry_run": True}))
        # Told at once here; inside kopf's start-up it would be tried for ever.
        connect(args.kubeconfig)
        return asyncio.run(operate(config, args.kubeconfig))
    except (BadConfig, NoCluster) as error:
        raise UsageError(str(error)) from error


def _dry(args: argparse.Namespace, config: OperatorConfig) -> int:
    """By hand: what is missing is said in a sentence before anything starts, and a port that is taken is not needed."""
    args.context = None
    with_client(args, _readable)
    by_hand = _by_hand(config, given=args.config is not None)
    print("reading the cluster; nothing is written. Ctrl-C ends it.", flush=True)
    return asyncio.run(operate(by_hand, args.kubeconfig, Shown().look))


def _by_hand(config: OperatorConfig, *, given: bool) -> OperatorConfig:
    """Beside an operator that works: its lease stays its own, and the first table does not wait for readings."""
    changes: dict[str, Any] = {"leader_election": LeaderElection(enabled=False)}
    if not given:
        changes["server"] = config.server.model_copy(update={"port": 0})
        changes["cycle"] = config.cycle.model_copy(update={"warm_up_seconds": 0.0})
    return config.model_copy(update=changes)


async def _readable(client: KubeClient) -> None:
    """Our kinds are there and may be listed. ApiError where not."""
    for each in (MFUPOLICIES, MODELWORKLOADS):
        await client.list(each)


class Shown:
    """Prints a plan where it says anything else than the one before."""

    def __init__(self) -> None:
        self._before: tuple[object, ...] = ()

    def look(self, plan: Plan) -> None:
        listed = tuple(seen_of(plan, time.time()).listed())
        order = {each.key: place for place, each in enumerate(top(listed, TopOrder.LOST))}
        rows = [row(each) for each in sorted(listed, key=lambda each: order[each.key])]
        fleet = fleet_view(plan.report.read())
        now = (fleet.headline, *fleet.drafts, *rows)
        if now == self._before:
            return
        self._before = now
        print(f"\n{fleet.headline}", flush=True)
        for draft in fleet.drafts:
            print(f"not declared: {draft.sentence}; {draft.command}")
        print_table(COLUMNS, rows) if rows else print("no ModelWorkload is declared")
