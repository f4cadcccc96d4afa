"""Which policy governs: precedence, selectors, validity, and what it comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.mfupolicy import PerWorkload, PolicySpec, SharingMethod
from mfu.api.powers import ActionType, ReclaimAction
from mfu.decide.ladder import ReclaimRules, Rung
from mfu.decide.policy import NamedPolicy, effective, governing, problem
from mfu.decide.types import DecisionType, EffectivePolicy, Mode, Permit, SharingRules
from mfu.hardware.catalog import load
from mfu.hardware.price import PriceBook
from mfu.hardware.types import Device


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


EVERYTHING: dict[str, Any] = {
    "modes": {
        "admission": "Enforce",
        "placement": "Observe",
        "mig": "Recommend",
        "scaling": "Enforce",
        "sharing": "Observe",
        "reclaim": "Enforce",
        "oversubscription": "Observe",
    },
    "floors": {"expectedOfAttainablePercent": 60, "observedOfExpectedPercent": 80, "idleMinutes": 45},
    "currency": "CHF",
    "prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}, {"product": "A100-SXM4-80GB", "perGPUHour": "1"}],
    "scaling": {"minReplicas": 2, "maxReplicas": 9},
    "topologyLevels": ["rack", "room"],
    "metrics": {"perWorkload": "Full"},
    "gate": {"deadlineSeconds": 30},
    "actions": [
        {
            "type": "Scale",
            "minConfidencePercent": 90,
            "maxReadingAgeSeconds": 60,
            "maxPerMinute": 3,
            "dwellSeconds": 600,
        },
        {"type": "KueueCheck"},
    ],
}


def test_what_an_admin_writes_is_what_the_rules_read() -> None:
    """Percent becomes a fraction; every other bound arrives as it was written."""
    assert effective(policy("p", **EVERYTHING)) == EffectivePolicy(
        name="p",
        modes={
            DecisionType.ADMISSION: Mode.ENFORCE,
            DecisionType.PLACEMENT: Mode.OBSERVE,
            DecisionType.MIG: Mode.RECOMMEND,
            DecisionType.SCALING: Mode.ENFORCE,
            DecisionType.SHARING: Mode.OBSERVE,
            DecisionType.RECLAIM: Mode.ENFORCE,
            DecisionType.OVERSUBSCRIPTION: Mode.OBSERVE,
        },
        expected_of_attainable=0.6,
        observed_of_expected=0.8,
        idle_minutes=45.0,
        currency="CHF",
        book=PriceBook({"H100-SXM5": 2.5, "A100-SXM4-80GB": 1.0}),
        scaling_min_replicas=2,
        scaling_max_replicas=9,
        topology_levels=("rack", "room"),
        per_workload=PerWorkload.FULL,
        actions={ActionType.SCALE: Permit(0.9, 60.0, 3, 600.0), ActionType.KUEUE_CHECK: Permit()},
        gate_deadline_seconds=30.0,
    )


def test_the_price_book_has_what_differs_by_node_and_what_is_charged() -> None:
    spot = {"label": "karpenter.sh/capacity-type", "value": "spot", "perGPUHour": "1.10"}
    row = {"product": "H100-SXM5", "perGPUHour": "2.50", "byNodeLabel": [spot], "chargedPerGPUHour": "3.00"}
    book = effective(policy("p", prices=[row], chargedPerMillionTokens="0.60")).book
    assert (book.charges, book.charge_per_million_tokens) == ({"H100-SXM5": 3.0}, 0.6)
    h100 = Device(load().resolve("H100-SXM5").gpu)  # type: ignore[union-attr]
    assert book.cost_per_hour(h100, 8, {}) == 20.0
    assert book.cost_per_hour(h100, 8, {"karpenter.sh/capacity-type": "on-demand"}) == 20.0
    assert book.cost_per_hour(h100, 8, {"karpenter.sh/capacity-type": "spot"}) == pytest.approx(8.8)
    assert book.cost_per_hour(None, 8, {}) is None


def test_a_price_of_an_unknown_product_prices_nothing() -> None:
    priced = [{"product": "H900", "perGPUHour": "1"}, {"product": "L40S", "perGPUHour": "2"}]
    assert effective(policy("p", prices=priced)).prices == {"L40S": 2.0}


def test_every_problem_of_a_policy_is_said() -> None:
    """An admin mends all of them at once, instead of one an attempt."""
    words = str(
        problem(
            PolicySpec.model_validate(
                {
                    "prices": [{"product": "H900", "perGPUHour": "1"}],
                    "actions": [{"type": "Scale"}, {"type": "Scale"}],
                }
            )
        )
    )
    first, second = words.split("; spec.")
    assert first.startswith("spec.prices[0].product")
    assert second.startswith("actions")


def test_an_empty_policy_is_the_default_but_for_its_name() -> None:
    made = effective(policy("p"))
    bounds = {"scaling_min_replicas": None, "scaling_max_replicas": None}
    assert replace(made, name=None, modes={}, **bounds) == effective(None)  # type: ignore[arg-type]
    assert (made.scaling_max_step, made.scaling_cooldown_seconds, made.scaling_headroom) == (0.5, 300.0, 0.1)
    assert (made.reclaim.window_seconds, made.reclaim.max_exemption_seconds) == (3600.0, 72 * 3600.0)
    assert made.learns


def test_bounds_of_scaling_sharing_reclaim_and_promises() -> None:
    made = effective(
        policy(
            "p",
            scaling={"maxStepPercent": 25, "cooldownSeconds": 90, "headroomPercent": 30},
            sharing={
                "methods": ["MPS"],
                "acrossNamespaces": True,
                "minKeptPercent": 80,
                "maxLatencyIncreasePercent": 20,
            },
            reclaim={
                "windowMinutes": 30,
                "maxExemptionHours": 24,
                "steps": [{"afterIdleMinutes": 120, "action": "Event", "graceMinutes": 15}],
            },
            oversubscription=[{"priorityClass": "batch", "maxPercent": 150}],
            learning="Off",
        )
    )
    assert (made.scaling_max_step, made.scaling_cooldown_seconds, made.scaling_headroom) == (0.25, 90.0, 0.3)
    assert made.sharing == SharingRules((SharingMethod.MPS,), True, 0.8, 0.2)
    assert made.reclaim == ReclaimRules((Rung(7200.0, ReclaimAction.EVENT, 900.0),), 1800.0, 86_400.0)
    assert made.oversubscription == {"batch": 1.5}
    assert not made.learns
