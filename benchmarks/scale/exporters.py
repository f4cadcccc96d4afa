"""Pages of all nodes' exporters from one small server: `python -m benchmarks.scale.exporters WORKLOADS NODES`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from contextlib import suppress
from typing import Final

from benchmarks.scale.fleet import GPUS_PER_NODE, Size, namespace_of, node_name

READ: Final = {
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "0.4@VARY",
    "DCGM_FI_PROF_SM_ACTIVE": "0.8@VARY",
    "DCGM_FI_PROF_DRAM_ACTIVE": "0.5@VARY",
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "0.95",
    "DCGM_FI_DEV_SM_CLOCK": "1755",
    "DCGM_FI_DEV_POWER_USAGE": "650.@VARY",
    "DCGM_FI_DEV_GPU_UTIL": "99",
    "DCGM_FI_DEV_FB_USED": "61000",
    "DCGM_FI_DEV_FB_FREE": "20000",
}
VARY: Final = b"@VARY"


def pages(size: Size) -> dict[bytes, bytes]:
    """By node, with a mark where numbers vary from second to second."""
    pods: dict[int, list[str]] = defaultdict(list)
    for place, (owner, index) in enumerate(size.held()):
        gpu = place % GPUS_PER_NODE
        pods[place // GPUS_PER_NODE].append(
            f'gpu="{gpu}",UUID="GPU-{place // GPUS_PER_NODE:05d}-{gpu}",modelName="NVIDIA H100 80GB HBM3",'
            f'Hostname="h",namespace="{namespace_of(owner)}",pod="w{owner}-{index}",container="main"'
        )
    return {
        node_name(node).encode(): "".join(
            f"{name}{{{labels}}} {value}\n" for name, value in READ.items() for labels in pods[node]
        ).encode()
        for node in range(size.nodes)
    }


async def serve(size: Size) -> None:
    known = pages(size)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        node = head.split(b" ", 2)[1].strip(b"/")
        body = known.get(node, b"").replace(VARY, b"%03d" % (int(time.time() * 10) % 1000))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Size(int(sys.argv[1]), int(sys.argv[2]))))
