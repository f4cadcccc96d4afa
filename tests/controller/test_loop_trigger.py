"""When the next cycle comes: a table of changes in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from mfu.controller.loop import Trigger
from tests.builders.virtual_time import run


def woken_at(marks: list[float]) -> float:
    async def work() -> float:
        trigger, loop = Trigger(idle=1.0, longest=10.0, resync=30.0), asyncio.get_running_loop()
        for at in marks:
            loop.call_at(at, trigger.mark)
        await trigger.wait()
        return loop.time()

    return run(work())


@pytest.mark.parametrize(
    ("marks", "at"),
    [
        ([], 30.0),
        ([5.0], 6.0),
        ([5.0, 5.5, 6.2], 7.2),
        ([0.5 * number for number in range(60)], 10.0),
        ([29.9], 30.9),
        ([5.0, 7.0], 6.0),
    ],
    ids=["resync", "one change", "a burst", "changes that never end", "just before resync", "a late one waits"],
)
def test_a_cycle_follows_changes(marks: list[float], at: float) -> None:
    assert woken_at(marks) == pytest.approx(at, abs=0.01)


def test_a_change_during_a_cycle_is_not_lost() -> None:
    async def work() -> list[float]:
        trigger, loop, woken = Trigger(idle=1.0, longest=10.0, resync=30.0), asyncio.get_running_loop(), []
        trigger.mark()
        for _ in range(2):
            await trigger.wait()
            woken.append(loop.time())
            trigger.mark()
            await asyncio.sleep(3)
        return woken

    assert run(work()) == pytest.approx([1.0, 5.0], abs=0.01)


@pytest.mark.parametrize(
    ("marks", "hurries", "at"),
    [
        ([0.5 * number for number in range(60)], [3.0], 4.0),
        ([], [5.0], 6.0),
        ([5.0], [5.9], 6.9),
        ([0.5 * number for number in range(60)], [9.8], 10.0),
        ([], [5.0 + 0.5 * number for number in range(9)], 6.0),
    ],
    ids=[
        "amid changes that never end",
        "alone",
        "within a quiet moment",
        "just before it is time",
        "one after another",
    ],
)
def test_who_waits_behind_the_gate_is_not_kept_by_other_changes(
    marks: list[float], hurries: list[float], at: float
) -> None:
    async def work() -> float:
        trigger, loop = Trigger(idle=1.0, longest=10.0, resync=30.0), asyncio.get_running_loop()
        for moment in marks:
            loop.call_at(moment, trigger.mark)
        for moment in hurries:
            loop.call_at(moment, trigger.hurry)
        await trigger.wait()
        return loop.time()

    assert run(work()) == pytest.approx(at, abs=0.01)


def test_a_hurry_during_a_cycle_is_answered_by_the_next_at_once() -> None:
    async def work() -> list[float]:
        trigger, loop, woken = Trigger(idle=1.0, longest=10.0, resync=30.0), asyncio.get_running_loop(), []
        trigger.hurry()
        for _ in range(3):
            await trigger.wait()
            woken.append(loop.time())
            if len(woken) == 1:
                trigger.hurry()
                await asyncio.sleep(3)
        return woken

    assert run(work()) == pytest.approx([1.0, 4.0, 34.0], abs=0.01)


@pytest.mark.parametrize(("hurried", "at"), [(None, 5.0), (2.0, 2.0)], ids=["nobody waits", "somebody does"])
def test_a_rest_ends_when_somebody_waits(hurried: float | None, at: float) -> None:
    async def work() -> float:
        trigger, loop = Trigger(idle=0.5, longest=1.0, resync=30.0), asyncio.get_running_loop()
        loop.call_at(1.0, trigger.mark)
        if hurried is not None:
            loop.call_at(hurried, trigger.hurry)
        await trigger.rest(5.0)
        rested = loop.time()
        await trigger.wait()
        assert loop.time() == pytest.approx(rested + 0.5, abs=0.01)
        return rested

    assert run(work()) == pytest.approx(at, abs=0.01)
