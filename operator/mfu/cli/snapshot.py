"""`mfu snapshot -f FILE`: read the cluster and its telemetry for a while, as the operator would, and save what it sees.

Writes nothing to the cluster. The file replays anywhere: `mfu replay FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final

from mfu.cli.cluster import FORBIDDEN, add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cli.roles import READER
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import (
    FLEETREPORTS,
    GPUNODES,
    MFUPOLICIES,
    MODELWORKLOADS,
    NAMESPACES,
    NODES,
    PODS,
    ResourcePath,
)
from mfu.controller.config import BadConfig, OperatorConfig, load
from mfu.controller.operator import observe
from mfu.engine import saved
from mfu.engine.saved import dump
from mfu.engine.snapshot import Snapshot
from mfu.predict.types import Corrections

SYNC_SECONDS: Final = 60.0
READS: Final = (MFUPOLICIES, MODELWORKLOADS, GPUNODES, FLEETREPORTS, NODES, PODS, NAMESPACES)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("snapshot", help="save a snapshot for replay", description=__doc__)
    parser.add_argument("-f", "--file", type=Path, required=True, help="file to write; - is standard output")
    parser.add_argument("--config", type=Path, help="the operator's configuration file (where telemetry is)")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long to read telemetry (default: 90)")
    add_cluster(parser)


def run(args: argparse.Namespace) -> int:
    try:
        config = load(args.config)
    except BadConfig as error:
        raise UsageError(str(error)) from error
    _check_target(args.file)
    text = with_client(args, lambda client: take(client, config, args.seconds))
    print(seen(saved.load(text)[0]), file=sys.stderr)
    if str(args.file) == "-":
        print(text, end="")
        return 0
    try:
        args.file.write_text(text)
    except OSError as error:
        raise UsageError(f"--file {args.file}: {error.strerror}") from error
    print(f"wrote {args.file}; replay it with `mfu replay {args.file}`")
    return 0


def seen(snapshot: Snapshot) -> str:
    """What is in it, and whether anything of it was measured: a file without readings replays to unknowns."""
    parts = (
        f"{len(snapshot.nodes)} GPU nodes",
        f"{len(snapshot.pods)} pods",
        f"{len(snapshot.workloads)} ModelWorkloads",
    )
    devices = len(snapshot.fleet.devices)
    measured = sum(1 for each in snapshot.series.values() if each.progress is not None and len(each.progress))
    said = f"saw {', '.join(parts)}"
    if devices or measured:
        return f"{said}; readings of {devices} GPUs and of the progress of {measured} workloads"
    return (
        f"{said}, and no reading at all: everything measured will be unknown in it. Is an exporter there "
        "(--config says where), may this machine reach pods and nodes, and were --seconds enough?"
    )


def _check_target(path: Path) -> None:
    """Said before the minutes of reading, not after."""
    if path.is_dir():
        raise UsageError(f"--file {path}: is a directory; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"--file {path}: there is no directory {path.parent}")


async def _may_list(client: KubeClient, resource: ResourcePath) -> None:
    """Asks for nothing that there is: only whether it may be asked. UsageError names the role."""
    try:
        await client.list(resource, fieldSelector="metadata.name=-")
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        raise UsageError(
            f"you may not list {resource.plural} of the whole cluster; ask for the ClusterRole {READER}, "
            "the operator's own, which an administrator has to bind"
        ) from error


async def take(client: KubeClient, config: OperatorConfig, seconds: float) -> str:
    """What the cluster and its telemetry say over `seconds`, as text that replays."""
    # Informers try for ever; a server that is away, lacks our kinds or refuses is better named at once.
    for resource in READS:
        await _may_list(client, resource)
    async with observe(client, config) as loop:
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await loop.state.wait_synced()
        except TimeoutError as error:
            raise UsageError(
                f"the cluster was not read within {SYNC_SECONDS:.0f} s; may this account list and watch nodes, pods, "
                "namespaces and mfu.gpuaas.io?"
            ) from error
        await asyncio.sleep(seconds)
        now = time.time()
        return dump(loop.state.snapshot(loop.past, Corrections(), now), now)
