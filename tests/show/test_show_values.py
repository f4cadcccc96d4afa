"""What people see, as values: built from the API's own types, unknown where nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.fleetreport import Bill, Coverage, FleetStatus, NamespaceFigures, NodeFigures, ProductFigures, ThreeFactors
from mfu.api.workload_status import Attainable, Basis, Cost, Expected, Meter, Observed, Part, Summary, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.show.explanation import explanation
from mfu.show.figures import number, share
from mfu.show.fleet import fleet_view
from mfu.show.levels import above_attainable
from mfu.show.waterfall import Move, best_observed, waterfall
from mfu.show.workloads import COLUMNS, Listed, row

EXAMPLE = Path(__file__).parents[2] / "examples" / "snapshot.json"


def test_numbers_of_the_api() -> None:
    assert number("0.48") == 0.48
    assert number(None) is None
    assert number("1e999") is None
    assert (share(0.48), share(None)) == ("48.0 %", "Unknown")


def test_a_workload_of_which_nothing_is_known_is_unknown_in_every_cell() -> None:
    cells = row(Listed("team", "job", "Training", WorkloadStatus()))
    assert len(cells) == len(COLUMNS)
    assert set(cells[3:]) == {"Unknown"}


def test_an_empty_status_explains_nothing_away() -> None:
    page = explanation("team", "job", WorkloadStatus())
    assert page.waterfall is None
    assert page.losses == page.changes == page.measurements == ()
    assert page.facts[0].value == "waiting"
    assert page.model == "Unknown"


@given(
    expected=st.integers(0, 10_000),
    observed=st.none() | st.integers(0, 10_000),
    parts=st.lists(st.integers(-2_000, 9_000), max_size=8),
)
def test_a_waterfall_arrives_where_it_says(expected: int, observed: int | None, parts: list[int]) -> None:
    seen = () if observed is None else (Observed(window="10m", meter=Meter.PROGRESS, mfu=f"{observed / 1e4:.4f}"),)
    found = waterfall(
        WorkloadStatus(
            expected=(Expected(product="A", basis=Basis.ASSIGNED, mfu=f"{expected / 1e4:.4f}"),),
            waterfall=tuple(Part(name=f"p{at}", share=f"{each / 1e4:.4f}") for at, each in enumerate(parts)),
            observed=seen,
        )
    )
    assert found is not None
    assert all(step.share >= 0 for step in found.steps)
    assert found.observed_known is (observed is not None)
    levels = [step for step in found.steps if step.move is Move.LEVEL]
    assert [step.share for step in levels[:2]] == [1.0, expected / 1e4]
    if observed is not None:
        last = found.steps[-2]
        assert levels[-1].share == observed / 1e4
        assert expected / 1e4 + (last.share if last.move is Move.UP else -last.share) == pytest.approx(observed / 1e4)


def test_the_waterfalls_of_the_example_add_up() -> None:
    plan = evaluate(*load(EXAMPLE.read_text()))
    shown = [waterfall(each.status.read()) for each in plan.workloads]
    assert sum(each is not None for each in shown) >= 5
    for found in filter(None, shown):
        at = 0.0
        for step in found.steps:
            if step.move is Move.LEVEL:
                assert at in (0.0, pytest.approx(step.share, abs=0.004)), found
                at = step.share
            else:
                at += step.share if step.move is Move.UP else -step.share


def test_the_shown_observation_is_progress_before_counters_and_never_an_empty_one() -> None:
    counters = Observed(window="10m", meter=Meter.COUNTERS, mfu="0.2", confidence="0.9")
    progress = Observed(window="10m", meter=Meter.PROGRESS, mfu="0.3", confidence="0.1")
    empty = Observed(window="10m", meter=Meter.PROGRESS)
    hour = Observed(window="1h", meter=Meter.PROGRESS, mfu="0.4")
    assert best_observed(WorkloadStatus(observed=(counters, progress, hour))) == progress
    assert best_observed(WorkloadStatus(observed=(counters, empty))) == counters
    assert best_observed(WorkloadStatus(observed=(empty, hour))) is None


def test_a_fleet_in_words() -> None:
    page = fleet_view(
        FleetStatus(
            currency="€",
            bills=(Bill(currency="€", per_hour="0.10", held_idle="0.07", unknown="0.03", unpriced_gpus="2.5"),),
            products=(ProductFigures(product="H100-SXM5", gpus="8", mfu="0.229", coverage=Coverage(unknown="0.25")),),
            namespaces=(NamespaceFigures(namespace="team"),),
        )
    )
    bill = page.bills[0]
    assert sum(each.amount for each in bill.parts) == pytest.approx(bill.per_hour)
    assert bill.sentence.startswith("€0.10 per hour = €0.00 useful + €0.00 lost + €0.07 held idle")
    assert bill.sentence.endswith("; 2.5 GPUs have no price")
    products, namespaces, nodes = page.groups
    assert products.rows == (
        ("H100-SXM5", "8", "0", "22.9%", "Unknown", "Unknown", "Unknown", "Unknown", "75%", "Unknown"),
    )
    assert namespaces.rows == (("team", "0", "0", *("Unknown",) * 8),)
    assert nodes.rows == ()


def test_each_step_of_the_waterfall_has_its_share_of_the_price() -> None:
    status = WorkloadStatus(
        cost=Cost(currency="$", per_hour="20.00"),
        expected=(Expected(product="H100-SXM5", basis=Basis.DECLARED, mfu="0.4"),),
        waterfall=(Part(name="kernel ceiling", share="0.35"), Part(name="attention", share="0.25")),
        observed=(Observed(window="10m", meter=Meter.PROGRESS, mfu="0.3"),),
    )
    found = waterfall(status)
    assert found is not None
    assert [each.price for each in found.steps] == ["$20.00/h", "$7.00/h", "$5.00/h", "$8.00/h", "$2.00/h", "$6.00/h"]
    unpriced = waterfall(status.model_copy(update={"cost": None}))
    assert unpriced is not None
    assert {each.price for each in unpriced.steps} == {""}


def test_what_namespaces_are_charged_stands_beside_what_they_cost() -> None:
    charged = NamespaceFigures(namespace="a", cost_per_hour="20.00", lost_per_hour="5.00", revenue_per_hour="24.00")
    page = fleet_view(FleetStatus(namespaces=(charged, NamespaceFigures(namespace="b"))))
    namespaces = page.groups[1]
    assert namespaces.columns[-3:] == ("$/H", "LOST/H", "CHARGED/H")
    assert [row[-3:] for row in namespaces.rows] == [("$20.00", "$5.00", "$24.00"), ("Unknown",) * 3]
    assert page.groups[0].columns[-1] == "$/H"


def test_nodes_that_are_held_and_do_nothing_are_named() -> None:
    def node(name: str, held: str, runtime: str | None) -> NodeFigures:
        return NodeFigures(node=name, gpus="8", allocated_gpus=held, factors=ThreeFactors(runtime=runtime))

    nodes = (
        node("idle", "8", "0.0"),
        node("half", "8", "0.5"),
        node("busy", "8", "1.0"),
        node("saves", "8", "0.97"),
        node("free", "4", "0.0"),
    )
    page = fleet_view(FleetStatus(nodes=(*nodes, node("unknown", "8", None))))
    assert page.held_for_nothing == (
        "idle: all 8 GPUs are held, 0.0% of their time makes progress",
        "half: all 8 GPUs are held, 50.0% of their time makes progress",
    )
    assert page.factors == ""


def above(observed: str, high: str = "0.45") -> tuple[str, ...]:
    """What is said of 40 % expected and 42 % attainable."""
    return above_attainable(
        WorkloadStatus(
            summary=Summary(scale="MFU"),
            expected=(Expected(product="H100-SXM5", basis=Basis.ASSIGNED, mfu="0.4", high=high),),
            attainable=Attainable(mfu="0.42"),
            observed=(Observed(window="10m", meter=Meter.PROGRESS, mfu=observed, coverage="1"),),
        )
    )


def test_more_than_attainable_is_explained() -> None:
    assert above("0.41") == ()
    (within,) = above("0.44")
    assert within.startswith("observed 44.0% is above attainable 42.0%, and within the band")
    (beyond,) = above("0.6")
    assert "progress.unit" in beyond
