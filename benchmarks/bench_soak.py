"""Whether the operator grows: half an hour in which workloads change, come and go on a real API server.

`python -m benchmarks.bench_soak`: 1,000 ModelWorkloads and their pods with telemetry; each second some declarations
change, one workload of a name that nobody had before comes with its pod and goes after half a minute, and one that
stands loses its pods and gets new ones of the same names. Writes benchmarks/results/soak.json: the operator's memory
each half minute, how much of it are answers that are kept, and by how much the median of the last five minutes is above
that of five minutes after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.bench_scale import ROOT, cold_start, exporters
from benchmarks.scale.fleet import IN_FLIGHT, Size, fill, namespace_of, node_name, pod_of, workload_of
from benchmarks.scale.news import Answers, Changes, watch
from benchmarks.scale.offline import MIB, bytes_an_answer
from benchmarks.scale.operator import Running, operator
from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.connection import connect
from mfu.cluster.resources import MODELWORKLOADS, PODS, ResourcePath

RESULT: Final = ROOT / "benchmarks" / "results" / "soak.json"
WARM_UP_SECONDS: Final = 300.0
"""Windows fill and judgements settle."""
COMPARED_SECONDS: Final = 300.0
SAMPLE_SECONDS: Final = 30.0
LIVES_SECONDS: Final = 30
STARTED_SECONDS: Final = 300.0
LIMIT: Final = 0.05
KEPT: Final = "mfu_operator_answers_kept"


@dataclass(slots=True)
class Turnover:
    """One workload a second comes and goes, and one that stays gets other pods of the same names."""

    kubeconfig: Path
    size: Size
    came: int = 0
    replaced: int = 0
    _living: deque[int] = field(default_factory=deque)

    async def run(self) -> None:
        """For ever."""
        placed: dict[int, list[tuple[int, int]]] = {}
        for owner, index, node in self.size.placed():
            placed.setdefault(owner, []).append((index, node))
        async with KubeClient(connect(self.kubeconfig), connections=IN_FLIGHT) as client:
            for second in range(sys.maxsize):
                with suppress(ServerUnreachable):
                    await self._come(client, self.size.workloads + second)
                    if len(self._living) > LIVES_SECONDS:
                        await self._go(client, self._living.popleft())
                    await self._replace(client, owner := second % self.size.workloads, placed[owner])
                await asyncio.sleep(1.0)

    async def _come(self, client: KubeClient, number: int) -> None:
        space, spare = namespace_of(number), node_name(self.size.nodes - 1)
        await client.create(MODELWORKLOADS, workload_of(number), space)
        await client.create(PODS, pod_of(number, 0, spare), space)
        self._living.append(number)
        self.came += 1

    async def _go(self, client: KubeClient, number: int) -> None:
        await _deleted(client, PODS, f"w{number}-0", namespace_of(number))
        await _deleted(client, MODELWORKLOADS, f"w{number}", namespace_of(number))

    async def _replace(self, client: KubeClient, owner: int, places: list[tuple[int, int]]) -> None:
        for index, node in places:
            await _deleted(client, PODS, f"w{owner}-{index}", namespace_of(owner))
            await client.create(PODS, pod_of(owner, index, node_name(node)), namespace_of(owner))
        self.replaced += 1


async def _deleted(client: KubeClient, resource: ResourcePath, name: str, namespace: str) -> None:
    """At once: nobody plays the kubelet that would end a pod."""
    with suppress(ApiError):
        await client.request("DELETE", resource.path(namespace, name), params={"gracePeriodSeconds": "0"})


async def soaked(running: Running, kubeconfig: Path, size: Size, seconds: float, per_second: float) -> dict[str, Any]:
    said = Answers()
    watching = asyncio.create_task(watch(kubeconfig, said))
    start = await cold_start(running, said, size, STARTED_SECONDS)
    turnover, end = Turnover(kubeconfig, size), time.monotonic() + WARM_UP_SECONDS + seconds
    turning = asyncio.create_task(turnover.run())
    changes = asyncio.create_task(Changes(kubeconfig, size, said, per_second).run(lambda: time.monotonic() >= end))
    began, samples, answers = time.monotonic(), [], []
    while not changes.done():
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append((round(time.monotonic() - began), round(running.resident_mib(), 1)))
        kept = (await asyncio.to_thread(running.page)).get(KEPT, 0.0)
        answers.append(round(kept))
        at, mib = samples[-1]
        print(f"after {at} s: {mib} MiB, {kept:.0f} answers kept, {turnover.came} came", flush=True)
        if turning.done():
            turning.result()
    watching.cancel()
    turning.cancel()
    counted = {"changed": changes.result(), "came_and_went": turnover.came, "given_new_pods": turnover.replaced}
    return {"cold_start": start, **counted, **grown(samples), "mib": samples, "answers_kept": answers}


def grown(samples: list[tuple[int, float]]) -> dict[str, float]:
    """From seconds and MiB: medians of the first and last minutes compared, and their ratio less one.

    `grown([(330, 100.0), (1830, 104.0)])` has grown by 0.04.
    """
    last = samples[-1][0]
    first = [mib for at, mib in samples if WARM_UP_SECONDS < at <= WARM_UP_SECONDS + COMPARED_SECONDS]
    final = [mib for at, mib in samples if at > last - COMPARED_SECONDS]
    before, after = median(first), median(final)
    return {"first_mib": before, "last_mib": after, "grown": round(after / before - 1.0, 4)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--workloads", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=1_800.0, help="after five minutes of warm-up")
    parser.add_argument("--changes-per-second", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    size, load = Size(args.workloads, args.workloads // 2 + 8), os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="mfu-soak-") as name,
        ControlPlane.start(scheduler=False, controller_manager=False, kwok=False) as plane,
        exporters(size) as port,
    ):
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
        asyncio.run(fill(plane.kubeconfig, size))
        with operator(plane.kubeconfig, Path(name), port) as running:
            found = asyncio.run(soaked(running, plane.kubeconfig, size, args.seconds, args.changes_per_second))
    answer_bytes = bytes_an_answer()
    kept_mib = found["answers_kept"][-1] * answer_bytes / MIB
    print(f"answers kept: {answer_bytes:.0f} bytes each, {kept_mib:.1f} MiB at the end")
    found["answer_bytes"] = round(answer_bytes)
    asked = {"workloads": size.workloads, "nodes": size.nodes, "pods": size.pods, "seconds": args.seconds}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load_average_before": round(load[0], 1)}
    args.out.write_text(json.dumps({**asked, **found, "machine": machine, "date": time.strftime("%Y-%m-%d")}) + "\n")
    print({name: value for name, value in found.items() if name not in ("mib", "answers_kept")})
    return int(found["grown"] >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
