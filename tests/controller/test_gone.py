"""What is gone leaves nothing behind: after hundreds of workloads that came and went, as much is held as before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.scale.offline import OfflineFleet, held, parts_of
from mfu.cluster.pacing import LONGEST_SECONDS
from mfu.controller.loop import FORGET_SECONDS
from mfu.memo import memos
from tests.builders.virtual_time import run
from tests.controller.test_loop import loop

WORKLOADS = 5
CAME = 20
SETTLED = int(2 * FORGET_SECONDS + LONGEST_SECONDS)
"""Answers go in the second of two turns; and what was written, some time after it might be written again."""

LITTLE = 40
"""Objects by which what is held breathes: one workload with its judgement is four hundred."""


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    for each in memos():
        each.cache_clear()
    yield
    for each in memos():
        each.cache_clear()


def objects(fleet: OfflineFleet) -> dict[str, int]:
    return {name: count for name, (count, _) in held(parts_of(fleet)).items()}


@pytest.mark.slow
def test_what_came_and_went_is_held_nowhere() -> None:
    """Each with a declaration that nobody made before; and every fourth time one that stays is declared otherwise for
    a while, and gets other pods of the same names."""
    fleet = OfflineFleet(WORKLOADS)

    async def work() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        await fleet.lives(SETTLED, 60)
        before = objects(fleet)
        for number in range(WORKLOADS, WORKLOADS + CAME):
            fleet.come(number)
            fleet.change(number, number)
            if number % 4 == 0:
                fleet.replace_pods(number % WORKLOADS)
            await fleet.lives(2)
            fleet.go(number)
        during = objects(fleet)
        await fleet.lives(SETTLED, 60)
        return before, during, objects(fleet)

    before, during, after = run(work())
    assert all(during[name] > before[name] + LITTLE for name in before if name.endswith("._predicted"))
    assert not {name: (before.get(name, 0), count) for name, count in after.items() if count > before[name] + LITTLE}


def test_what_nobody_asks_for_is_forgotten_every_few_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    forgot: list[float] = []
    mine = loop()
    monkeypatch.setattr("mfu.controller.loop.forget_unasked", lambda: forgot.append(0.0))

    async def judged() -> None:
        """A cycle that fails keeps nobody from forgetting; the time jumps, so no answer is waited for."""
        judging = asyncio.create_task(mine._judging())
        await asyncio.sleep(3.5 * FORGET_SECONDS)
        judging.cancel()

    async def fails(_now: float) -> None:
        raise ValueError("no cycle")

    monkeypatch.setattr(type(mine), "cycle", lambda _self, now: fails(now))
    run(judged())
    assert 3 <= len(forgot) <= 5


def test_what_a_pod_did_goes_with_it() -> None:
    """Its rows are free for others within a minute, though its window of ten is not over; so is what it counted."""
    fleet = OfflineFleet(WORKLOADS)

    async def work() -> tuple[int, int]:
        await fleet.lives(120, 30)
        before = len(fleet.store._ring)
        for _ in range(20):
            fleet.replace_pods(4)
            await fleet.lives(60, 30)
        return before, len(fleet.store._ring)

    before, after = run(work())
    assert before == len(fleet.devices)
    assert after <= before + 8
