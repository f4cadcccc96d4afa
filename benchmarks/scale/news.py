"""Changes of declarations, and how long each takes to be answered: from its sending to the written status."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.bench_engine import spec
from benchmarks.scale.fleet import Size, namespace_of
from mfu.cluster.client import ApiError, Gone, KubeClient, ServerUnreachable
from mfu.cluster.connection import connect
from mfu.cluster.resources import MODELWORKLOADS

LEAST_CHANGES: Final = 10
"""Of a namespace, before its mean wait says anything."""


@dataclass(slots=True)
class Answers:
    """What the watch shows of statuses. Latencies in seconds, by when the change was made."""

    generations: dict[str, int] = field(default_factory=dict)
    """Newest generation that a status answers."""
    open: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Changes that wait for their answer: the generation, and when it was made."""
    taken: list[tuple[float, float, str]] = field(default_factory=list)
    """When each change was made, how long its answer took, and of which workload it was."""

    def see(self, key: str, item: dict[str, Any]) -> None:
        answered = (item.get("status") or {}).get("observedGeneration")
        if not isinstance(answered, int):
            return
        self.generations[key] = answered
        waiting = self.open.get(key)
        if waiting is not None and answered >= waiting[0]:
            made_at = self.open.pop(key)[1]
            self.taken.append((made_at, time.monotonic() - made_at, key))

    def since(self, began: float, now: float) -> list[float]:
        """Latencies of changes made since then; what still waits counts with the time that it has waited."""
        return [seconds for _, seconds in self._waits(began, now)]

    def apart(self, began: float, now: float) -> float | None:
        """The longest mean wait of a namespace over the shortest, of those with LEAST_CHANGES; None for less than two.

        Waits of 2.0 s in the mean beside waits of 1.0 s are 2.0 apart.
        """
        waits: dict[str, list[float]] = defaultdict(list)
        for key, seconds in self._waits(began, now):
            waits[key.partition("/")[0]].append(seconds)
        means = [mean(each) for each in waits.values() if len(each) >= LEAST_CHANGES]
        return round(max(means) / min(means), 2) if len(means) > 1 and min(means) > 0 else None

    def _waits(self, began: float, now: float) -> list[tuple[str, float]]:
        done = [(key, seconds) for made_at, seconds, key in self.taken if made_at >= began]
        return done + [(key, now - made_at) for key, (_, made_at) in self.open.items() if made_at >= began]


async def watch(kubeconfig: Path, answers: Answers) -> None:
    """For ever; a watch that ends is begun again from a list."""
    async with KubeClient(connect(kubeconfig)) as client:
        while True:
            version = ""
            async for page in client.pages(MODELWORKLOADS):
                version = page.version
                for item in page.items:
                    answers.see(_key(item), item)
            try:
                while True:
                    async for kind, item in client.watch(MODELWORKLOADS, version):
                        version = item["metadata"]["resourceVersion"]
                        if kind in ("ADDED", "MODIFIED"):
                            answers.see(_key(item), item)
            except (Gone, ApiError, ServerUnreachable):
                await asyncio.sleep(0.2)


def _key(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


@dataclass(frozen=True, slots=True)
class Changes:
    """Declarations changed at random, one after the other, evenly in time."""

    kubeconfig: Path
    size: Size
    answers: Answers
    per_second: float

    async def run(self, until: Callable[[], bool]) -> int:
        """How many were made."""
        order, made = random.Random(7), 0
        # Of a folder that is used again, the last run's values must not be asked for once more: they change nothing.
        salt = random.SystemRandom().randrange(60)
        async with KubeClient(connect(self.kubeconfig)) as client:
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                while not until():
                    group.create_task(self._change(client, order.randrange(self.size.workloads), made + salt))
                    made += 1
                    await asyncio.sleep(max(0.0, began + made / self.per_second - time.monotonic()))
        return made

    async def _change(self, client: KubeClient, number: int, turn: int) -> None:
        asked, _ = spec(number)
        part = {"training": {"globalBatchSize": 64 * (2 + turn % 60)}}
        if asked["mode"] == "Inference":
            part = {"inference": {"concurrency": 16 + turn % 100}}
        namespace, name, sent = namespace_of(number), f"w{number}", time.monotonic()
        key = f"{namespace}/{name}"
        before = self.answers.generations.get(key, 0)
        try:
            item = await client.merge(MODELWORKLOADS, name, {"spec": part}, namespace=namespace)
        except (ApiError, ServerUnreachable):
            # Not taken by the server: no news.
            return
        generation = item["metadata"]["generation"]
        if generation > self.answers.generations.get(key, 0):
            # An older change of the same workload that still waits keeps its time.
            _, made_at = self.answers.open.get(key, (0, sent))
            self.answers.open[key] = (generation, made_at)
        elif generation > before:
            # Answered before the server's word on the change itself was read, and no later than now; what changed
            # nothing is no news.
            self.answers.taken.append((sent, time.monotonic() - sent, key))
