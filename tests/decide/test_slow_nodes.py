"""A node is slow where several namespaces' workloads find it behind its own peers; never by the model that it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.fleet.slow_nodes import (
    AS_BUSY,
    BEHIND,
    KEPT_SECONDS,
    LEAST_BUSY,
    LEAST_ROWS,
    WINDOW_SECONDS,
    PeerGap,
    Witness,
    _middle_of_others,
    gathered,
    heard,
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


def gaps_of(made: WorkloadSeries) -> dict[str, PeerGap]:
    return {each.node: each for each in peer_gaps(made)}


@pytest.mark.parametrize(
    ("clock", "slow"), [(1 - BEHIND - 1e-6, True), (1 - BEHIND + 1e-6, False)], ids=["more", "less"]
)
def test_it_is_slow_from_a_twentieth_behind(clock: float, slow: bool) -> None:
    found = gaps_of(series(clock, 1.0, 1.0))["n0"]
    assert found.slow is slow
    assert found.behind == pytest.approx(1 - clock)


@pytest.mark.parametrize(
    ("busy", "compared"),
    [
        ((0.5 * AS_BUSY + 1e-6, 0.5, 0.5), True),
        ((0.5 * AS_BUSY - 1e-6, 0.5, 0.5), False),
        ((LEAST_BUSY + 1e-6,) * 3, True),
        ((LEAST_BUSY - 1e-6,) * 3, False),
    ],
    ids=["98 % as busy", "less busy", "busy enough", "idle"],
)
def test_only_at_the_same_work_it_is_compared(busy: tuple[float, ...], compared: bool) -> None:
    found = gaps_of(series(0.8, 1.0, 1.0, busy=busy))["n0"]
    assert (found.behind, found.slow) == ((pytest.approx(0.2), True) if compared else (0.0, False))


def test_what_is_ahead_is_behind_by_less_than_nothing() -> None:
    found = gaps_of(series(1.0, 0.9, 0.9))["n0"]
    assert (found.behind, found.slow) == (pytest.approx(1 - 1 / 0.9), False)


@pytest.mark.parametrize(("rows", "known"), [(LEAST_ROWS, True), (LEAST_ROWS - 1, False)])
def test_five_readings_of_the_window_are_needed(rows: int, known: bool) -> None:
    assert (slow_in(series(0.8, 1.0, 1.0, rows=rows)) == {"n0"}) is known
    older = series(0.8, 1.0, 1.0, rows=LEAST_ROWS)
    times = older.times.copy()
    times[: LEAST_ROWS - rows] -= 2 * WINDOW_SECONDS
    assert (slow_in(replace(older, times=times)) == {"n0"}) is known, "older ones are not of the window"
    values = older.values.copy()
    values[: LEAST_ROWS - rows, 0, Metric.TENSOR_ACTIVE] = np.nan
    assert (slow_in(replace(older, values=values)) == {"n0"}) is known, "a row in which one is unknown is none"


def test_a_reading_at_the_edge_of_the_window_counts() -> None:
    made = series(0.8, 1.0, 1.0, rows=LEAST_ROWS)
    times = made.times.copy()
    times[0] = times[-1] - WINDOW_SECONDS
    assert slow_in(replace(made, times=times)) == {"n0"}


def test_a_node_is_the_mean_of_its_gpus_however_many_it_has() -> None:
    """n0 has two GPUs, one at 0.6 and one as all; n1 has four. Of two peers the lower one is the middle."""
    made = series(1.0, 1.0, 1.0, 1.0)
    nodes = ["n0", "n0", "n1", "n1", "n1", "n1", "n2", "n2"]
    devices = tuple(replace(each, node=node) for each, node in zip(made.devices, nodes, strict=True))
    values = made.values.copy()
    values[:, 0, Metric.SM_CLOCK] *= 0.6
    found = gaps_of(replace(made, devices=devices, values=values))
    assert {node: round(each.behind, 6) for node, each in found.items()} == {"n0": 0.2, "n1": -0.25, "n2": -0.25}


def test_each_product_is_compared_with_itself() -> None:
    """Three of each, interleaved; one of the first and two of the second are slow against their own."""
    made = series(0.8, 0.5, 1.0, 0.5, 1.0, 0.4)
    devices = tuple(
        replace(each, product_name="A10") if each.node in ("n1", "n3", "n5") else each for each in made.devices
    )
    assert slow_in(replace(made, devices=devices)) == {"n0", "n5"}


@pytest.mark.parametrize("fields", [{"node": ""}, {"shared": True}, {"key": GPUKey("n0-0", 1)}])
def test_what_is_not_a_pods_own_gpu_on_a_node_is_no_witness(fields: dict[str, object]) -> None:
    made = series(0.8, 1.0, 1.0, gpus=1)
    devices = (replace(made.devices[0], **fields), *made.devices[1:])  # type: ignore[arg-type]
    assert peer_gaps(replace(made, devices=devices)) == ()


def noisy(swing: tuple[float, ...], rows: int) -> WorkloadSeries:
    """n0 a tenth behind; each node's clock swings by so much to both sides, row by row."""
    made = series(0.9, *(1.0 for _ in swing[1:]), rows=rows, gpus=1)
    values = made.values.copy()
    sign = np.where(np.arange(rows) % 2, 1.0, -1.0)
    for place, each in enumerate(swing):
        values[:, place, Metric.SM_CLOCK] += USUAL * each * sign
    return replace(made, values=values)


