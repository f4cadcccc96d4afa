"""The way of a placement: what is said of each step, and what is not known."""

from __future__ import annotations

import pytest

from mfu.api.conditions import Condition
from mfu.api.decisions import Decision
from mfu.engine.acting import SENT, WITHDRAWN
from mfu.show.path import SeenPod, ToldEvent, Traces, way

DECIDED = Decision.model_validate(
    {
        "type": "Placement",
        "outcome": "Place",
        "mode": "Enforce",
        "reason": "FitsOneDomain",
        "evaluatedAt": "2026-11-26T06:00:00Z",
    }
)
AT, LATER = "2026-11-26T06:00:01Z", "2026-11-26T06:01:01Z"
EVENT = ToldEvent(AT, SENT, "keep the pods to node n0")
BACK = ToldEvent(LATER, WITHDRAWN, "NotSeen: not seen within 60 s")


def pod(name: str, node: str | None = None, *, hint: str = "keep the pods to node n0", gated: bool = False) -> SeenPod:
    return SeenPod(name, node, hint, gated)


def said(traces: Traces, *decisions: Decision) -> dict[str, str]:
    return {point.step: point.words for point in way(decisions, traces)}


def test_all_four_steps() -> None:
    found = said(Traces([EVENT], [pod("a", "n0"), pod("b")]), DECIDED)
    assert list(found) == ["decided", "allowed", "sent", "seen"]
    assert found["decided"] == "Place (FitsOneDomain) since 2026-11-26T06:00:00Z"
    assert found["allowed"].startswith("by the mode (Enforce) and the policy's actions")
    assert found["sent"] == f"{AT} keep the pods to node n0"
    assert found["seen"] == "1 of 2 pods with the hint have a node (n0)"


def test_once_all_run_the_way_stays_visible() -> None:
    found = said(Traces([EVENT], [pod("a", "n0")]))
    assert found["decided"].startswith("nothing more")
    assert found["seen"] == "1 of 1 pods with the hint have a node (n0)"


def test_what_was_taken_back_is_the_last_word() -> None:
    assert said(Traces([BACK, EVENT], []), DECIDED)["sent"] == f"taken back {LATER}: NotSeen: not seen within 60 s"


@pytest.mark.parametrize("mode", ["Recommend", "Observe"])
def test_a_mode_that_allows_nothing_says_so(mode: str) -> None:
    found = said(Traces([], []), Decision.model_validate({**DECIDED.to_api(), "mode": mode}))
    assert found["allowed"] == f"no: modes.placement is {mode}, so nothing is sent"
    assert found["sent"].startswith("nothing in the last hour")
    assert found["seen"] == "no pod that was behind the gate"


def test_pods_behind_the_gate_are_counted() -> None:
    waiting = [pod("a", hint="", gated=True), pod("b", hint="", gated=True)]
    assert said(Traces([], waiting), DECIDED)["seen"] == "2 behind the gate"
    both = [pod("a", "n0"), *waiting[1:]]
    assert said(Traces([], both), DECIDED)["seen"] == "1 of 1 pods with the hint have a node (n0), 1 behind the gate"


def test_what_may_not_be_read_is_unknown() -> None:
    found = said(Traces(), DECIDED)
    assert (found["sent"], found["seen"]) == ("Unknown", "Unknown")


def test_many_nodes_are_counted() -> None:
    pods = [pod(f"p{row}", f"n{row}") for row in range(6)]
    assert said(Traces([], pods), DECIDED)["seen"].endswith("(n0, n1, n2, n3 and 2 more)")
    assert said(Traces([], [pod("a")]), DECIDED)["seen"].endswith("(none yet)")


def test_of_a_workload_without_any_nothing_is_said() -> None:
    assert way((), Traces([], [])) == ()
    assert way((), Traces([ToldEvent(AT, "GateOpened", "x")], [pod("a", "n0", hint="")])) == ()


def test_a_policy_that_lists_no_action_allows_nothing() -> None:
    words = "policy p: modes.placement is Enforce but actions lists none of PreferredAffinity: nothing is done"
    known = {"type": "Enforced", "status": "False", "reason": "InNameOnly", "message": words}
    condition = Condition.model_validate({**known, "lastTransitionTime": AT})
    allowed = {each.step: each.words for each in way([DECIDED], Traces(), [condition])}["allowed"]
    assert allowed == f"no: {words}"
    other = condition.model_copy(update={"message": words.replace("placement", "scaling")})
    assert not way([DECIDED], Traces(), [other])[1].words.startswith("no")
