"""The line of news: as they came, each once, and nobody waits for a namespace that brings too much."""

from __future__ import annotations

import random
from collections import defaultdict
from statistics import mean

from hypothesis import given
from hypothesis import strategies as st

from mfu.controller.line import SPACING_SECONDS, Line

KEYS = st.builds("{}/{}".format, st.sampled_from(("a", "b", "c")), st.integers(0, 30))
CAME = st.lists(st.tuples(KEYS, st.floats(0.0, 2.0)), max_size=80)


def nobody(_key: str) -> bool:
    return False


def filled(came: list[tuple[str, float]]) -> tuple[Line, list[str]]:
    """The line, and the keys in the order in which each came first."""
    line, now = Line(), 0.0
    for key, later in came:
        now += later
        line.add(key, now)
    return line, list(dict.fromkeys(key for key, _ in came))


@given(CAME, st.integers(1, 9))
def test_each_key_is_taken_once_and_a_namespaces_own_in_the_order_in_which_they_came(
    came: list[tuple[str, float]], most: int
) -> None:
    line, first = filled(came)
    assert (len(line), sorted(line)) == (len(first), sorted(first))
    taken: list[str] = []
    while handful := line.take(most, nobody):
        assert len(handful) == min(most, len(first) - len(taken))
        taken += handful
    assert (len(line), list(line)) == (0, [])
    for namespace in "abc":
        own = [key for key in taken if key.startswith(namespace)]
        assert own == [key for key in first if key.startswith(namespace)]


@given(CAME, st.sets(KEYS), st.integers(0, 9))
def test_who_is_passed_over_keeps_its_place(came: list[tuple[str, float]], busy: set[str], most: int) -> None:
    line, first = filled(came)
    plain, _ = filled(came)
    whole = plain.take(len(first), nobody)
    assert line.take(most, busy.__contains__) == [key for key in whole if key not in busy][:most]
    taken = set(first) - set(line)
    assert line.take(len(first), nobody) == [key for key in whole if key not in taken]


@given(st.integers(2, 400), st.floats(0.0, 120.0))
def test_a_thousand_of_one_namespace_do_not_keep_another_waiting(brought: int, later: float) -> None:
    line = Line()
    for row in range(brought):
        line.add(f"big/{row}", 0.0)
    line.add("small/x", later)
    before = line.take(brought + 1, nobody).index("small/x")
    assert before <= 1 + later / SPACING_SECONDS


def test_namespaces_that_bring_as_much_wait_as_long_however_long_the_line() -> None:
    """A tenth too much comes for five minutes: with turns by namespace mean waits were 5.4 apart."""
    order, line, waits, came = random.Random(3), Line(), defaultdict[str, list[float]](list), dict[str, float]()
    for tick in range(3_000):
        now = tick / 10
        for _ in range(2 + (tick % 5 == 0)):
            key = f"{order.randrange(50)}/{order.randrange(200)}"
            came.setdefault(key, now)
            line.add(key, now)
        for key in line.take(2, nobody):
            waits[key.partition("/")[0]].append(now - came.pop(key))
    assert len(line) > 100
    means = [mean(each) for each in waits.values()]
    assert max(means) < 2 * min(means)
