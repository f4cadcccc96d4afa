"""Pages of all nodes' exporters from one small server: `python -m benchmarks.scale.exporters WORKLOADS NODES`."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from math import pi, sin
from typing import Final

from benchmarks.scale.fleet import GPUS_PER_NODE, Size, namespace_of, node_name

READ: Final = {
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.4,
    "DCGM_FI_PROF_SM_ACTIVE": 0.8,
    "DCGM_FI_PROF_DRAM_ACTIVE": 0.5,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.95,
    "DCGM_FI_DEV_SM_CLOCK": 1755.0,
    "DCGM_FI_DEV_POWER_USAGE": 650.0,
    "DCGM_FI_DEV_GPU_UTIL": 99.0,
    "DCGM_FI_DEV_FB_USED": 61000.0,
    "DCGM_FI_DEV_FB_FREE": 20000.0,
}
VARY: Final = (
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    "DCGM_FI_PROF_SM_ACTIVE",
    "DCGM_FI_PROF_DRAM_ACTIVE",
    "DCGM_FI_DEV_POWER_USAGE",
)
NOISE: Final = 0.01
"""Every reading of these is new: a level, and evenly so much to both sides of it."""
SWING: Final = 0.2
SWINGS: Final = 5
"""One workload of so many also swings by SWING around its level, once in SWING_SECONDS: its judgement changes."""
SWING_SECONDS: Final = 300.0
STALE_SECONDS: Final = 5.0
"""A node's page is new at most this often: that is the exporter's own sampling."""


@dataclass(slots=True)
class Node:
    """What stands on one node's GPUs: labels, and whether their workload swings."""

    gpus: list[tuple[str, bool]] = field(default_factory=list)

    def page(self, now: float, order: random.Random) -> bytes:
        wave = 1.0 + SWING * sin(2 * pi * now / SWING_SECONDS)
        lines = []
        for labels, swings in self.gpus:
            for name, level in READ.items():
                moved = order.uniform(1 - NOISE, 1 + NOISE) * (wave if swings else 1.0) if name in VARY else 1.0
                lines.append(f"{name}{{{labels}}} {level * moved:.4f}\n")
        return "".join(lines).encode()


def nodes(size: Size) -> dict[bytes, Node]:
    found: dict[bytes, Node] = defaultdict(Node)
    for place, (owner, index) in enumerate(size.held()):
        node, gpu = place // GPUS_PER_NODE, place % GPUS_PER_NODE
        labels = (
            f'gpu="{gpu}",UUID="GPU-{node:05d}-{gpu}",modelName="NVIDIA H100 80GB HBM3",'
            f'Hostname="h",namespace="{namespace_of(owner)}",pod="w{owner}-{index}",container="main"'
        )
        found[node_name(node).encode()].gpus.append((labels, owner // SWINGS % SWINGS == 0))
    return found


async def serve(size: Size) -> None:
    known, order = nodes(size), random.Random(11)
    pages: dict[bytes, tuple[float, bytes]] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        node = head.split(b" ", 2)[1].strip(b"/")
        now = time.time()
        if node in known and (node not in pages or now - pages[node][0] >= STALE_SECONDS):
            pages[node] = (now, known[node].page(now, order))
        body = pages[node][1] if node in pages else b""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Size(int(sys.argv[1]), int(sys.argv[2]))))