@pytest.mark.parametrize(
    ("swing", "rows", "slow"),
    [
        ((0.149, 0.0, 0.0), 40, True),
        ((0.150, 0.0, 0.0), 40, False),
        ((0.0, 0.298, 0.0), 40, True),
        ((0.0, 0.300, 0.0), 40, False),
        ((0.0, 0.149, 0.149), 40, True),
        ((0.105, 0.0, 0.0), 20, True),
        ((0.106, 0.0, 0.0), 20, False),
    ],
    ids=[
        "less noise",
        "noise",
        "half of it is others'",
        "as much",
        "both of the others",
        "few rows",
        "noise in few rows",
    ],
)
def test_a_difference_has_to_exceed_three_standard_errors(swing: tuple[float, ...], rows: int, slow: bool) -> None:
    """0.1 > 3 · 0.149 · √(2 ÷ 40) = 0.09995; of 20 rows 0.105: 0.0996. The others' noise is their mean."""
    assert ("n0" in slow_in(noisy(swing, rows))) is slow


def test_what_is_heard_is_kept_by_who_says_it() -> None:
    gaps = (PeerGap("n0", 0.3, True), PeerGap("n1", 0.0, False), PeerGap("n2", 0.1, True))
    before = known(witness("a/x", "n2"))
    assert heard(before, "a/x", "a", gaps, NOW + 9.0) == {
        "n0": Witness("n0", "a/x", "a", NOW + 9.0, NOW + 9.0, 0.3),
        "n2": Witness("n2", "a/x", "a", NOW - WINDOW_SECONDS, NOW + 9.0, 0.1),
    }


def test_what_was_not_looked_at_is_believed_still() -> None:
    before = known(witness("a/x"), witness("a/x", "n1"), witness("b/y"))
    after = gathered(before, {"a/x": said(("n0", True), namespace="a")}, NOW + 60.0)
    assert set(after) == {("n0", "a/x"), ("n1", "a/x"), ("n0", "b/y")}
    assert gathered(before, {}, NOW + KEPT_SECONDS) == before


def test_of_one_namespace_the_worst_is_heard_and_the_least_of_two_is_said() -> None:
    them = (
        witness("a/x", behind=0.1),
        witness("a/y", behind=0.4),
        witness("b/z", behind=0.2),
        witness("c/z", behind=0.05),
    )
    (found,) = slow_nodes(known(*them, replace(witness("d/z", behind=0.0), last=NOW + 5.0, since=NOW - 700.0)))
    assert (found.behind, found.last) == (0.2, NOW + 5.0)
    assert found.workloads == ("a/x", "a/y", "b/z", "c/z", "d/z")


def test_the_slowest_comes_first_and_of_equals_by_name() -> None:
    them = [
        witness(f"{space}/w", node, behind=behind)
        for node, behind in (("n2", 0.1), ("n0", 0.1), ("n1", 0.3))
        for space in "ab"
    ]
    assert [each.node for each in slow_nodes(known(*them))] == ["n1", "n0", "n2"]


def test_each_product_has_its_own_share_and_unknown_nodes_none() -> None:
    h100, a100 = fleet(4), tuple(replace(each, name=f"m{each.name}", product_label="A100") for each in fleet(4))
    bare = replace(h100[0], name="bare", product_label=None)
    them = [witness(f"{space}/w", node) for node in ("n0", "n1", "mn0", "gone", "bare") for space in ("a", "b")]
    may, over = within_share(slow_nodes(known(*them)), (*h100, *a100, bare), set())
    assert [each.node for each in may] == ["mn0", "n0"]
    assert [each.node for each in over] == ["bare", "n1"]


@pytest.mark.parametrize(("marked", "may"), [({"n9"}, []), ({"n0"}, ["n0"]), ({"gone"}, ["n0"]), (set(), ["n0"])])
def test_marks_of_nodes_that_nobody_accuses_take_their_share(marked: set[str], may: list[str]) -> None:
    slow = slow_nodes(known(witness("a/w"), witness("b/w")))
    assert [each.node for each in within_share(slow, fleet(10), marked)[0]] == may


def test_one_mark_takes_one_of_the_share() -> None:
    them = [witness(f"{space}/w", node) for node in ("n0", "n1") for space in ("a", "b")]
    assert [each.node for each in within_share(slow_nodes(known(*them)), fleet(40), {"n9"})[0]] == ["n0"]


def test_after_six_hours_what_was_seen_says_nothing_of_today() -> None:
    assert KEPT_SECONDS == 6 * 3600


def test_of_two_marked_the_slower_stays_first() -> None:
    them = [witness(f"{space}/w", node, behind=behind) for node, behind in (("n1", 0.1), ("n2", 0.2)) for space in "ab"]
    may, over = within_share(slow_nodes(known(*them)), fleet(10), {"n1", "n2"})
    assert ([each.node for each in may], [each.node for each in over]) == (["n2"], ["n1"])
