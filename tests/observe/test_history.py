"""History survives restarts, stays small, pairs before and after, and counts kept promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.observe.drift import Identity
from mfu.observe.history import LIMIT, SETTLED, Advice, Entry, promises, record, scaling

HERE = Identity("llama", "v1", "mb1", "H100-SXM5", 8)


def observed(
    history: tuple[Entry, ...], identity: Identity, mfu: float, advice: Advice | None = None
) -> tuple[Entry, ...]:
    for step in range(SETTLED):
        history = record(history, mfu, identity=identity, at=100.0 * len(history) + step, advice=advice)
    return history


@pytest.mark.parametrize(("after", "kept"), [(0.40, (1, 0)), (0.31, (0, 1))])
def test_followed_advice_is_measured_against_its_promise(after: float, kept: tuple[int, int]) -> None:
    better = replace(HERE, setting="mb8")
    history = observed(observed((), HERE, 0.30, Advice("mb8", 0.40)), better, after)
    assert (history[0].before, history[0].promised) == (pytest.approx(0.30), 0.40)
    found = promises(history)
    assert (found.kept, found.broken) == kept


def test_a_change_that_nobody_advised_promises_nothing() -> None:
    history = observed(observed((), HERE, 0.30, Advice("mb8", 0.40)), replace(HERE, setting="mb4"), 0.5)
    assert history[0].promised is None
    assert promises(history).kept == 0


@pytest.mark.parametrize(
    ("way", "promised"),
    [
        (Advice("mb8", 0.12), 0.25),
        (Advice("mb8", 0.40), None),
        (Advice("mb8", 0.60), None),
        (Advice("mb16", 0.12), None),
        (None, None),
    ],
    ids=["part of the way", "no nearer", "farther", "another way", "no way known"],
)
def test_advice_that_is_followed_in_part_promises_that_part(way: Advice | None, promised: float | None) -> None:
    history = observed((), HERE, 0.30, Advice("mb8", 0.40))
    history = record(history, 0.36, identity=replace(HERE, setting="mb4"), at=1e3, advice=way, way=way)
    assert history[0].promised == (promised if promised is None else pytest.approx(promised))


@pytest.mark.parametrize(("after", "kept"), [(0.36, True), (0.31, False)])
def test_a_part_is_kept_by_its_own_promise(after: float, kept: bool) -> None:
    """25 % of 0.30 are promised: half of that is 0.3375."""
    history = observed((), HERE, 0.30, Advice("mb8", 0.40))
    for step in range(SETTLED):
        history = record(history, after, identity=replace(HERE, setting="mb4"), at=1e3 + step, way=Advice("mb8", 0.12))
    assert history[0].kept is kept


def test_a_young_figure_is_not_judged() -> None:
    history = observed((), HERE, 0.30, Advice("mb8", 0.40))
    history = record(history, 0.1, identity=replace(HERE, setting="mb8"), at=1e3)
    assert promises(history).broken == 0


def test_history_is_bounded() -> None:
    history: tuple[Entry, ...] = ()
    for version in range(3 * LIMIT):
        history = record(history, 0.3, identity=replace(HERE, version=str(version)), at=float(version))
    assert len(history) == LIMIT
    assert history[0].identity.version == str(3 * LIMIT - 1)


def test_scaling_efficiency_is_relative_to_the_smallest() -> None:
    history = observed(observed((), HERE, 0.50), replace(HERE, gpus=64), 0.45)
    assert [(each.identity.gpus, round(each.efficiency, 3)) for each in scaling(history)] == [(8, 1.0), (64, 0.9)]
