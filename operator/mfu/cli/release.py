"""`mfu release NAME… | --all | --expired`: take our scheduling gate off pods; they run as they are.

Only the gate mfu.gpuaas.io/placement is ever removed, and nothing else of a pod is changed. With --jobs it is our name
on Kueue's gate of Jobs, JobSets, TrainJobs and LeaderWorkerSets instead. With --watch it goes on for ever: that is the
release keeper, which frees what waits when its deadline is over though no operator runs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry

from mfu.act.gates import HeldPod, deadlines, overdue
from mfu.act.queue_gates import GatedOwner
from mfu.api.names import PLACEMENT_GATE
from mfu.cli.cluster import add_cluster, named, namespace_of, with_client
from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, print_document, print_table
from mfu.cluster import projection
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.forsaken import ON_THEIR_WAY
from mfu.cluster.keeper import UNBOUND, Keeper, held_pod, keep
from mfu.cluster.lease import Lease
from mfu.cluster.node_keeper import NodeKeeper
from mfu.cluster.queue_gate import GATEABLE, Ungated, gated_owner, ungate
from mfu.cluster.queue_keeper import QueueKeeper
from mfu.cluster.release import Opened, release
from mfu.cluster.resources import MFUPOLICIES, NAMESPACES, PODS, ResourcePath, runs_pods
from mfu.cluster.slowing import MARKED
from mfu.controller.server import serve

LEASE_NAME: Final = "mfu-release-keeper"
SILENT_SECONDS: Final = 60.0
_FREE: Final = (Opened.RELEASED, Opened.NOT_GATED, Ungated.UNGATED, Ungated.NOT_GATED)
Gated = HeldPod | GatedOwner


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("release", help="take our scheduling gate off pods", description=__doc__)
    parser.add_argument(
        "pods", nargs="*", metavar="POD", help="names of pods (--jobs: of Jobs, JobSets …), or NAMESPACE/POD"
    )
    parser.add_argument("-n", "--namespace", default=None, help="default: the namespace of the kubeconfig's context")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="with --all or --expired: everywhere")
    parser.add_argument("--all", action="store_true", help="every pod behind the gate")
    parser.add_argument(
        "--jobs", action="store_true", help="Jobs, JobSets … behind Kueue's gate; with --watch: these as well"
    )
    parser.add_argument("--expired", action="store_true", help="those whose gate.deadlineSeconds is over")
    parser.add_argument("--dry-run", action="store_true", help="say which, and release none")
    parser.add_argument("--watch", action="store_true", help="with --expired: go on, everywhere, while holding a Lease")
    parser.add_argument("--lease-namespace", help="namespace of that Lease (default: the pod's own)")
    parser.add_argument(
        "--kueue-check", metavar="NAME", default="", help="with --watch: answer what this AdmissionCheck left waiting"
    )
    parser.add_argument(
        "--nodes", action="store_true", help="with --watch: uncordon what was left on its way to another MIG layout"
    )
    parser.add_argument(
        "--slow-nodes", action="store_true", help="with --watch: take off soft taints of ours that nobody renews"
    )
    parser.add_argument("--health-port", type=int, default=8081, help="port of /healthz with --watch (default: 8081)")
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    _check(args)
    if args.watch:
        return with_client(args, lambda client: watch(client, args))
    for each in args.pods:
        named(args, each)
    found = with_client(args, lambda client: released(client, args))
    rows = [{**_said_of(each), "result": said} for each, said in found]
    if args.output != "table":
        print_document(rows, args.output)
    elif rows:
        print_table([key.upper() for key in rows[0]], [tuple(each.values()) for each in rows])
    else:
        print(f"no {'job' if args.jobs else 'pod'} waits behind the gate {PLACEMENT_GATE}")
    return 0 if args.dry_run or all(said in _FREE for _, said in found) else 1


def _said_of(gated: Gated) -> dict[str, str]:
    if isinstance(gated, GatedOwner):
        return {"namespace": gated.namespace, "kind": gated.kind, "name": gated.name}
    return {"namespace": gated.namespace, "pod": gated.name}


def _check(args: argparse.Namespace) -> None:
    if sum((bool(args.pods), args.all, args.expired)) != 1:
        raise UsageError("name pods, or give --all or --expired: one of the three")
    if args.pods and args.all_namespaces:
        raise UsageError("--all-namespaces goes with --all or --expired; pods are named in one namespace (-n)")
    if args.namespace is not None and args.all_namespaces:
        raise UsageError("--namespace and --all-namespaces exclude each other; keep one")
    if args.watch and (not args.expired or args.namespace is not None or args.dry_run):
        raise UsageError("--watch goes with --expired alone, for all namespaces")
    if args.slow_nodes and not args.watch:
        raise UsageError("--slow-nodes goes with --watch; by hand `kubectl taint nodes NODE mfu.gpuaas.io/slow-`")
    if args.nodes and not args.watch:
        raise UsageError("--nodes goes with --watch; by hand `kubectl uncordon NODE` gives a node back")


async def released(client: KubeClient, args: argparse.Namespace) -> list[tuple[Gated, str]]:
    """Each pod or Job and what became of it, in the order in which they were made."""
    namespace = None if args.all_namespaces else namespace_of(args)
    waiting = await _chosen(client, args, namespace)
    if args.dry_run:
        return [(each, "WouldRelease") for each in waiting]
    return [(each, await _release(client, each)) for each in waiting]


async def _chosen(client: KubeClient, args: argparse.Namespace, namespace: str | None) -> Sequence[Gated]:
    if args.pods and not args.jobs:
        return [HeldPod(*named(args, each), "", 0.0) for each in args.pods]
    if args.pods:
        return [owner for each in args.pods for owner in await _of_name(client, *named(args, each))]
    held: list[Gated] = []
    if args.jobs:
        for kind in GATEABLE:
            held += await _gated(client, kind, namespace)
    else:
        items, _ = await client.list(PODS, namespace=namespace, fieldSelector=UNBOUND)
        held += [pod for item in items if (pod := held_pod(item)) is not None]
    if args.all:
        return sorted(held, key=lambda each: (each.created_at, each.key))
    return overdue(held, await _deadlines(client), time.time(), {})


async def _of_name(client: KubeClient, namespace: str, name: str) -> list[GatedOwner]:
    """What has that name, of whatever kind; the Job where nothing of it waits, so that something is said of it."""
    only = f"metadata.name={name}"
    found = [each for kind in GATEABLE for each in await _gated(client, kind, namespace, fieldSelector=only)]
    return found or [GatedOwner(namespace, "Job", name, "", 0.0)]


async def _gated(client: KubeClient, kind: ResourcePath, namespace: str | None, **selectors: str) -> list[GatedOwner]:
    """None of another project's kind that is not served; who has no rights to it is told 403, served or not."""
    try:
        items, _ = await client.list(kind, namespace=namespace, **selectors)
    except ApiError as error:
        if error.status in (403, 404) and kind.kind != "Job":
            return []
        raise
    return [owner for item in items if (owner := gated_owner(kind.kind)(item)) is not None]


