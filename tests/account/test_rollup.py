"""Roll-ups: a hand-counted fleet, and what holds for every fleet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.factors import workload_factors
from mfu.account.rollup import Knowledge, RollupRow
from tests.builders.rolling import roll_up

PEAK = 1e15


def row(
    mfu: float | None,
    knowledge: Knowledge,
    *,
    node: str = "n0",
    namespace: str | None = "team-a",
    gpus: float = 1,
    price: float | None = 2.0,
    peak: float | None = PEAK,
) -> RollupRow:
    whole = None if peak is None else peak * gpus
    return RollupRow(node, namespace, "H100-SXM5", gpus, whole, mfu, knowledge, None if price is None else price * gpus)


def test_hand_counted_fleet() -> None:
    """4 GPUs at 40 % by progress, 2 at 10 % by counters, 1 idle, 1 unknown: (4·0.4 + 2·0.1) / 7 = 25.7 %."""
    figures = roll_up(
        [
            row(0.4, Knowledge.PROGRESS, gpus=4),
            row(0.1, Knowledge.COUNTERS, gpus=2, namespace="team-b"),
            row(0.0, Knowledge.IDLE, namespace=None),
            row(None, Knowledge.UNKNOWN, namespace="team-c"),
        ]
    )
    fleet = figures.fleet
    assert fleet is not None
    assert fleet.mfu == pytest.approx(1.8 / 7)
    assert fleet.allocated_mfu == pytest.approx(1.8 / 6)
    assert (fleet.gpus, fleet.allocated_gpus) == (8, 7)
    assert (fleet.measured, fleet.estimated, fleet.idle, fleet.unknown) == (0.5, 0.25, 0.125, 0.125)
    assert (fleet.cost_per_hour, fleet.idle_cost_per_hour) == (16.0, 2.0)
    assert set(figures.namespaces) == {"team-a", "team-b", "team-c"}
    assert figures.namespaces["team-c"].mfu is None


def test_three_factors_by_hand() -> None:
    """8 GPUs, 6 held, 3 of them at 40 % and 3 doing nothing: 0.75 × 0.5 × 0.4 = 0.15."""
    fleet = roll_up(
        [
            row(0.4, Knowledge.PROGRESS, gpus=3),
            row(0.001, Knowledge.COUNTERS, gpus=3),
            row(0.0, Knowledge.IDLE, namespace=None, gpus=2),
        ]
    ).fleet
    assert fleet is not None
    assert fleet.factors.scheduling == pytest.approx(0.75)
    assert fleet.factors.runtime == pytest.approx(0.5)
    assert fleet.factors.program == pytest.approx(0.4, abs=0.002)


def test_where_nobody_makes_progress_there_is_no_program() -> None:
    fleet = roll_up([row(0.0, Knowledge.COUNTERS), row(0.0, Knowledge.IDLE, namespace=None)]).fleet
    assert fleet is not None
    assert (fleet.factors.scheduling, fleet.factors.runtime, fleet.factors.program) == (0.5, 0.0, None)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(Knowledge), st.floats(0.1, 64), st.sampled_from(["a", "b", None])),
        max_size=12,
    )
)
def test_three_factors_multiply_to_mfu_in_every_group(rows: list[tuple[float, Knowledge, float, str | None]]) -> None:
    figures = roll_up(
        [
            row(None if known is Knowledge.UNKNOWN else mfu, known, gpus=gpus, namespace=namespace, node=f"n{at % 3}")
            for at, (mfu, known, gpus, namespace) in enumerate(rows)
        ]
    )
    groups = [figures.fleet, *figures.nodes.values(), *figures.namespaces.values(), *figures.products.values()]
    for each in filter(None, groups):
        held, moving, program = each.factors.scheduling, each.factors.runtime, each.factors.program
        if held is None or moving is None or program is None:
            continue
        assert each.mfu == pytest.approx(held * moving * program)
        assert 0 <= held <= 1
        assert 0 <= moving <= 1


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.1, 64), st.none() | st.just(0.0) | st.floats(0.0001, 1)),
        min_size=1,
        max_size=12,
    )
)
def test_they_do_where_counters_say_how_long_each_moves(rows: list[tuple[float, float, float | None]]) -> None:
    """And a fleet of one workload has that workload's own."""
    made = [row(mfu, Knowledge.PROGRESS, gpus=gpus) for mfu, gpus, _ in rows]
    fleet = roll_up(made, [moving for _, _, moving in rows]).fleet
    assert fleet is not None
    assert fleet.mfu is not None
    if fleet.factors.mfu is not None:
        assert fleet.factors.mfu == pytest.approx(fleet.mfu)
    alone = roll_up(made[:1], [rows[0][2]]).fleet
    assert alone is not None
    own = workload_factors(1.0, rows[0][0], rows[0][2])
    assert alone.factors.runtime == pytest.approx(own.runtime)
    assert alone.factors.program == (None if own.program is None else pytest.approx(own.program))


def test_money_weighs_by_price() -> None:
    dear, cheap = row(0.1, Knowledge.PROGRESS, price=9.0), row(0.5, Knowledge.PROGRESS, price=1.0)
    fleet = roll_up([dear, cheap]).fleet
    assert fleet is not None
    assert fleet.mfu == pytest.approx(0.3)
    assert fleet.price_weighted_mfu == pytest.approx(0.14)


def test_an_unknown_product_is_unknown_whatever_was_read() -> None:
    fleet = roll_up([row(0.4, Knowledge.PROGRESS, peak=None)]).fleet
    assert fleet is not None
    assert fleet.mfu is None
    assert fleet.unknown == 1.0


def test_no_gpus_no_figures() -> None:
    assert roll_up([]).fleet is None


rows = st.lists(
    st.builds(
        row,
        st.one_of(st.none(), st.floats(0, 1)),
        st.sampled_from(Knowledge),
        node=st.sampled_from(["n0", "n1", "n2"]),
        gpus=st.integers(1, 8).map(float),
        price=st.one_of(st.none(), st.floats(0.1, 10)),
    ),
    min_size=1,
    max_size=12,
)


@given(rows)
def test_shares_add_up_and_mfu_is_a_fraction(fleet: list[RollupRow]) -> None:
    figures = roll_up(fleet)
    for each in (figures.fleet, *figures.nodes.values()):
        assert each is not None
        assert each.measured + each.estimated + each.idle + each.unknown == pytest.approx(1.0)
        assert each.mfu is None or 0 <= each.mfu <= 1
        if each.mfu is not None and each.allocated_mfu is not None:
            assert each.allocated_mfu >= each.mfu - 1e-12


@given(rows, st.randoms())
def test_order_does_not_matter(fleet: list[RollupRow], random: object) -> None:
    shuffled = sorted(fleet, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = roll_up(fleet).fleet, roll_up(shuffled).fleet
    assert one is not None
    assert other is not None
    assert one.gpus == pytest.approx(other.gpus)
    assert (one.mfu is None) == (other.mfu is None)
    assert one.mfu is None or one.mfu == pytest.approx(other.mfu)


@given(rows)
def test_an_unknown_gpu_moves_no_figure_but_the_coverage(fleet: list[RollupRow]) -> None:
    before = roll_up(fleet).fleet
    after = roll_up([*fleet, row(None, Knowledge.UNKNOWN)]).fleet
    assert before is not None
    assert after is not None
    # Known, it stays as it was; with less than half of what is held known it is unknown.
    assert after.mfu is None or after.mfu == pytest.approx(before.mfu)
    assert after.unknown > before.unknown or before.unknown == 1.0
