"""How `make bench-scaling` chooses settings: from the tuning days alone, each at the same promise."""

from __future__ import annotations

import json

import pytest

from benchmarks.bench_scaling import (
    COMPARED_AT,
    HERE,
    LEVELS,
    SEEDS,
    TUNED_ON,
    Grid,
    Result,
    choose,
    mean_of,
    tuned,
)


def came(gpu_hours: float, ttft: float, tpot: float) -> Result:
    return Result(gpu_hours, ttft, tpot, 1.0, 20)


GRID = {
    (1.0,): came(200.0, 0.992, 0.991),
    (2.0,): came(250.0, 0.9995, 0.9985),
    (3.0,): came(300.0, 0.9999, 0.9992),
}


@pytest.mark.parametrize(
    ("level", "setting"), [(0.99, (1.0,)), (0.991, (1.0,)), (0.995, (2.0,)), (0.999, (3.0,)), (0.9999, (3.0,))]
)
def test_the_cheapest_that_keeps_both_else_the_one_that_keeps_most(level: float, setting: tuple[float]) -> None:
    assert tuned(GRID, level) == setting


def test_all_are_chosen_at_one_level() -> None:
    found: dict[str, Grid] = {
        "ours": GRID,
        "rare": {(7,): came(100.0, 0.90, 0.99)},
        "often": {(8,): came(400.0, 0.9995, 0.9995), (9,): came(350.0, 0.9992, 0.9991)},
    }
    assert choose(found) == {"ours": (3.0,), "rare": (7,), "often": (9,)}


def test_days_count_alike_and_the_most_of_them_is_the_most() -> None:
    both = mean_of([came(100.0, 1.0, 0.98), Result(200.0, 0.99, 1.0, 3.0, 40)])
    assert both == Result(150.0, 0.995, 0.99, 2.0, 40)


def test_what_is_committed_was_chosen_so() -> None:
    """Settings follow from the committed grids, and no graded day was tuned on."""
    answer = json.loads((HERE / "results" / "scaling.json").read_text(encoding="utf-8"))
    grids = {
        name: {
            tuple(row["setting"]): Result(**{key: row[key] for key in row if key != "setting"}) for row in each["grid"]
        }
        for name, each in answer.items()
    }
    assert {name: list(setting) for name, setting in choose(grids).items()} == {
        name: each["setting"] for name, each in answer.items()
    }
    assert not set(TUNED_ON) & set(SEEDS)
    assert COMPARED_AT in LEVELS