async def _deadlines(client: KubeClient) -> dict[str, float]:
    policies, _ = await client.list(MFUPOLICIES)
    namespaces, _ = await client.list(NAMESPACES)
    views = [projection.policy_view(item) for item in policies]
    labels = {item["metadata"]["name"]: projection.namespace_labels(item) for item in namespaces}
    return deadlines({view.name: view.spec for view in views}, labels)


async def _release(client: KubeClient, gated: Gated) -> str:
    """One that can not be released must not keep the others."""
    where, uid = (gated.namespace, gated.name), gated.uid or None
    try:
        if isinstance(gated, GatedOwner):
            return await ungate(client, runs_pods(gated.kind), *where, uid=uid)
        return await release(client, *where, uid=uid)
    except (ApiError, ServerUnreachable) as error:
        return f"Failed: {error}"


async def watch(client: KubeClient, args: argparse.Namespace) -> int:
    logging.basicConfig(level="INFO", format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    keeper = Keeper(client, check=args.kueue_check)
    keeper.nodes = NodeKeeper(client, ON_THEIR_WAY) if args.nodes else None
    keeper.slow = NodeKeeper(client, MARKED) if args.slow_nodes else None
    keeper.jobs = QueueKeeper(client) if args.jobs else None
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    where = args.lease_namespace or os.environ.get("POD_NAMESPACE") or "default"
    lease = Lease(client, namespace=where, name=LEASE_NAME, identity=identity)
    async with serve(
        CollectorRegistry(),
        host="0.0.0.0",
        port=args.health_port,
        healthy=lambda: silent(keeper, loop.time()),
        ready=lambda: None if keeper.rounds_at is not None else "pods are not listed yet",
    ):
        return await keep(keeper, lease, stop)


def silent(keeper: Keeper, now: float) -> str | None:
    """Liveness: only what a restart would mend. An API server that is away is not our illness."""
    if keeper.rounds_at is None or now - keeper.rounds_at < SILENT_SECONDS:
        return None
    return f"no round for {now - keeper.rounds_at:.0f} s"
