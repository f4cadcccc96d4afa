"""What a telemetry round of 40,000 GPUs costs: `python -m benchmarks.bench_telemetry [--dry-run]`.

Core-seconds are CPU time of the reading process, network included; the endpoints run in another process. Each figure is
also given as a ratio to a fixed loop of pure Python, run before it on the same core, so that machines can be compared.
Exit status 1 when a mean passes its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import multiprocessing
import os
import platform
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from statistics import mean, stdev
from urllib.parse import parse_qs, urlsplit

import numpy as np
from aiohttp import web

from benchmarks.measure import Figure, reference_seconds
from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, GPURound, Metric, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.http import RequestLimits
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.prometheus.rules import EXPORTER_LABEL, INFO, OBSERVED_AT
from mfu.telemetry.sources import DirectScrape, Target
from mfu.telemetry.store.recent import Store

NODES, GPUS_PER_NODE, ROUNDS = 5_000, 8, 5
GPUS = NODES * GPUS_PER_NODE
REPORT = Path(__file__).with_name("telemetry.md")
MARKS = (b"@NODE", b"@VARY")
PLAIN = {
    "DCGM_FI_DEV_POWER_USAGE": "400.@VARY",
    "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": "700.000000",
    "DCGM_FI_DEV_GPU_TEMP": "61",
    "DCGM_FI_DEV_GPU_UTIL": "99",
    "DCGM_FI_DEV_MEM_COPY_UTIL": "40",
    "DCGM_FI_DEV_PCIE_LINK_GEN": "5",
    "DCGM_FI_DEV_PCIE_LINK_WIDTH": "16",
}
"""Values of fields that are neither ratios nor free to be four digits."""


def fields() -> list[str]:
    """Metric names of the CSV that we ship, as the exporter would print them all."""
    text = resources.files("mfu.telemetry").joinpath("data/dcgm-metrics.csv").read_text()
    rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    return [row[0] for row in rows if row[1].strip() != "label" and not row[0].startswith("DCGM_EXP")]


def page_template() -> bytes:
    """One node's page: every shipped field for every GPU, values that vary where @VARY stands."""
    lines = []
    for name in fields():
        lines += [f"# HELP {name} A help text as long as they usually are.", f"# TYPE {name} gauge"]
        ratio = "PROF" in name and "BYTES" not in name
        value = PLAIN.get(name, "0.4@VARY" if ratio else "1@VARY")
        for gpu in range(GPUS_PER_NODE):
            labels = (
                f'gpu="{gpu}",UUID="GPU-5b1c2a3d-@NODE-4000-8000-00000000000{gpu}",pci_bus_id="00000000:1B:00.0",'
                f'device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3",Hostname="gpu-node-@NODE",'
                f'DCGM_FI_DRIVER_VERSION="580.105.08",container="trainer",namespace="team-a",pod="llama-@NODE-{gpu}"'
            )
            lines.append(f"{name}{{{labels}}} {value}")
    return ("\n".join(lines) + "\n").encode()


