"""The soak without a server: the same coming and going through the operator's own parts, and who holds what of it.

`python -m benchmarks.scale.offline --workloads 300 --seconds 2100`: watch, telemetry store, judging and writing run in
one process with a clock of their own, a second of the soak in some 0.1 s. Prints the memory each five minutes, and at
the end what holds the most: the bytes reachable from each part.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks.bench_engine import READ, spec
from benchmarks.scale.fleet import (
    GPUS_PER_NODE,
    NAMESPACE_COUNT,
    Size,
    namespace_of,
    node_name,
    node_of,
    pod_of,
    workload_of,
)
from mfu.cluster import projection
from mfu.cluster.client import KubeClient
from mfu.cluster.resources import FLEETREPORTS, MODELWORKLOADS, ResourcePath
from mfu.cluster.state import ClusterState
from mfu.cluster.writer import Writer
from mfu.controller.loop import FORGET_SECONDS
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Handover
from mfu.engine.text import moment
from mfu.memo import forget_unasked, memos
from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, GPURound, Metric, SourceState
from mfu.predict.types import Corrections
from mfu.telemetry.rounds.binding import Binder
from mfu.telemetry.store.recent import Store
from tests.builders.virtual_time import run

JSON = dict[str, Any]
START: Final = 1_800_000_000.0
ROUND_SECONDS: Final = 30
CYCLE_SECONDS: Final = 2
LIVES_SECONDS: Final = 30
MIB: Final = 1024 * 1024
_NOT_HELD: Final = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


@dataclass(slots=True)
class Server:
    """Stands for the API server: what is written comes back through the watch at once."""

    fleet: OfflineFleet

    async def apply(self, resource: ResourcePath, body: JSON, **_: Any) -> None:
        self.fleet.said(resource, body)

    async def change(self, _resource: ResourcePath, metadata: JSON, _operations: Any, **_: Any) -> None:
        key = f"{metadata['namespace']}/{metadata['name']}"
        self.fleet.items[key]["metadata"]["annotations"] = dict(metadata["annotations"])
        self.fleet.tell(key)

    async def create(self, *_: Any, **__: Any) -> None:
        return None


class OfflineFleet:
    """The operator's parts over objects that are made here, and a life of its own clock."""

    def __init__(self, workloads: int) -> None:
        self.size, self.now, self.numbers = Size(workloads, workloads // 2 + 8), START, count(1)
        self.state = ClusterState(cast(KubeClient, None), changed=lambda: None)
        self.store, self.binder = Store(interval_seconds=ROUND_SECONDS), Binder()
        self.writer = Writer(cast(KubeClient, Server(self)), per_second=1e9)
        self.before, self.corrections = Handover(), Corrections()
        self.items: dict[str, JSON] = {}
        self.placed: dict[int, list[tuple[int, str]]] = {}
        self.seconds = 0
        state = self.state
        state.namespaces.objects.update({f"team-{number}": {} for number in range(NAMESPACE_COUNT)})
        for number in range(self.size.nodes):
            view = projection.node_view(node_of(number))
            assert view is not None
            state.nodes.objects[view.name] = view
        for owner, index, place in self.size.placed():
            self.placed.setdefault(owner, []).append((index, node_name(place)))
        for number in range(workloads):
            self.come(number)
        self.devices = tuple(self._devices())

    def come(self, number: int) -> None:
        """A workload with its pods; one of a number beyond the fleet has one on the spare node."""
        item = workload_of(number)
        item["metadata"] |= self._made("2026-11-22T00:00:00Z")
        self.items[key := self.key(number)] = item
        self.tell(key)
        self._pods(number)

    def go(self, number: int) -> None:
        for index, _ in self._places(number):
            del self.state.pods.objects[f"{self.key(number)}-{index}"]
        del self.items[self.key(number)], self.state.workloads.objects[self.key(number)]
        self._moved()

    def replace_pods(self, number: int) -> None:
        """Other pods of the same names."""
        self._pods(number)

    def change(self, number: int, turn: int) -> None:
        """As `benchmarks.scale.news.Changes` does."""
        item = self.items[self.key(number)]
        part, name, value = "training", "globalBatchSize", 64 * (2 + turn % 60)
        if spec(number)[0]["mode"] == "Inference":
            part, name, value = "inference", "concurrency", 16 + turn % 100
        item["spec"] = {**item["spec"], part: {**item["spec"][part], name: value}}
        item["metadata"]["generation"] += 1
        self.tell(self.key(number))

    async def lives(self, seconds: int, step: int = CYCLE_SECONDS) -> None:
        """So long, judged every `step` seconds, which divides or is a multiple of ROUND_SECONDS."""
        for _ in range(0, seconds, step):
            before, self.seconds, self.now = self.seconds, self.seconds + step, self.now + step
            await asyncio.sleep(step)
            if before // ROUND_SECONDS != self.seconds // ROUND_SECONDS:
                self._read()
            await self._cycle()
            if before // FORGET_SECONDS != self.seconds // FORGET_SECONDS:
                forget_unasked()

    async def _cycle(self) -> None:
        snapshot = self.state.snapshot(self.store, self.corrections, self.now, self.before)
        plan = evaluate(snapshot, self.now)
        self.before, self.corrections = plan.handover, plan.corrections
        self.writer.tell(plan, self.state.workloads.objects)
        await self.writer.apply(plan, self.state.current(), self.state.report)

    def said(self, resource: ResourcePath, body: JSON) -> None:
        if resource is FLEETREPORTS:
            self.state.reports.objects["fleet"] = projection.fleet_status(body)
        elif resource is MODELWORKLOADS:
            key = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
            self.items[key]["status"] = body["status"]
            self.tell(key)

    def tell(self, key: str) -> None:
        """What the watch brings of a workload."""
        known, item = self.state.workloads.objects, self.items[key]
        item["metadata"]["resourceVersion"] = str(next(self.numbers))
        known[key] = projection.workload_view(item, known.get(key))
        self.state.workloads.version += 1

    @staticmethod
    def key(number: int) -> str:
        return f"{namespace_of(number)}/w{number}"

    def _places(self, number: int) -> list[tuple[int, str]]:
        return self.placed.get(number, [(0, node_name(self.size.nodes - 1))])

    def _pods(self, number: int) -> None:
        for index, node in self._places(number):
            item = pod_of(number, index, node)
            item["metadata"] |= self._made(moment(self.now))
            item["status"] = {"phase": "Running", "podIP": "10.0.0.1", "startTime": moment(self.now)}
            view = projection.pod_view(item)
            assert view is not None
            self.state.pods.objects[view.key] = view
        self._moved()

    def _moved(self) -> None:
        self.state.pods.version += 1
        self.state.workloads.version += 1

    def _made(self, at: str) -> JSON:
        return {"uid": f"00000000-{next(self.numbers):08d}", "creationTimestamp": at, "generation": 1}

    def _devices(self) -> Iterator[GPUIdentity]:
        for place, (owner, index) in enumerate(self.size.held()):
            node, gpu = node_name(place // GPUS_PER_NODE), place % GPUS_PER_NODE
            name = f"w{owner}-{index}"
            key = GPUKey(f"GPU-{node}-{gpu}")
            yield GPUIdentity(key, "NVIDIA H100 80GB HBM3", node, str(gpu), None, namespace_of(owner), name)

    def _read(self) -> None:
        rows = len(self.devices)
        values = np.full((rows, METRICS), np.nan)
        noise = np.random.default_rng(int(self.now))
        for metric, level in READ.items():
            values[:, metric] = level * noise.uniform(0.99, 1.01, rows)
        values[:, Metric.SM_CLOCK] = 1.755e9
        when = np.full(rows, self.now)
        found = GPURound("dcgm-exporter", SourceState.OK, self.devices, when, values, ROUND_SECONDS)
        bindings = self.state.bindings()
        believed = self.binder.believe(found, bindings).round
        uids = {name: each.uid for name, each in bindings.items()}
        self.store.add_round(believed, self.now, living=lambda: uids)


@dataclass(slots=True)
class OfflineTurnover:
    """What changes, comes and goes in a second of the soak: one declaration, two workloads in three seconds."""

    fleet: OfflineFleet
    came: int = 0
    living: list[int] = field(default_factory=list)
    order: random.Random = field(default_factory=lambda: random.Random(7))

    async def two_seconds(self) -> None:
        fleet, workloads = self.fleet, self.fleet.size.workloads
        for turn in (fleet.seconds, fleet.seconds + 1):
            fleet.change(self.order.randrange(workloads), turn)
            if turn % 3:
                self._turn_over(workloads)
        await fleet.lives(CYCLE_SECONDS)

    def _turn_over(self, workloads: int) -> None:
        self.fleet.come(workloads + self.came)
        self.living.append(workloads + self.came)
        self.came += 1
        self.fleet.replace_pods(self.came % workloads)
        if len(self.living) > LIVES_SECONDS:
            self.fleet.go(self.living.pop(0))


def parts_of(fleet: OfflineFleet) -> dict[str, object]:
    """Everything that may hold something of a workload, by name; what an earlier one holds is not counted again."""
    writer = fleet.writer
    parts: dict[str, object] = {"what the watch shows": fleet.state.informers, "judgements": fleet.before}
    parts |= {"corrections": fleet.corrections, "cluster state": vars(fleet.state), "telemetry": fleet.store}
    parts |= {f"writer{name}": getattr(writer, name) for name in ("_attempts", "_echoes", "_events", "_undeclared")}
    parts["pods of readings"] = fleet.binder
    return parts | {f"answers of {each.name}": each for each in memos()}


def held(parts: dict[str, object]) -> dict[str, tuple[int, int]]:
    """Objects and bytes that are reached from each part alone."""
    seen: set[int] = set()
    return {name: _reached(part, seen) for name, part in parts.items()}


def _reached(root: object, seen: set[int]) -> tuple[int, int]:
    objects, size, left = 0, 0, [root]
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, _NOT_HELD):
            continue
        seen.add(id(each))
        objects, size = objects + 1, size + sys.getsizeof(each)
        left += gc.get_referents(each)
    return objects, size


def bytes_an_answer(workloads: int = 40) -> float:
    """What an answer that is kept takes in the mean, of a fleet of the soak's kinds judged once."""
    fleet = OfflineFleet(workloads)

    run(fleet.lives(2 * CYCLE_SECONDS))
    found = held(parts_of(fleet))
    size = sum(each for name, (_, each) in found.items() if name.startswith("answers of"))
    return size / sum(len(each) for each in memos())


def resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--workloads", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=2_100)
    args = parser.parse_args()
    fleet = OfflineFleet(args.workloads)
    turnover = OfflineTurnover(fleet)

    async def soaked() -> None:
        while fleet.seconds < args.seconds:
            await turnover.two_seconds()
            if fleet.seconds % 300 == 0:
                answers = sum(len(each) for each in memos())
                print(f"minute {fleet.seconds // 60}: {resident_mib():.1f} MiB, {answers} answers", flush=True)

    run(soaked())
    gc.collect()
    ranked = sorted(held(parts_of(fleet)).items(), key=lambda each: -each[1][1])
    for name, (objects, size) in ranked[:20]:
        print(f"{size / MIB:8.2f} MiB {objects:8d} objects  {name}")


if __name__ == "__main__":
    main()
