"""Replicas: worked numbers and bounds that hold for every load."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.types import EffectivePolicy, Load
from mfu.decide.workload.scaling import TARGET_UTILISATION, desired_replicas, scaling
from tests.builders.cases import SERVING, case


def test_worked_number() -> None:
    """10,000 tokens/s at 4,000 a replica and 80 %: ⌈3.125⌉ = 4."""
    assert desired_replicas(10_000, 4_000, low=1, high=8) == 4


def test_a_capacity_that_is_not_known_keeps_the_least() -> None:
    assert desired_replicas(10_000, 0, low=2, high=8) == 2


loads = st.floats(0, 1e6)
capacities = st.floats(1, 1e5)
bounds = st.tuples(st.integers(0, 10), st.integers(1, 50)).filter(lambda each: each[0] <= each[1])


@given(loads, capacities, bounds)
def test_within_bounds(load: float, capacity: float, bound: tuple[int, int]) -> None:
    low, high = bound
    assert low <= desired_replicas(load, capacity, low=low, high=high) <= high


@given(loads, loads, capacities)
def test_more_load_never_asks_for_fewer(one: float, other: float, capacity: float) -> None:
    few, many = sorted((one, other))
    assert desired_replicas(few, capacity, low=1, high=99) <= desired_replicas(many, capacity, low=1, high=99)


@given(loads, capacities)
def test_unbounded_replicas_run_at_no_more_than_the_target(load: float, capacity: float) -> None:
    replicas = desired_replicas(load, capacity, low=1, high=10**9)
    assert load <= replicas * TARGET_UTILISATION * capacity * (1 + 1e-9)
    assert replicas == 1 or load > (replicas - 1) * TARGET_UTILISATION * capacity * (1 - 1e-9)


@pytest.mark.parametrize(
    ("low", "high", "running", "wanted"), [(None, 3, 1, 3), (None, None, 1, 8), (4, None, 8, 4), (4, 3, 1, 3)]
)
def test_the_policy_bounds_what_the_declaration_allows(
    low: int | None, high: int | None, running: int, wanted: int
) -> None:
    document = {**SERVING, "inference": {**SERVING["inference"], "replicas": {"min": 1, "max": 8}}}
    asked = case(document, gpus_per_node=1)
    demand = 1e9 if wanted in (3, 8) and running == 1 else 1.0
    decided = scaling(
        replace(
            asked,
            load=Load(tokens_per_s=demand),
            replicas_running=running,
            policy=EffectivePolicy(scaling_min_replicas=low, scaling_max_replicas=high),
        )
    )
    assert decided is not None
    assert decided.hint is not None
    assert f"{wanted} replicas" in decided.message
