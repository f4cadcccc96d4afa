"""Cold start of the operator on a real API server full of ModelWorkloads.

`PYTHONPATH=operator:. python -m benchmarks.bench_cold_start`: twice on the same objects, with informers for everything,
and with kopf as the only watch of ModelWorkload and MFUPolicy. Measured from the start of the process: ready
(everything listed, first cycle done), all statuses written, peak memory and CPU. Writes benchmarks/cold_start.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.bench_engine import spec
from benchmarks.measure import reference_seconds
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MODELWORKLOADS, NAMESPACES

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "cold_start.md"
NAMESPACE_COUNT: Final = 50
IN_FLIGHT: Final = 20
LONGEST_SECONDS: Final = 900.0
VARIANTS: Final = {
    "informers": "import functools; operator.build = functools.partial(operator.build, told=False); ",
    "kopf": "",
}
"""What is changed before the operator runs; the product itself has no such switch."""


@dataclass(frozen=True)
class Start:
    """One cold start; seconds since the process began."""

    variant: str
    ready_seconds: float
    ready_cpu_seconds: float
    written_seconds: float
    written_cpu_seconds: float
    ready_mib: float
    peak_mib: float


async def fill(kubeconfig: Path, count: int) -> None:
    """`count` ModelWorkloads over fifty namespaces, the mix of the engine's benchmark."""
    async with KubeClient(connect(kubeconfig)) as client:
        for number in range(NAMESPACE_COUNT):
            await _made(client.create(NAMESPACES, {"metadata": {"name": f"team-{number}"}}))
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int) -> None:
            declared, _ = spec(number)
            namespace = f"team-{number % NAMESPACE_COUNT}"
            target = {"apiVersion": "batch/v1", "kind": "Job", "name": f"w{number}"}
            body = {
                "apiVersion": "mfu.gpuaas.io/v1alpha1",
                "kind": "ModelWorkload",
                "metadata": {"name": f"w{number}", "namespace": namespace},
                "spec": {**declared, "targetRef": target},
            }
            async with room:
                await _made(client.create(MODELWORKLOADS, body, namespace))

        await asyncio.gather(*(one(number) for number in range(count)))


async def _made(creation: Any) -> None:
    try:
        await creation
    except ApiError as error:
        if error.status != 409:
            raise


async def wipe(kubeconfig: Path) -> None:
    """Without statuses both variants have the same to write."""
    async with KubeClient(connect(kubeconfig)) as client:
        items, _ = await client.list(MODELWORKLOADS)
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(item: dict[str, Any]) -> None:
            metadata = item["metadata"]
            async with room:
                await client.merge(
                    MODELWORKLOADS,
                    metadata["name"],
                    {"status": None},
                    namespace=metadata["namespace"],
                    subresource="status",
                )

        await asyncio.gather(*(one(item) for item in items if item.get("status")))


def start(variant: str, kubeconfig: Path, folder: Path, count: int) -> Start:
    """One operator from nothing to all written."""
    (port,) = free_ports(1)
    config = folder / "config.yaml"
    quiet: dict[str, Any] = {name: {"enabled": False} for name in ("dcgm", "progress", "leaderElection")}
    quiet["cycle"] = {"warmUpSeconds": 0}
    config.write_text(yaml.safe_dump({"server": {"host": "127.0.0.1", "port": port}, **quiet}))
    program = (
        "import sys, logging; from mfu.controller import operator; from mfu.cli.main import main; "
        f"{VARIANTS[variant]}"
        f"sys.exit(main(['operator', '--kubeconfig={kubeconfig}', '--config={config}', '--log-level=warning']))"
    )
    child = Child(f"operator-{variant}", [sys.executable, "-c", program], log=folder / f"{variant}.log", home=folder)
    began = time.monotonic()
    child.start()
    try:
        pid = child.pid
        if pid is None:
            raise RuntimeError("the operator did not start")
        _until(lambda: _answers(port, "readyz"))
        ready = (time.monotonic() - began, cpu_seconds(pid), memory_mib(pid, "VmRSS"))
        _until(lambda: written(port) >= count)
        done = (time.monotonic() - began, cpu_seconds(pid))
        return Start(variant, ready[0], ready[1], done[0], done[1], ready[2], memory_mib(pid, "VmHWM"))
    finally:
        child.stop()


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the operator did not get there")
        time.sleep(0.1)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def written(port: int) -> float:
    """Writes that the API server took, by the operator's own metrics."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    rows = (line for line in text.splitlines() if line.startswith('mfu_operator_writes{result="written"}'))
    time.sleep(1.0)
    return max((float(line.rsplit(" ", 1)[1]) for line in rows), default=0.0)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def document(starts: list[Start], count: int, date: str) -> str:
    rows = "\n".join(
        f"| {each.variant} | {each.ready_seconds:.1f} | {each.ready_cpu_seconds:.1f} | {each.ready_mib:.0f} "
        f"| {each.written_seconds:.0f} | {each.written_cpu_seconds:.0f} | {each.peak_mib:.0f} |"
        for each in starts
    )
    return f"""# Cold start with {count:,} ModelWorkloads

`PYTHONPATH=operator:. python -m benchmarks.bench_cold_start`, {date}: a real API server and etcd
on the same {os.cpu_count()} cores, Python {platform.python_version()}; two million steps of a plain loop take
{reference_seconds():.3f} s of CPU here. Seconds count from the start of the process and hold what else the machine did;
CPU seconds are the operator's own.

*informers*: both kinds are listed and watched by our own informers. *kopf*: kopf is their only watch, a list of names
repairs what it misses.

| watch | ready, s | CPU until then, s | memory then, MiB | all written, s | CPU until then, s | peak memory, MiB |
|---|---|---|---|---|---|---|
{rows}

Ready: everything listed and the first cycle done. All written: every workload has its status.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, default=10_000)
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"))
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mfu-bench-") as name,
        ControlPlane.start(scheduler=False, controller_manager=False, kwok=False) as plane,
    ):
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
        asyncio.run(fill(plane.kubeconfig, args.workloads))
        starts = []
        for variant in VARIANTS:
            asyncio.run(wipe(plane.kubeconfig))
            starts.append(start(variant, plane.kubeconfig, Path(name), args.workloads))
            print(starts[-1], flush=True)
    RESULT.write_text(document(starts, args.workloads, args.date))
    print(RESULT.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
