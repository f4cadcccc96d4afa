"""`mfu sim`: a simulated GPU fleet on a cluster (or on none), with one endpoint for all its telemetry."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.connection import NoCluster, connect
from mfu.sim.faults import degraded, parse_fault_flag
from mfu.sim.fields import NamingRegime
from mfu.sim.fleet import NoRoom, SimFleet
from mfu.sim.inventory import ImpossibleNode, NodeSpec, from_documents, parse_nodes
from mfu.sim.kube import PodFollower, create_nodes, delete_nodes
from mfu.sim.pods import SimPod, Workload
from mfu.sim.server import SimServer, serve
from mfu.sim.truth import PREFIX, Fault, InvalidPlan, Truth, from_annotations
from mfu.sim.truth_file import write_truth

_EPILOG = f"""\
Pods say what to simulate in annotations ({PREFIX}mfu, {PREFIX}fault, …; see docs/simulated-fleet.md).
A plan file may hold nodes and workloads instead:
  nodes: [{{product: H100-SXM5, count: 4}}, {{product: H100-SXM5, migProfile: 1g.10gb}}]
  workloads: [{{namespace: team-a, name: llama70b, mfu: 0.14, fault: slow-link, model: llama-3.1-70b}}]
"""


_SYNC_SECONDS = 30.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `sim` to the command line."""
    parser = subparsers.add_parser(
        "sim",
        help="simulate a GPU fleet: nodes, DCGM text, workload progress, faults",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", default="", help="PRODUCT[:MIG-PROFILE]=COUNT,… such as H100-SXM5=4,H200-SXM=4")
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--plan", type=Path, help="YAML file with nodes and workloads")
    parser.add_argument("--kubeconfig", type=Path, help="cluster to make the nodes on and to follow pods of")
    parser.add_argument("--no-cluster", action="store_true", help="serve the plan's workloads, placed by the simulator")
    parser.add_argument("--keep-nodes", action="store_true", help="leave the nodes on the cluster at the end")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9400, help="0: a free one (default 9400)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between collections (default 1)")
    parser.add_argument(
        "--regime", choices=[regime.value for regime in NamingRegime], default=NamingRegime.LEGACY.value
    )
    parser.add_argument("--counters", choices=["default", "full"], default="full", help="exporter's own CSV, or ours")
    parser.add_argument(
        *("--fault", "-F"),
        action="append",
        default=[],
        metavar="NAMESPACE/NAME=FAULT[:STRENGTH]",
        help="switch a fault on in a workload, whatever its annotations plant",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth-file", type=Path, help="where the planted truth goes (mode 0600)")
    parser.add_argument("--url-file", type=Path, help="where the endpoint's URL goes once it serves")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Until SIGINT or SIGTERM. Exit codes: 0 ended as asked, 1 cluster out of reach, 2 wrong arguments."""
    try:
        setup = _setup(args)
    except (UsageError, ImpossibleNode, InvalidPlan, NoRoom, ValueError, OSError) as error:
        print(f"mfu sim: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_run(setup, args))
    except (NoCluster, ServerUnreachable, ApiError, TimeoutError, OSError) as error:
        print(f"mfu sim: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Setup:
    nodes: tuple[NodeSpec, ...]
    fleet: SimFleet
    plan: dict[str, Truth]
    endpoint: SimServer
    faults: dict[str, tuple[Fault, float]]

    def adjusted(self, pod: SimPod) -> Truth:
        """The pod's truth with the faults of the command line in it. Raises InvalidPlan."""
        if pod.workload not in self.faults or pod.truth.mfu == 0:
            return pod.truth
        return degraded(pod.truth, *self.faults[pod.workload])


def _setup(args: argparse.Namespace) -> _Setup:
    document = _read_plan(args.plan) if args.plan else {}
    nodes = from_documents(document.get("nodes", ())) + parse_nodes(args.nodes, args.gpus_per_node)
    if not nodes:
        raise ValueError("no nodes: give --nodes H100-SXM5=4 or a --plan file with nodes")
    faults = {name: (fault, strength) for name, fault, strength in map(parse_fault_flag, args.fault)}
    workloads = [_workload(each, faults) for each in document.get("workloads", ())]
    placed = workloads if args.no_cluster else []
    fleet = SimFleet(nodes, placed, args.seed, interval_seconds=args.interval)
    plan = {f"{each.namespace}/{each.name}": each.truth for each in workloads}
    endpoint = SimServer(
        fleet,
        regime=NamingRegime(args.regime),
        counters=args.counters,
        changed=lambda: _record_truth(fleet, args.truth_file),
    )
    return _Setup(nodes, fleet, plan, endpoint, {} if args.no_cluster else faults)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(path, "--plan")) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"--plan {path}: is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"--plan {path}: is a {type(document).__name__}; write a mapping with nodes and workloads")
    return document


def _workload(document: dict[str, Any], faults: dict[str, tuple[Fault, float]]) -> Workload:
    """One workload of a plan file: where and how much, the rest is its truth under the annotations' names."""
    place = {key: document.pop(key) for key in ("namespace", "name", "pods", "gpus", "resource") if key in document}
    truth = from_annotations({PREFIX + key: str(value) for key, value in document.items()})
    name = f"{place.get('namespace')}/{place.get('name')}"
    truth = degraded(truth, *faults[name]) if name in faults else truth
    return Workload(truth=truth, started=time.time(), **place)


async def _run(setup: _Setup, args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(setup.fleet, args.port, host=args.host, endpoint=setup.endpoint))
        tasks = [asyncio.create_task(stop.wait())]
        if not args.no_cluster:
            tasks.append(await _join_cluster(setup, args, stack))
        _record_truth(setup.fleet, args.truth_file)
        if args.url_file:
            _write_whole(args.url_file, f"{url}\n")
        print(f"simulating {len(setup.nodes)} nodes, {len(setup.fleet.slots)} devices at {url}", flush=True)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _join_cluster(setup: _Setup, args: argparse.Namespace, stack: AsyncExitStack) -> asyncio.Task[Any]:
    """Makes the nodes and follows pods; the task that does never ends but by an error."""
    client = await stack.enter_async_context(KubeClient(connect(args.kubeconfig)))
    await create_nodes(client, setup.nodes)
    if not args.keep_nodes:
        stack.push_async_callback(_leave, client, setup.nodes)
    follower = PodFollower(
        client,
        setup.fleet,
        plan=setup.plan,
        adjust=setup.adjusted,
        changed=lambda: _record_truth(setup.fleet, args.truth_file),
    )
    task = asyncio.create_task(follower.run())
    stack.callback(task.cancel)
    await asyncio.wait_for(follower.informer.synced.wait(), timeout=_SYNC_SECONDS)
    return task


async def _leave(client: KubeClient, nodes: tuple[NodeSpec, ...]) -> None:
    # The API server may be gone before us; its nodes are gone with it.
    with suppress(ServerUnreachable, ApiError):
        await delete_nodes(client, nodes)


def _record_truth(fleet: SimFleet, path: Path | None) -> None:
    if path is not None:
        write_truth(fleet, path)


def _write_whole(path: Path, text: str) -> None:
    # Somebody waits for the file to appear: it must not appear empty.
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
