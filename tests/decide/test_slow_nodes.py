"""A node is slow where several namespaces' workloads find it behind its own peers; never by the model that it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.fleet.slow_nodes import (
    BEHIND,
    KEPT_SECONDS,
    WINDOW_SECONDS,
    PeerGap,
    Witness,
    _middle_of_others,
    gathered,
    peer_gaps,
    slow_nodes,
    within_share,
)
from mfu.decide.types import NodeView
from mfu.observe.metric import METRICS
from mfu.observe.readings import GPUIdentity, GPUKey, Metric, WorkloadSeries
from tests.builders.fleets import H100

NOW = 1_800_000_000.0
USUAL = 1980e6


def series(
    *clocks: float, busy: tuple[float, ...] = (), rows: int = 40, gpus: int = 2, noise: float = 0.0
) -> WorkloadSeries:
    """Nodes n0, n1 … of so many GPUs each, at these clocks (of USUAL) and with this tensor activity."""
    random = np.random.default_rng(7)
    names = [f"n{index}" for index in range(len(clocks))]
    devices = tuple(
        GPUIdentity(GPUKey(f"{name}-{index}"), H100, node=name, index=str(index))
        for name in names
        for index in range(gpus)
    )
    values = np.full((rows, len(devices), METRICS), np.nan)
    for place, clock in enumerate(clocks):
        mine = slice(place * gpus, (place + 1) * gpus)
        values[:, mine, Metric.SM_CLOCK] = USUAL * clock * (1 + noise * random.standard_normal((rows, gpus)))
        values[:, mine, Metric.TENSOR_ACTIVE] = busy[place] if busy else 0.5
    times = NOW - 15.0 * np.arange(rows, dtype=np.float64)[::-1]
    return WorkloadSeries(devices, times, values, 15.0)


def slow_in(made: WorkloadSeries) -> set[str]:
    return {each.node for each in peer_gaps(made) if each.slow}


def test_the_worked_number() -> None:
    made = replace(series(1500 / 1980, 1.0, 1.0, 1.0))
    first = peer_gaps(made)[0]
    assert (first.node, first.slow) == ("n0", True)
    assert first.behind == pytest.approx(0.24, abs=0.005)


@pytest.mark.parametrize(
    ("made", "slow"),
    [
        (series(0.8, 1.0, 1.0), {"n0"}),
        (series(0.96, 1.0, 1.0), set()),
        (series(0.8, 1.0), set()),
        (series(0.8, 0.8, 0.8), set()),
        (series(1.0, 0.8, 0.8), set()),
        (series(0.8, 1.0, 1.0, busy=(0.3, 0.5, 0.5)), set()),
        (series(0.8, 1.0, 1.0, busy=(0.01, 0.01, 0.01)), set()),
        (series(0.8, 1.0, 1.0, rows=3), set()),
        (series(0.9, 1.0, 1.0, rows=6, noise=0.2), set()),
        (series(), set()),
    ],
    ids=[
        "behind",
        "as healthy GPUs differ",
        "one peer",
        "all alike",
        "one ahead",
        "less to do",
        "idle",
        "too few readings",
        "noise",
        "nothing",
    ],
)
def test_who_is_slow(made: WorkloadSeries, slow: set[str]) -> None:
    assert slow_in(made) == slow


def test_another_product_is_no_peer_and_unknown_is_no_zero() -> None:
    made = series(0.8, 1.0, 1.0)
    others = tuple(replace(each, product_name="A10") if each.node == "n0" else each for each in made.devices)
    assert peer_gaps(replace(made, devices=others)) == ()
    shared = tuple(replace(each, shared=True) for each in made.devices)
    assert peer_gaps(replace(made, devices=shared)) == ()
    unknown = made.values.copy()
    unknown[:, :2, Metric.SM_CLOCK] = np.nan
    assert peer_gaps(replace(made, values=unknown)) == ()


@given(st.lists(st.floats(0.96, 1.04), min_size=3, max_size=12), st.floats(0.1, 1.0))
def test_what_a_fleet_runs_condemns_no_node(clocks: list[float], busy: float) -> None:
    """However busy the model keeps them: nodes that differ as healthy ones do are none of them slow."""
    made = series(*clocks, busy=tuple([busy] * len(clocks)))
    assert all(each.behind <= BEHIND + 0.03 for each in peer_gaps(made))
    spread = max(clocks) / min(clocks)
    if spread < 1.05:
        assert slow_in(made) == set()


@given(st.lists(st.floats(0.1, 10.0), min_size=3, max_size=20))
def test_the_middle_of_the_others(values: list[float]) -> None:
    found = _middle_of_others(np.array(values))
    for place, each in enumerate(found):
        others = sorted(np.delete(values, place))
        assert each == others[(len(others) - 1) // 2]


def said(*gaps: tuple[str, bool], namespace: str = "team") -> tuple[str, tuple[PeerGap, ...]]:
    return namespace, tuple(PeerGap(node, 0.2 if slow else 0.0, slow) for node, slow in gaps)


def witness(workload: str, node: str = "n0", *, seconds: float = WINDOW_SECONDS, behind: float = 0.2) -> Witness:
    return Witness(node, workload, workload.partition("/")[0], NOW - seconds, NOW, behind)


def known(*them: Witness) -> dict[tuple[str, str], Witness]:
    return {(each.node, each.workload): each for each in them}


def test_two_namespaces_have_to_agree_over_two_windows() -> None:
    (found,) = slow_nodes(known(witness("a/x", behind=0.3), witness("b/y", behind=0.1), witness("a/z", behind=0.2)))
    assert (found.node, found.behind, found.workloads) == ("n0", 0.1, ("a/x", "a/z", "b/y"))
    assert found.words == "let pods prefer other nodes to n0: 10% behind its peers at the work of a/x, a/z, b/y"
    assert slow_nodes(known(witness("a/x"), witness("a/y"))) == (), "one tenant can make its own pods slow"
    assert slow_nodes(known(witness("a/x"), witness("b/y", seconds=WINDOW_SECONDS - 1.0))) == ()
    assert slow_nodes(known(witness("a/x", "n0"), witness("b/y", "n1"))) == ()


def test_who_finds_it_as_fast_as_others_accuses_no_more() -> None:
    before = known(witness("a/x"), witness("b/y"))
    after = gathered(before, {"a/x": said(("n0", False), ("n1", False), namespace="a")}, NOW + 60.0)
    assert set(after) == {("n0", "b/y")}


def test_testimony_goes_on_from_when_it_began_and_ends_with_age() -> None:
    before = known(witness("a/x"), witness("b/y"))
    after = gathered(before, {"a/x": said(("n0", True), namespace="a")}, NOW + 60.0)
    assert after[("n0", "a/x")] == Witness("n0", "a/x", "a", NOW - WINDOW_SECONDS, NOW + 60.0, 0.2)
    assert gathered(before, {}, NOW + KEPT_SECONDS - 1.0) == before
    assert gathered(before, {}, NOW + KEPT_SECONDS + 1.0) == {}
    assert gathered(before, {}, NOW - KEPT_SECONDS - 1.0) == {}, "a clock that was set back makes nobody younger"


def fleet(count: int) -> tuple[NodeView, ...]:
    return tuple(NodeView(f"n{index}", H100, None, 8) for index in range(count))


@pytest.mark.parametrize(("count", "most"), [(3, 0), (4, 1), (39, 1), (40, 2), (100, 5)])
def test_no_more_than_a_share_is_marked_the_slowest_first(count: int, most: int) -> None:
    slow = slow_nodes(
        known(*(witness(f"{space}/w{i}", f"n{i}", behind=0.1 + i / 1000) for i in range(8) for space in ("a", "b")))
    )
    may, over = within_share(slow, fleet(count), set())
    assert len(may) == min(most, count)
    assert [each.node for each in may] == [f"n{7 - index}" for index in range(8) if 7 - index < count][:most]
    assert {each.node for each in (*may, *over)} == {each.node for each in slow if int(each.node[1:]) < count}


def test_who_is_marked_already_stays_and_counts_even_when_nobody_accuses_it() -> None:
    slow = slow_nodes(known(*(witness(f"{space}/w", f"n{i}") for i in (1, 2) for space in ("a", "b"))))
    may, _ = within_share(slow, fleet(10), {"n2"})
    assert [each.node for each in may] == ["n2"], "no going to and fro between two that are as slow"
    may, _ = within_share(slow, fleet(10), {"n9"})
    assert may == ()
