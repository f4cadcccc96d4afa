"""The loop: judging goes on whatever writing does; a start finds what was learned, and reads it once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mfu.api.fleetreport import Calibration, FleetStatus
from mfu.cluster.state import ClusterState, Past
from mfu.cluster.writer import Writer
from mfu.controller.config import Cycle
from mfu.controller.loop import PATIENT_SECONDS, Loop, Trigger
from mfu.controller.metrics import OperatorMetrics
from mfu.controller.operator import CYCLE_SILENT_SECONDS, unhealthy
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover
from mfu.engine.snapshot import Snapshot
from mfu.predict.types import Corrections
from tests.builders.cases import NAMED, node
from tests.builders.scenes import NOW, pod, series, workload
from tests.builders.virtual_time import run

BEFORE = Calibration(key="team-z/H100-SXM5/NeMo/Training", factor="0.9000", relative_sd="0.0500", observations=3)


class Cluster(SimpleNamespace):
    """A state of one running job, whose FleetReport a former operator wrote and the watch still shows."""

    def snapshot(self, past: Past, corrections: Corrections, now: float, before: Handover, _: Any) -> Snapshot:
        view = workload(document=NAMED)
        found = Snapshot((view,), (pod(),), (node("n0"),), series={view.key: series(view, 0.45, now=now)})
        return replace(found, corrections=corrections, before=before, report=self.report)

    async def wait_synced(self) -> None:
        return None

    def current(self) -> dict[str, Any]:
        return {}


def loop(**fields: Any) -> Loop:
    report = Packed.of(FleetStatus(calibration=(BEFORE,)))
    state = Cluster(informers=(), report=report, workloads=SimpleNamespace(objects={}))
    trigger = Trigger(idle=1.0, longest=1.0, resync=1.0)
    metrics = OperatorMetrics(lambda: None)
    writer = SimpleNamespace(counts=SimpleNamespace(written=0, failed=0, skipped=0))
    made = Loop(
        cast(ClusterState, state), cast(Past, None), cast(Writer, writer), metrics, Cycle(), trigger, dry_run=True
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_what_was_learned_comes_back_after_a_start_and_then_grows() -> None:
    async def work() -> None:
        mine = loop()
        first = (await mine.cycle(NOW)).corrections.by_key
        assert first[BEFORE.key].factor == pytest.approx(0.9)
        assert len(first) == 2
        # The report that the watch shows is still the former one: it is not read over what was learned since.
        second = (await mine.cycle(NOW + 600.0)).corrections.by_key
        assert sorted(each.observations for each in second.values()) == [2, 3]

    asyncio.run(work())


class NeverDone(SimpleNamespace):
    """A writer whose API server takes a request and never answers."""

    async def apply(self, *_: Any, **__: Any) -> None:
        self.asked += 1
        await asyncio.Event().wait()

    def tell(self, *_: Any) -> None:
        return None


def test_judging_and_liveness_do_not_wait_for_writing() -> None:
    async def work() -> None:
        writer = NeverDone(asked=0, counts=SimpleNamespace(written=0, failed=0, skipped=0))
        mine = loop(writer=writer, dry_run=False, trigger=Trigger(idle=0.01, longest=0.01, resync=0.02))
        running = asyncio.create_task(mine.run())
        seen: set[float | None] = set()
        async with asyncio.timeout(60.0):
            while len(seen) < 5:
                await asyncio.sleep(0.02)
                seen.add(mine.finished_at)
        assert writer.asked == 1
        assert mine.alive_at is not None and mine.finished_at is not None
        assert unhealthy(mine) is None
        running.cancel()

    asyncio.run(work())


def test_silence_is_what_a_restart_would_mend() -> None:
    async def work() -> None:
        mine = loop()
        assert unhealthy(mine) is None
        mine.beat()
        await asyncio.sleep(CYCLE_SILENT_SECONDS - 1)
        assert unhealthy(mine) is None
        await asyncio.sleep(2)
        assert "no cycle for" in (unhealthy(mine) or "")

    run(work())


def test_the_leader_gauge_is_the_freshness_of_the_lease() -> None:
    async def work() -> list[float | None]:
        clock, metrics = asyncio.get_running_loop().time, OperatorMetrics(lambda: None)
        renewed = 0.0
        metrics.lead(lambda: clock() - renewed < 10.0)
        seen = []
        for _ in range(4):
            seen.append(metrics.registry.get_sample_value("mfu_operator_leader"))
            await asyncio.sleep(6)
        return seen

    assert run(work()) == [1.0, 1.0, 0.0, 0.0]


def test_what_was_answered_beside_a_cycle_survives_it_and_is_handed_on() -> None:
    async def work() -> None:
        mine = loop()
        first = (await mine.cycle(NOW)).workloads[0]
        answered = replace(first, gpus=first.gpus + 1)
        mine.take({first.uid: answered})
        assert mine.plan is not None and mine.plan.workloads == (answered,)
        assert mine.last_of(first.uid) is answered

        running = asyncio.create_task(mine.cycle(NOW + 30.0))
        await asyncio.sleep(0)
        assert mine.last_of(first.uid) is answered, "also once a cycle took it over"
        meanwhile = replace(answered, gpus=answered.gpus + 1)
        mine.take({first.uid: meanwhile})
        assert (await running).workloads == (meanwhile,)
        assert mine.before.plans[first.uid] is meanwhile

    asyncio.run(work())


def test_a_cycle_lets_news_pass_until_the_oldest_judgement_is_late() -> None:
    async def work() -> list[bool]:
        news = SimpleNamespace(elsewhere=frozenset(), let_pass=lambda: None, first=None)
        mine, found = loop(answering=news), list[bool]()
        first = (await mine.cycle(NOW)).workloads[0]
        found.append(news.first)
        for age in (PATIENT_SECONDS + 1.0, PATIENT_SECONDS - 1.0):
            running = asyncio.create_task(mine.cycle(NOW + 60.0))
            await asyncio.sleep(0)
            mine.take({first.uid: replace(first, judged_at=NOW + 60.0 - age)})
            await running
            found.append(news.first)
        return found

    assert asyncio.run(work()) == [True, False, True]
