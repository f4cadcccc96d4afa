"""Every cluster of at most three nodes and every queue of at most four workloads, of sizes that meet each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement, product

import pytest

from mfu.decide.fleet.capacity import Capacity, DeviceKind, capacity_of
from mfu.decide.fleet.order import Together, decide_together
from mfu.decide.fleet.standing import Standing
from tests.builders.cases import node
from tests.builders.fleets import H100, standing_of_outcome, taken, waits

pytestmark = pytest.mark.slow

KIND = DeviceKind("", H100)
FREE = (0, 4, 8)
SHAPES = ((4, 4), (8, 8), (8, 4), (16, 8))
"""GPUs and GPUs of one pod."""
PRIORITIES = (0, 1)


def clusters() -> Iterator[Capacity]:
    for count in range(4):
        for free in combinations_with_replacement(FREE, count):
            yield capacity_of([node(f"n{index}", used=8 - each) for index, each in enumerate(free)])


def queues() -> Iterator[tuple[Standing, ...]]:
    kinds = list(product(SHAPES, PRIORITIES))
    for count in range(1, 5):
        for chosen in combinations_with_replacement(kinds, count):
            yield tuple(
                waits(f"w{index}", gpus, piece=piece, tensor=piece, priority=priority, since=float(index))
                for index, ((gpus, piece), priority) in enumerate(chosen)
            )


def test_no_gpu_twice_and_no_free_one_left_to_who_fits() -> None:
    """Also: repeated and turned round, the same; nobody who was refused could have had a place in what is left."""
    all_queues = list(queues())
    for capacity in clusters():
        for queue in all_queues:
            together = decide_together(queue, capacity)
            _within(capacity, together)
            _nobody_forgotten(queue, together)
            assert decide_together(queue[::-1], capacity).decisions == together.decisions


def _within(capacity: Capacity, together: Together) -> None:
    for (kind, name), gpus in taken(together).items():
        assert gpus <= capacity.pools[kind].free_on(name)


def _nobody_forgotten(queue: tuple[Standing, ...], together: Together) -> None:
    pool = together.left.pools.get(KIND)
    for standing in queue:
        ask = standing.ask
        assert ask is not None
        if standing.key in together.grants:
            continue
        pieces = 0 if pool is None else int((pool.free // ask.piece).sum())
        assert pieces * ask.piece < ask.gpus


def test_a_higher_priority_is_never_worse() -> None:
    all_queues = [queue for queue in queues() if len(queue) <= 3]
    for capacity in clusters():
        for queue in all_queues:
            before = decide_together(queue, capacity)
            for mine in queue:
                raised = [replace(each, priority=each.priority + 1) if each is mine else each for each in queue]
                after = decide_together(raised, capacity)
                assert standing_of_outcome(after, mine.key) <= standing_of_outcome(before, mine.key)