def serve_exporters(port: int) -> None:
    """Pages of all nodes; the numbers change from second to second."""
    template = page_template()

    async def page(request: web.Request) -> web.Response:
        vary = f"{int(time.time()) % 1000:03d}".encode()
        body = template.replace(MARKS[0], request.match_info["node"].encode()).replace(MARKS[1], vary)
        return web.Response(body=body, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{node}/metrics", page)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def _series(info: bool, value: str) -> bytes:
    result = []
    for number in range(GPUS):
        node, gpu = divmod(number, GPUS_PER_NODE)
        labels = {
            EXPORTER_LABEL: f"10.0.{node >> 8}.{node & 255}:9400",
            "UUID": f"GPU-5b1c2a3d-{node:04d}-4000-8000-00000000000{gpu}",
        }
        if info:
            labels |= {"__name__": INFO, "Hostname": f"gpu-node-{node:04d}", "exported_container": "trainer"}
            labels |= {"exported_namespace": "team-a", "exported_pod": f"llama-{node:04d}-{gpu}", "gpu": str(gpu)}
            labels |= {"job": "dcgm", "modelName": "NVIDIA H100 80GB HBM3", "namespace": "gpu", "pod": f"x-{node}"}
        result.append({"metric": labels, "value": [1700000000.123, value]})
    body = {"status": "success", "data": {"resultType": "vector", "result": result}}
    return json.dumps(body, separators=(",", ":")).encode()


def serve_prometheus(port: int) -> None:
    """The query API as far as the adapter uses it: 40,000 series an answer."""
    info, values = _series(True, "1"), _series(False, "0.431207")

    async def query(request: web.Request) -> web.Response:
        expression = parse_qs(urlsplit(str(request.rel_url)).query)["query"][0]
        if expression.startswith(INFO):
            return web.Response(body=info, content_type="application/json")
        if OBSERVED_AT in expression:
            body = values.replace(b'"0.431207"', f'"{time.time():.3f}"'.encode())
            return web.Response(body=body, content_type="application/json")
        return web.Response(body=values, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/query", query)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def measure(read: Callable[[], Awaitable[GPURound]], rounds: int = ROUNDS) -> tuple[float, ...]:
    """Core-seconds of each round after a first one that fills the caches."""
    found = await _first(read)
    assert len(found.devices) == GPUS, (len(found.devices), found.message)
    samples = []
    for _ in range(rounds):
        await asyncio.sleep(1.1)
        start = time.process_time()
        found = await read()
        samples.append(time.process_time() - start)
        assert len(found.devices) == GPUS
        assert found.state is SourceState.OK, found.message
    return tuple(samples)


async def _first(read: Callable[[], Awaitable[GPURound]]) -> GPURound:
    for _ in range(20):
        found = await read()
        if len(found.devices) == GPUS:
            return found
        await asyncio.sleep(1.0)
    return found


async def direct(port: int) -> tuple[float, ...]:
    targets = [
        Target(f"n{n:04d}", f"http://127.0.0.1:{port}/{n:04d}/metrics", f"gpu-node-{n:04d}") for n in range(NODES)
    ]
    source = DirectScrape(lambda: targets, DCGMFleet(), RequestLimits(deadline_seconds=60.0))
    source.backoff.base_seconds = 0.0
    try:
        return await measure(lambda: source.read(time.time()))
    finally:
        await source.close()


async def prometheus(port: int) -> tuple[float, ...]:
    source = PrometheusAPI(f"http://127.0.0.1:{port}", rules=True)
    try:
        return await measure(lambda: source.read(time.time()))
    finally:
        await source.close()


def with_server(
    serve: Callable[[int], None], port: int, run: Callable[[int], Awaitable[tuple[float, ...]]]
) -> tuple[float, ...]:
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    process.start()
    try:
        return asyncio.run(run(port))  # type: ignore[arg-type]
    finally:
        process.terminate()
        process.join()


def rounds_of_store(count: int) -> list[GPURound]:
    devices = tuple(
        GPUIdentity(GPUKey(f"GPU-{number}"), "NVIDIA H100 80GB HBM3", namespace="team-a", pod=f"p-{number // 8}")
        for number in range(GPUS)
    )
    values = np.random.default_rng(1).random((GPUS, METRICS))
    times = [1e9 + 30.0 * k for k in range(count)]
    return [GPURound("dcgm", SourceState.OK, devices, np.full(GPUS, at), values, 30.0) for at in times]


def store_figures() -> list[Figure]:
    """Cost of the store with its rings full, and what it keeps resident."""
    rounds = rounds_of_store(24)
    before = _resident_bytes()
    store = Store()
    adding = []
    for found in rounds:
        start = time.process_time()
        store.add_round(found, float(found.observed_at[0]))
        adding.append(time.process_time() - start)
    resident = _resident_bytes() - before
    now = float(rounds[-1].observed_at[0])
    latest, series = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        store.latest(now)
        latest.append(time.process_time() - start)
        start = time.process_time()
        for pod in range(1_000):
            held = store.series([("team-a", f"p-{pod}")], now)
            assert held is not None
            assert held.values.shape[1:] == (8, len(Metric))
        series.append((time.process_time() - start) / 1_000)
    return [
        Figure("store: add a round of 40,000 devices", "core-s", tuple(adding[-ROUNDS:]), 0.1),
        Figure("store: newest reading of 40,000 devices", "core-s", tuple(latest), 0.2),
        Figure("store: series of one workload of 8 GPUs, 20 readings", "core-s", tuple(series), 0.001),
        Figure("store: resident memory, 40,000 devices, 10 min at 30 s", "MB", (resident / 1e6,), 200.0),
    ]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run() -> list[Figure]:
    figures: list[Figure] = []
    for what, serve, measured, limit in (
        (f"direct scrape: {GPUS:,} GPUs on {NODES:,} exporters, network included", serve_exporters, direct, 3.0),
        (f"Prometheus API: {GPUS:,} GPUs by recording rules, network included", serve_prometheus, prometheus, 1.0),
    ):
        reference = reference_seconds()
        port = _free_port()
        figures.append(Figure(what, "core-s", with_server(serve, port, measured), limit, reference))
        if measured is direct:
            figures.append(Figure("… its process at its peak", "MB", (_peak_bytes() / 1e6,), 300.0))
    return [*figures, *store_figures()]


def table(figures: list[Figure]) -> str:
    lines = ["| what | limit | mean | spread (±1 s.d.) | × reference loop | within |", "|---|---|---|---|---|---|"]
    for each in figures:
        spread = stdev(each.samples) if len(each.samples) > 1 else 0.0
        ratio = "" if each.reference is None else f"{mean(each.samples) / each.reference:.1f}"
        limit = "" if each.limit is None else f"{each.limit:g} {each.unit}"
        lines.append(
            f"| {each.what} | {limit} | {mean(each.samples):.4g} {each.unit} | {spread:.2g} | {ratio} |"
            f" {'yes' if each.within else 'NO'} |"
        )
    return "\n".join(lines)


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {day}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="leave benchmarks/telemetry.md alone")
    args = parser.parse_args()
    figures = run()
    text = (
        f"{table(figures)}\n\n{ROUNDS} rounds each on {machine()}. Reference: a pure Python loop of 2,000,000 steps.\n"
    )
    print(text)
    if not args.dry_run:
        REPORT.write_text(f"# Telemetry\n\nMade by `python -m benchmarks.bench_telemetry`.\n\n{text}")
    return 0 if all(each.within for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
