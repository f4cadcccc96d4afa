"""When a gated pod is let go: no pod of a tenant waits longer than its policy says, whatever clocks do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.act.gates import HeldPod, deadlines, overdue
from mfu.act.types import Release
from mfu.api.mfupolicy import PolicySpec
from tests.act.builders import NOW

NAMESPACES = {"gold": {"tier": "gold"}, "rest": {}}


def spec(seconds: int, tier: str | None = None, *, priority: int = 0, valid: bool = True) -> PolicySpec:
    selector = {"matchLabels": {"tier": tier}} if tier else {}
    prices = [] if valid else [{"product": "H900", "perGPUHour": "1"}]
    gate = {"deadlineSeconds": seconds}
    return PolicySpec.model_validate(
        {"gate": gate, "namespaceSelector": selector, "priority": priority, "prices": prices}
    )


DEADLINES: dict[str, tuple[dict[str, PolicySpec | None], dict[str, float]]] = {
    "no policy": ({}, {}),
    "one for all": ({"p": spec(7)}, {"gold": 7.0, "rest": 7.0}),
    "the one that governs": ({"p": spec(7), "g": spec(9, "gold", priority=1)}, {"gold": 9.0, "rest": 7.0}),
    "one whose spec could not be read": ({"p": None}, {}),
    "an invalid one changes nothing": ({"p": spec(7, valid=False)}, {}),
    "an invalid one hides no valid one": (
        {"a": spec(7, priority=9, valid=False), "b": spec(8)},
        {"gold": 8, "rest": 8},
    ),
}


@pytest.mark.parametrize("name", DEADLINES)
def test_seconds_by_namespace(name: str) -> None:
    policies, want = DEADLINES[name]
    assert deadlines(policies, NAMESPACES) == want


def pod(name: str, age: float, namespace: str = "gold") -> HeldPod:
    return HeldPod(namespace, name, f"uid-{name}", NOW - age)


OVERDUE: dict[str, tuple[list[HeldPod], dict[str, float], list[str]]] = {
    "a second before": ([pod("a", 6.0)], {}, []),
    "at its deadline": ([pod("a", 7.0)], {}, ["gold/a"]),
    "another namespace has a minute": ([pod("a", 59.0, "rest")], {}, []),
    "and no more": ([pod("a", 60.0, "rest")], {}, ["rest/a"]),
    "seen to wait for longer than its age": ([pod("a", -3600.0)], {"uid-a": 7.0}, ["gold/a"]),
    "seen to wait for less": ([pod("a", 7.0)], {"uid-a": 1.0}, ["gold/a"]),
    "another pod was seen to wait": ([pod("a", 0.0)], {"uid-b": 99.0}, []),
    "just created": ([pod("a", 6.5)], {}, []),
    "the oldest first, then by name": (
        [pod("a", 8.0), pod("c", 9.0), pod("b", 9.0), pod("d", 1.0)],
        {},
        ["gold/b", "gold/c", "gold/a"],
    ),
}


@pytest.mark.parametrize("name", OVERDUE)
def test_overdue(name: str) -> None:
    held, waited, want = OVERDUE[name]
    assert [each.key for each in overdue(held, {"gold": 7.0}, NOW, waited)] == want


def test_a_pod_that_nobody_saw_wait_has_waited_nothing() -> None:
    """A clock that is behind the API server's by an hour, at a deadline of a second: the pod is not let go at once."""
    assert overdue([pod("a", -3600.0)], {"gold": 1.0}, NOW, {}) == ()


@given(st.lists(st.floats(-100.0, 100.0), max_size=6), st.floats(0.0, 200.0))
def test_nothing_is_held_for_ever(ages: list[float], passes: float) -> None:
    """Whoever is let go now is let go later as well, and after the deadline by our own watch everybody is."""
    held = [pod(f"p{index}", age) for index, age in enumerate(ages)]
    limits = {"gold": 7.0}
    now, later = overdue(held, limits, NOW, {}), overdue(held, limits, NOW + passes, {})
    assert set(now) <= set(later)
    assert set(overdue(held, limits, NOW, {each.uid: 7.0 for each in held})) == set(held)


def test_a_failed_hint_does_not_hold_back_the_plain_release() -> None:
    plain = Release("team", "p-0", "uid", "team/w", "its time is over")
    hinted = Release("team", "p-0", "uid", "team/w", "prefer node n0", {"nodeAffinity": {}})
    assert (plain.key, hinted.key) == ("team/p-0/uid/plain", "team/p-0/uid/hint")
