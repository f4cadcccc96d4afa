"""Which policy is in force where, and what each one's status says: tables, precedence, and the last accepted spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.decide.policy import DEFAULT
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover
from mfu.engine.policies import InForce, in_force
from mfu.engine.views import PolicyView
from tests.builders.scenes import NOW, STEADY

NAMESPACES: Mapping[str, Mapping[str, str]] = {"a": {"team": "a"}, "b": {"team": "b"}, "c": {}}
THEN = "2027-01-15T07:00:00Z"


def policy(name: str, *, team: str | None = None, priority: int = 0, **fields: Any) -> PolicyView:
    """Of all namespaces, or those of one team."""
    selector = {} if team is None else {"matchLabels": {"team": team}}
    spec = PolicySpec.model_validate({"namespaceSelector": selector, "priority": priority, "currency": name[:1]})
    return replace(PolicyView(name, f"uid-{name}", 1, spec), **fields)


def spoiled(view: PolicyView) -> PolicyView:
    """The next generation of it, with a price for a product that does not exist."""
    bad = PolicySpec.model_validate({"prices": [{"product": "H100-SXM6", "perGPUHour": "2"}]})
    return replace(view, spec=bad, generation=view.generation + 1)


def governs(force: InForce) -> dict[str, str | None]:
    return {name: force.of(name).name for name in NAMESPACES}


def said(force: InForce) -> dict[str, str]:
    return {each.name: each.status.document()["summary"] for each in force.plans}


def conditions(force: InForce, name: str = "p") -> dict[str, tuple[str, str]]:
    plan = next(each for each in force.plans if each.name == name)
    return {each["type"]: (each["status"], each["reason"]) for each in plan.status.document()["conditions"]}


Row = tuple[list[PolicyView], dict[str, str | None], dict[str, str]]
ROWS: dict[str, Row] = {
    "none": ([], {"a": None, "b": None, "c": None}, {}),
    "one of all": ([policy("p")], {"a": "p", "b": "p", "c": "p"}, {"p": "InForce"}),
    "one of a team": ([policy("p", team="a")], {"a": "p", "b": None, "c": None}, {"p": "InForce"}),
    "one of nobody": ([policy("p", team="z")], {"a": None, "b": None, "c": None}, {"p": "Overruled"}),
    "the higher priority": (
        [policy("p"), policy("q", team="a", priority=1)],
        {"a": "q", "b": "p", "c": "p"},
        {"p": "InForce", "q": "InForce"},
    ),
    "a selector alone is no precedence": (
        [policy("p"), policy("q", team="a")],
        {"a": "p", "b": "p", "c": "p"},
        {"p": "InForce", "q": "Overruled"},
    ),
    "equal priority: the first by name": (
        [policy("q"), policy("p")],
        {"a": "p", "b": "p", "c": "p"},
        {"p": "InForce", "q": "Overruled"},
    ),
    "an invalid one changes nothing": (
        [policy("p"), spoiled(policy("q", priority=9))],
        {"a": "p", "b": "p", "c": "p"},
        {"p": "InForce", "q": "Invalid"},
    ),
    "one that the API refused to read": (
        [policy("p", spec=None, invalid="spec.floors: too large")],
        {"a": None, "b": None, "c": None},
        {"p": "Invalid"},
    ),
    "one without a spec": ([policy("p", spec=None)], {"a": None, "b": None, "c": None}, {"p": "Invalid"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_who_governs(name: str) -> None:
    policies, want, summaries = ROWS[name]
    force = in_force(policies, NAMESPACES, NOW)
    assert governs(force) == want
    assert said(force) == summaries
    for each in force.plans:
        assert each.status.read().summary == summaries[each.name]


def test_what_each_standing_says() -> None:
    policies = [policy("p"), policy("q", team="z"), spoiled(policy("r"))]
    force = in_force(policies, NAMESPACES, NOW)
    assert conditions(force, "p") == {"Accepted": ("True", "PolicyValid"), "Ready": ("True", "Ready")}
    assert conditions(force, "q") == {"Accepted": ("True", "PolicyValid"), "Ready": ("False", "Overlaps")}
    assert conditions(force, "r") == {"Accepted": ("False", "InvalidPolicy"), "Ready": ("False", "NotReady")}
    invalid = next(each for each in force.plans if each.name == "r").status.document()
    assert "spec.prices[0].product is 'H100-SXM6'" in invalid["conditions"][0]["message"]
    assert "no spec was accepted before" in invalid["conditions"][1]["message"]
    assert [each.status.document()["matchedNamespaces"] for each in force.plans] == [3, 0, 0]


def test_the_last_accepted_spec_stays_in_force_while_the_present_one_is_invalid() -> None:
    good = policy("p", team="a")
    first = in_force([good], NAMESPACES, NOW)
    bad = replace(spoiled(good), status=first.plans[0].status)
    second = in_force([bad], NAMESPACES, NOW + 60, Handover(accepted=first.accepted))
    assert governs(second) == governs(first) == {"a": "p", "b": None, "c": None}
    status = second.plans[0].status.document()
    assert (status["summary"], status["matchedNamespaces"], status["observedGeneration"]) == ("Invalid", 1, 2)
    assert status["lastAppliedAt"] == first.plans[0].status.document()["lastAppliedAt"]
    assert "the last accepted spec stays in force and governs 1 namespaces" in status["conditions"][1]["message"]
    third = in_force(
        [replace(bad, status=second.plans[0].status)], NAMESPACES, NOW + 120, Handover(accepted=second.accepted)
    )
    assert governs(third) == governs(first)
    mended = replace(policy("p", team="b"), generation=3, status=third.plans[0].status)
    fourth = in_force([mended], NAMESPACES, NOW + 180, Handover(accepted=third.accepted))
    assert governs(fourth) == {"a": None, "b": "p", "c": None}
    assert fourth.plans[0].status.document()["lastAppliedAt"] != status["lastAppliedAt"]


def test_a_new_policy_of_the_same_name_inherits_nothing() -> None:
    first = in_force([policy("p")], NAMESPACES, NOW)
    other = replace(spoiled(policy("p")), uid="uid-another")
    assert governs(in_force([other], NAMESPACES, NOW, Handover(accepted=first.accepted))) == {
        "a": None,
        "b": None,
        "c": None,
    }


def test_a_policy_that_is_gone_is_forgotten() -> None:
    first = in_force([policy("p"), policy("q")], NAMESPACES, NOW)
    assert set(in_force([policy("q")], NAMESPACES, NOW, Handover(accepted=first.accepted)).accepted) == {"uid-q"}


APPLIED: dict[str, tuple[PolicyView, dict[str, Any], str | None]] = {
    "new": (policy("p"), {}, "2027-01-15T08:00:00Z"),
    "in force as before": (
        policy("p"),
        {"observedGeneration": 1, "summary": "InForce", "lastAppliedAt": THEN},
        THEN,
    ),
    "another generation": (
        policy("p", generation=2),
        {"observedGeneration": 1, "summary": "InForce", "lastAppliedAt": THEN},
        "2027-01-15T08:00:00Z",
    ),
    "no longer overruled": (
        policy("p"),
        {"observedGeneration": 1, "summary": "Overruled", "lastAppliedAt": THEN},
        "2027-01-15T08:00:00Z",
    ),
    "invalid from the start never came into force": (spoiled(policy("p")), {}, None),
    "still invalid": (spoiled(policy("p")), {"observedGeneration": 2, "summary": "Invalid"}, None),
    "turned invalid": (
        spoiled(policy("p")),
        {"observedGeneration": 1, "summary": "InForce", "lastAppliedAt": THEN},
        THEN,
    ),
}


@pytest.mark.parametrize("name", APPLIED)
def test_when_it_came_into_force(name: str) -> None:
    view, before, want = APPLIED[name]
    plan = in_force([replace(view, status=Packed(PolicyStatus, before))], NAMESPACES, NOW).plans[0]
    assert plan.status.read().last_applied_at == want


def test_transition_times_stay_while_nothing_turns() -> None:
    first = in_force([policy("p")], NAMESPACES, NOW).plans[0].status
    second = in_force([policy("p", status=first)], NAMESPACES, NOW + 60).plans[0].status
    assert second == first
    third = in_force([replace(spoiled(policy("p")), status=first)], NAMESPACES, NOW + 60).plans[0].status.document()
    times = {each["type"]: each["lastTransitionTime"] for each in third["conditions"]}
    assert set(times.values()) == {"2027-01-15T08:01:00Z"}


def test_idle_gpus_are_priced_by_the_policy_of_most_namespaces() -> None:
    assert in_force([], NAMESPACES, NOW).cluster is DEFAULT
    assert in_force([policy("p", team="z")], NAMESPACES, NOW).cluster is DEFAULT
    assert in_force([policy("p"), policy("q", team="a", priority=1)], NAMESPACES, NOW).cluster.name == "p"
    tied = [policy("q", team="b"), policy("p", team="a")]
    assert in_force(tied, NAMESPACES, NOW).cluster.name == "p"


policies = st.lists(
    st.builds(
        policy,
        st.sampled_from("pqrs"),
        team=st.sampled_from([None, "a", "b", "z"]),
        priority=st.integers(0, 2),
    ),
    unique_by=lambda each: each.name,
)


@STEADY
@given(policies, st.randoms(use_true_random=False))
def test_the_order_of_policies_is_nothing_and_each_namespace_has_one(mine: list[PolicyView], random: Any) -> None:
    one, other = in_force(mine, NAMESPACES, NOW), in_force(random.sample(mine, len(mine)), NAMESPACES, NOW)
    assert governs(one) == governs(other)
    assert said(one) == said(other)
    assert one.cluster == other.cluster
    matched = {each.name: each.status.document()["matchedNamespaces"] for each in one.plans}
    assert sum(matched.values()) == sum(1 for name in governs(one).values() if name is not None)
    for view in mine:
        assert (said(one)[view.name] == "InForce") is (matched[view.name] > 0)


def enforcing(name: str, *actions: str) -> PolicyView:
    spec = PolicySpec.model_validate({"modes": {"scaling": "Enforce"}, "actions": [{"type": each} for each in actions]})
    return PolicyView(name, f"uid-{name}", 1, spec)


def test_a_policy_that_enforces_nothing_says_nothing_of_it() -> None:
    assert "Enforced" not in conditions(in_force([policy("p")], NAMESPACES, NOW))


def test_enforce_in_name_only_is_said_in_a_condition_and_an_event_once() -> None:
    first = in_force([enforcing("p")], NAMESPACES, NOW)
    assert conditions(first)["Enforced"] == ("False", "InNameOnly")
    assert conditions(first)["Ready"] == ("True", "Ready")
    (event,) = first.plans[0].events
    assert (event.type, event.reason) == ("Warning", "InNameOnly")
    assert event.message.startswith("modes.scaling is Enforce but actions lists none of Scale")
    before = Handover(accepted=first.accepted, policies={each.uid: each for each in first.plans})
    again = in_force([enforcing("p")], NAMESPACES, NOW + 30, before)
    assert again.plans[0].events == ()
    written = replace(enforcing("p"), status=first.plans[0].status)
    assert in_force([written], NAMESPACES, NOW + 60).plans[0].events == ()


def test_another_reason_is_told_anew() -> None:
    written = replace(enforcing("p", "Scale"), status=in_force([enforcing("p")], NAMESPACES, NOW).plans[0].status)
    (event,) = in_force([written], NAMESPACES, NOW + 60).plans[0].events
    assert "scaling.delivery is Metric" in event.message
