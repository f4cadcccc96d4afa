"""Which policy governs: precedence, selectors, validity, and what it comes to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.mfupolicy import PolicySpec
from mfu.decide.policy import NamedPolicy, effective, governing, problem
from mfu.decide.types import DecisionType, Mode


def policy(name: str, **spec: Any) -> NamedPolicy:
    return NamedPolicy(name, PolicySpec.model_validate(spec))


GOLD = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}}
NAMESPACES = {"a": {"tier": "gold"}, "b": {"tier": "silver"}, "c": {}}


def governed(*policies: NamedPolicy) -> dict[str, str]:
    return {namespace: each.name for namespace, each in governing(policies, NAMESPACES).items()}


def test_a_selector_governs_what_it_matches() -> None:
    assert governed(policy("gold", **GOLD)) == {"a": "gold"}


def test_no_selector_governs_everything() -> None:
    assert governed(policy("all")) == {"a": "all", "b": "all", "c": "all"}


def test_priority_first_then_name() -> None:
    assert governed(policy("all", priority=1), policy("gold", **GOLD)) == {"a": "all", "b": "all", "c": "all"}
    assert governed(policy("all"), policy("gold", priority=1, **GOLD))["a"] == "gold"
    assert governed(policy("b"), policy("a"))["c"] == "a"


@given(st.permutations([policy("x", priority=2, **GOLD), policy("y", priority=2), policy("z")]))
def test_order_of_policies_does_not_matter(policies: list[NamedPolicy]) -> None:
    assert governed(*policies) == {"a": "x", "b": "y", "c": "y"}


def test_without_a_policy_nothing_is_enforced() -> None:
    default = effective(None)
    assert {default.mode_of(kind) for kind in DecisionType} == {Mode.RECOMMEND}
    assert default.prices == {}


def test_effective_values() -> None:
    made = effective(
        policy(
            "p",
            floors={"expectedOfAttainablePercent": 60},
            modes={"placement": "Observe"},
            prices=[{"product": "h100-sxm5", "perGPUHour": "2.50"}],
            currency="€",
        )
    )
    assert made.expected_of_attainable == 0.6
    assert made.mode_of(DecisionType.PLACEMENT) is Mode.OBSERVE
    assert made.mode_of(DecisionType.ADMISSION) is Mode.RECOMMEND
    assert made.prices == {"H100-SXM5": 2.5}
    assert made.currency == "€"


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ([{"product": "H100-SXM", "perGPUHour": "1"}], "spec.prices[0].product is 'H100-SXM', no known GPU product"),
        (
            [{"product": "H100-SXM5", "perGPUHour": "1"}, {"product": "h100-sxm5", "perGPUHour": "2"}],
            "spec.prices[1].product is 'h100-sxm5', the same GPU as H100-SXM5",
        ),
    ],
)
def test_what_needs_the_catalog_is_said_with_field_and_fix(prices: list[dict[str, str]], words: str) -> None:
    assert words in str(problem(PolicySpec.model_validate({"prices": prices})))


def test_a_valid_policy_has_no_problem() -> None:
    assert problem(PolicySpec.model_validate({"prices": [{"product": "H200-SXM", "perGPUHour": "3"}]})) is None
