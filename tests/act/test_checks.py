"""What Kueue is answered: the decision's word, and never what would strand a workload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.act.checks import (
    RETRY_SECONDS,
    UNDECLARED_SECONDS,
    CheckQuestion,
    CheckState,
    PodSet,
    answered,
    overdue,
    unheld,
)

MAIN = PodSet("main", flavors=("h100",))
ASKED = CheckQuestion("team", "job-a", "uid", "1", "mfu", since=100.0, pod_sets=(MAIN,))
FLAVORS = {"h100": {"product": "H100"}}
READY: dict[str, Any] = {"state": "Ready", "message": "fits", "nodeSelector": {"product": "H100", "host": "n0"}}


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({}, True),
        ({"evicted": True}, False),
        ({"reserved": False}, False),
        ({"active": False}, False),
        *(({"state": each}, False) for each in CheckState if each is not CheckState.PENDING),
    ],
)
def test_only_a_pending_check_that_holds_quota_and_is_not_evicted_is_answered(
    change: dict[str, Any], asked: bool
) -> None:
    assert replace(ASKED, **change).asked is asked


@pytest.mark.parametrize(("state", "seconds"), [("Ready", 0), ("Rejected", 0), ("Retry", RETRY_SECONDS)])
def test_when_to_ask_again_is_always_said(state: str, seconds: int) -> None:
    entry = answered(ASKED, {"state": state, "message": "why"}, FLAVORS).entry
    assert entry == {"name": "mfu", "state": state, "message": "why", "requeueAfterSeconds": seconds}
    assert unheld(ASKED, "why").entry["requeueAfterSeconds"] == 0


def test_labels_are_added_and_those_of_the_flavor_are_not_said_twice() -> None:
    entry = answered(ASKED, READY, FLAVORS).entry
    assert entry["podSetUpdates"] == [{"name": "main", "nodeSelector": {"host": "n0"}}]
    assert entry["message"] == "fits"


@pytest.mark.parametrize(
    ("pod_set", "flavors", "why"),
    [
        (MAIN, {"h100": {"product": "A100"}}, "product is A100 already, decided was H100"),
        (MAIN, {}, "the labels of flavor h100 are not known"),
        (replace(MAIN, selector={"host": "n1"}), FLAVORS, "host is n1 already, decided was n0"),
        (replace(MAIN, topology=True), FLAVORS, "Kueue chooses the hosts itself"),
    ],
)
def test_what_contradicts_names_no_nodes_and_may_start(
    pod_set: PodSet, flavors: dict[str, dict[str, str]], why: str
) -> None:
    other = PodSet("other", flavors=("h100",))
    found = answered(replace(ASKED, pod_sets=(other, pod_set)), READY, flavors)
    assert (found.state, "podSetUpdates" in found.entry) == (CheckState.READY, False)
    assert why in found.message


def test_who_waits_too_long_is_overdue_by_either_clock() -> None:
    limits = {"team": 30.0}
    assert overdue([ASKED], limits, 129.0, {}) == ()
    assert overdue([ASKED], limits, 130.0, {}) == (ASKED,)
    assert overdue([ASKED], limits, 0.0, {ASKED.key: 30.0}) == (ASKED,)
    assert overdue([replace(ASKED, evicted=True)], limits, 1000.0, {}) == ()
    assert overdue([ASKED], {}, 159.0, {}) == () != overdue([ASKED], {}, 160.0, {}), "60 s without a policy"


def test_a_question_is_known_by_the_workload_and_its_uid() -> None:
    assert ASKED.key == "team/job-a/uid"
    assert UNDECLARED_SECONDS == 5.0


def test_a_message_is_as_long_as_kueue_takes() -> None:
    entry = unheld(ASKED, "x" * 40_000).entry
    assert len(entry["message"]) == 32_768


def test_why_no_nodes_are_named_is_said_behind_the_answer() -> None:
    found = answered(replace(ASKED, pod_sets=(replace(MAIN, topology=True),)), READY, FLAVORS)
    assert found.message == ("fits; no nodes are named: Kueue chooses the hosts itself (topology-aware scheduling)")


def test_a_pod_set_to_which_nothing_is_added_is_not_named() -> None:
    full = PodSet("full", selector={"host": "n0"}, flavors=("h100",))
    found = answered(replace(ASKED, pod_sets=(full, MAIN)), READY, FLAVORS)
    assert found.selectors == {"main": {"host": "n0"}}


def test_who_was_not_seen_waiting_waits_by_its_own_clock() -> None:
    assert overdue([ASKED], {"team": 1.0}, 100.5, {}) == ()
