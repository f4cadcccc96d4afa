"""Collection: one source's failure is a state, never the end of the others; warm means that silence is silence."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from mfu.controller.collector import Collector
from mfu.controller.metrics import OperatorMetrics
from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, GPURound, SourceState
from mfu.telemetry.rounds.binding import PodBinding
from mfu.telemetry.store.recent import Store
from tests.builders.virtual_time import run


class Steady:
    """One device, read anew each time."""

    async def read(self, now: float) -> GPURound:
        device = GPUIdentity(GPUKey("GPU-0"), "NVIDIA H100 80GB HBM3", "n0", "0", None, "a", "p")
        return GPURound("steady", SourceState.OK, (device,), np.array([now]), np.ones((1, METRICS)), 15.0)

    async def close(self) -> None: ...


class Broken(Steady):
    async def read(self, now: float) -> GPURound:
        raise RuntimeError("a promise that was not kept")


class Mute(Steady):
    async def read(self, now: float) -> GPURound:
        nothing = np.empty((0, METRICS))
        return GPURound("mute", SourceState.UNREACHABLE, (), np.empty(0), nothing, 15.0, "connection refused")


def collected(seconds: float, **sources: Any) -> tuple[Collector, int]:
    changes: list[None] = []
    bindings = {("a", "p"): PodBinding("u", "n0", 0.0)}
    made = Collector(Store(), OperatorMetrics(lambda: None), lambda: changes.append(None), lambda: bindings)
    for name, source in sources.items():
        made.sources[name] = (source, 15.0)

    async def work() -> None:
        task = asyncio.create_task(made.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(work())
    return made, len(changes)


def test_each_source_at_its_own_pace_and_each_round_marks_a_change() -> None:
    made, changes = collected(31.0, steady=Steady())
    assert made.rounds == {"steady": 3}
    assert changes == 3
    assert made.states["steady"] is SourceState.OK


def test_a_broken_source_does_not_stop_the_others() -> None:
    made, _ = collected(31.0, broken=Broken(), steady=Steady())
    assert made.rounds == {"broken": 3, "steady": 3}
    assert len(made.store.latest(float("inf")).devices) == 1


def test_an_unreachable_source_says_so() -> None:
    made, _ = collected(1.0, mute=Mute())
    assert made.states["mute"] is SourceState.UNREACHABLE
    assert made.messages["mute"] == "connection refused"


def test_warm_once_every_source_was_asked_twice() -> None:
    assert not collected(9.0, steady=Steady(), broken=Broken())[0].warm
    assert collected(11.0, steady=Steady(), broken=Broken())[0].warm
