"""Which action carries which decision out: what is written, to what, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.act import proposals
from mfu.act.costs import ReplicaUse
from mfu.act.proposals import (
    CHECK_STATES,
    SCALABLE,
    SUSPENDABLE,
    SUSPENDS,
    action_of,
    layout_action,
    marking_of,
)
from mfu.act.types import Action, Addressee
from mfu.api.mfupolicy import ScalingDelivery
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.mig.relayout import Relayout
from mfu.decide.types import DecisionType, Outcome
from tests.act.builders import ENFORCING, action, decision, grant, said
from tests.builders.fleets import A100, H100

JOB = Addressee("Job", "train")
SERVE = Addressee("Deployment", "serve")


def only(*kinds: ActionType) -> Any:
    return replace(ENFORCING, actions={kind: each for kind, each in ENFORCING.actions.items() if kind in kinds})


def test_pods_that_wait_are_kept_to_their_node() -> None:
    made = action()
    assert (made.type, made.target, made.workload) == (ActionType.REQUIRED_AFFINITY, Addressee("Pod"), "team/w")
    assert made.words == "keep the pods to node n0"
    terms = made.change["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [
        {
            "matchExpressions": [
                {"key": "nvidia.com/gpu.product", "operator": "In", "values": [H100]},
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n0"]},
            ]
        }
    ]
    assert made.grants == (grant(),)


def test_where_binding_is_not_listed_they_prefer_it() -> None:
    for policy in (only(ActionType.PREFERRED_AFFINITY), only()):
        made = action(policy=policy)
        assert (made.type, made.target) == (ActionType.PREFERRED_AFFINITY, Addressee("Pod"))
        assert made.words == "let the pods prefer node n0"
        assert list(made.change["nodeAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]


@pytest.mark.parametrize("kind", sorted(SUSPENDABLE))
def test_without_pods_the_template_selects_the_product(kind: str) -> None:
    made = action(pods_wait=False, owner=Addressee(kind, "train"))
    assert (made.type, made.target) == (ActionType.NODE_SELECTOR, Addressee(kind, "train"))
    assert (
        made.words == f"select nvidia.com/gpu.product={H100} in the template of {kind} train: there is room on node n0"
    )
    assert made.change == {"nodeSelector": {"nvidia.com/gpu.product": H100}}


def test_a_selector_has_one_product_or_none() -> None:
    two = action(pods_wait=False, owner=JOB, grants=(grant("n0"), grant("n1")))
    assert two.change == {"nodeSelector": {"nvidia.com/gpu.product": H100}}
    mixed = (grant("n0"), replace(grant("n0"), kind=DeviceKind("", A100)))
    assert action_of(said(pods_wait=False, owner=JOB, grants=mixed)) is None


NOTHING = {
    "no place was found": said(decision(outcome=Outcome.NONE)),
    "nothing was granted": said(grants=()),
    "no pods and no owner": said(pods_wait=False),
    "no pods and an owner that can not be suspended": said(pods_wait=False, owner=SERVE),
    "replicas stay": said(decision(DecisionType.SCALING, Outcome.KEEP, replicas=3), owner=SERVE),
    "nothing to scale": said(decision(DecisionType.SCALING, Outcome.SCALE, replicas=3)),
    "a job has no replicas": said(decision(DecisionType.SCALING, Outcome.SCALE, replicas=3), owner=JOB),
    "an autoscaler follows the metric": said(
        decision(DecisionType.SCALING, Outcome.SCALE, replicas=3),
        owner=SERVE,
        policy=replace(ENFORCING, scaling_delivery=ScalingDelivery.METRIC),
    ),
    "no number of replicas": said(decision(DecisionType.SCALING, Outcome.SCALE), owner=SERVE),
    "a slice for nobody": said(decision(DecisionType.MIG, Outcome.RESHAPE, resource="nvidia.com/mig-1g.10gb")),
    "a slice for what runs": said(
        decision(DecisionType.MIG, Outcome.RESHAPE, resource="nvidia.com/mig-1g.10gb"), owner=SERVE
    ),
    "no slice": said(decision(DecisionType.MIG, Outcome.RESHAPE), owner=JOB),
    "the right size": said(decision(DecisionType.MIG, Outcome.KEEP), owner=JOB),
    "no check is listed": said(decision(DecisionType.ADMISSION, Outcome.ADMIT), policy=only()),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_write(name: str) -> None:
    assert action_of(NOTHING[name]) is None


@pytest.mark.parametrize("kind", sorted(SCALABLE))
def test_replicas(kind: str) -> None:
    owner = Addressee(kind, "serve")
    made = action(each=decision(DecisionType.SCALING, Outcome.SCALE, replicas=3), owner=owner)
    assert (made.type, made.target, made.change) == (ActionType.SCALE, owner, {"replicas": 3})
    assert made.words == f"scale {kind} serve to 3 replicas"
    assert made.grants == ()


def test_a_slice() -> None:
    each = decision(DecisionType.MIG, Outcome.RESHAPE, resource="nvidia.com/mig-1g.10gb")
    made = action(each=each, owner=JOB)
    assert (made.type, made.change) == (ActionType.MIG_RESOURCE, {"resource": "nvidia.com/mig-1g.10gb"})
    assert made.words == "ask for nvidia.com/mig-1g.10gb in the template of Job train"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.ADMIT, "Ready"), (Outcome.WARN, "Ready"), (Outcome.HOLD, "Retry"), (Outcome.REFUSE, "Rejected")],
)
def test_an_admission_answers_the_check(outcome: Outcome, state: str) -> None:
    made = action(each=decision(DecisionType.ADMISSION, outcome))
    assert (made.type, made.target) == (ActionType.KUEUE_CHECK, Addressee("Workload"))
    assert (made.change["state"], made.change["message"]) == (state, "why in words")
    assert made.words.startswith(f"answer {state} to Kueue")
    assert CHECK_STATES[outcome] == state


def test_the_digest_tells_what_would_be_written_where() -> None:
    def digest(**fields: Any) -> str:
        made: Action = action(**fields)
        return made.digest

    assert digest() == digest(workload="team/other")
    assert digest() != digest(node="n1")
    assert digest(pods_wait=False, owner=JOB) != digest(pods_wait=False, owner=Addressee("Job", "other"))
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert replace(action(), change=one).digest == replace(action(), change=other).digest


@pytest.mark.parametrize("outcome", [Outcome.ADMIT, Outcome.WARN])
def test_what_may_start_is_sent_to_its_place(outcome: Outcome) -> None:
    made = action(each=decision(DecisionType.ADMISSION, outcome), grants=(grant("n0"), grant("n1")))
    assert made.words == "answer Ready to Kueue and select node n0, node n1"
    assert made.change == {
        "state": "Ready",
        "message": "why in words",
        "nodeSelector": {"nvidia.com/gpu.product": H100},
    }
    assert made.grants == (), "a place is the placement's to promise"


@pytest.mark.parametrize(
    "fields",
    [
        {"each": decision(DecisionType.ADMISSION, Outcome.HOLD)},
        {"each": decision(DecisionType.ADMISSION, Outcome.ADMIT), "grants": ()},
        {"each": decision(DecisionType.ADMISSION, Outcome.ADMIT), "policy": only(ActionType.KUEUE_CHECK)},
    ],
    ids=["it waits", "no place", "no selectors"],
)
def test_else_kueue_is_answered_without_nodes(fields: dict[str, Any]) -> None:
    made = action(**fields)
    assert "nodeSelector" not in made.change
    assert made.words == f"answer {made.change['state']} to Kueue"


@pytest.mark.parametrize("kind", sorted(SUSPENDS))
def test_an_idle_owner_is_suspended_in_the_words_of_its_notice(kind: str) -> None:
    owner = Addressee(kind, "train")
    made = action(each=decision(DecisionType.RECLAIM, Outcome.SUSPEND), owner=owner)
    assert (made.type, made.target, made.change) == (ActionType.SUSPEND, owner, {"suspend": True})
    assert (made.words, made.decides) == (f"why in words ({kind} train)", DecisionType.RECLAIM)


@pytest.mark.parametrize("owner", [None, SERVE])
def test_what_can_not_be_suspended_is_not(owner: Addressee | None) -> None:
    assert action_of(said(decision(DecisionType.RECLAIM, Outcome.SUSPEND), owner=owner)) is None


def test_a_layout_is_for_the_one_whose_turn_is_first() -> None:
    change = Relayout("n0", "all-3g.40gb", {"nvidia.com/mig-3g.40gb": 4}, ("team/a", "team/b"), 0)
    made = layout_action(change)
    assert (made.type, made.workload, made.decides) == (ActionType.MIG_LAYOUT, "team/a", DecisionType.MIG)
    assert (made.target, made.words) == (Addressee("Node", "n0"), change.words)
    assert made.change == {"config": "all-3g.40gb", "wanted": {"nvidia.com/mig-3g.40gb": 4}}


def test_labels_of_a_selector_are_named_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "product_selector", lambda _: {"a": "1", "b": "2"})
    assert action(pods_wait=False, owner=JOB).words == (
        "select a=1, b=2 in the template of Job train: there is room on node n0"
    )


@pytest.mark.parametrize("kind", [each for each in DecisionType if each is not DecisionType.SCALING])
@pytest.mark.parametrize("outcome", [Outcome.SCALE, Outcome.KEEP, Outcome.NONE])
def test_pods_are_marked_for_answers_about_replicas_alone(kind: DecisionType, outcome: Outcome) -> None:
    uses = tuple(ReplicaUse(f"u{each}", f"p{each}", float(each)) for each in range(3))
    assert marking_of(said(decision(kind, outcome, replicas=1), owner=SERVE, replicas=uses)) is None
    none = said(decision(DecisionType.SCALING, Outcome.NONE, replicas=1), owner=SERVE, replicas=uses)
    assert marking_of(none) is None
    made = marking_of(said(decision(DecisionType.SCALING, Outcome.SCALE, replicas=2), owner=SERVE, replicas=uses))
    assert made is not None
    assert (made.target, made.change) == (Addressee("Pod"), {"costs": {"u0": -100}})
