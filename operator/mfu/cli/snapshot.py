"""`mfu snapshot -f FILE`: read the cluster and its telemetry for a while, as the operator would, and save what it sees.

Writes nothing to the cluster. The file replays anywhere: `mfu replay FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from mfu.cli.cluster import add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cluster.client import KubeClient
from mfu.controller.config import BadConfig, load
from mfu.controller.operator import observe
from mfu.engine.saved import dump
from mfu.predict.types import Corrections


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
    text = with_client(args, lambda client: _take(client, config, args.seconds))
    if str(args.file) == "-":
        print(text, end="")
        return 0
    try:
        args.file.write_text(text)
    except OSError as error:
        raise UsageError(f"--file {args.file}: {error.strerror}") from error
    print(f"wrote {args.file}; replay it with `mfu replay {args.file}`")
    return 0


async def _take(client: KubeClient, config: Any, seconds: float) -> str:
    async with observe(client, config) as loop:
        async with asyncio.timeout(60):
            await loop.state.wait_synced()
        await asyncio.sleep(seconds)
        now = time.time()
        return dump(loop.state.snapshot(loop.past, Corrections(), now), now)
