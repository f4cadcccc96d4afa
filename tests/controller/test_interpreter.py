"""What refers to itself in circles is let go of before much of it is there; kopf makes such of every event."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator

import pytest

from mfu.controller.interpreter import YOUNG_OBJECTS, give_way


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_circles_do_not_pile_up() -> None:
    give_way()
    left: weakref.WeakSet[Circle] = weakref.WeakSet()
    most = 0
    for _ in range(3 * YOUNG_OBJECTS):
        left.add(Circle())
        most = max(most, len(left))
    assert 0 < most <= 25_000
