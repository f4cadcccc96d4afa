"""What a held owner's template may be told: only what it does not say itself, and only while nothing of it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.act.costs import PodMark
from mfu.act.guards import Guarded, hindrance
from mfu.act.proposals import Said, action_of
from mfu.act.queue_gates import GatedOwner, QueueRelease
from mfu.act.templates import HeldOwner, HeldTemplate, TemplateHint, sliceable, template_hints
from mfu.act.types import TEMPLATES, Acted, Acts, Addressee, Guard, Rescale, Suspension
from mfu.api.powers import ActionType
from mfu.cluster.held import held_owner
from mfu.decide.fleet.standing import Need
from mfu.decide.types import DecisionType, Outcome
from tests.act.builders import ENFORCING, circumstances, decision, grant, known, proposal, track
from tests.builders.fleets import H100
from tests.builders.held import MADE, PRODUCT, QUEUE, job, pods

JOB = Addressee("Job", "train")
SELECTS = {"nodeSelector": {PRODUCT: H100}}
GROUPS = Need(16, piece=2, tensor=8)


def owner(*templates: HeldTemplate, **fields: Any) -> HeldOwner:
    made = HeldOwner("team", "Job", "train", "u", templates=templates or (HeldTemplate(gpus={"nvidia.com/gpu": 8}),))
    return replace(made, **fields)


def said(**fields: Any) -> Said:
    made = Said("team/w", decision(), ENFORCING, JOB, grants=(grant(),), held=owner())
    return replace(made, **fields)


def test_the_product_is_selected_and_never_a_node() -> None:
    made = action_of(said())
    assert made is not None
    assert (made.type, made.change) == (ActionType.NODE_SELECTOR, SELECTS)
    assert made.words == f"select {PRODUCT}={H100} in the template of Job train: there is room on node n0"


def test_where_kueue_takes_it_up_it_is_told_what_belongs_together_and_no_node() -> None:
    made = action_of(said(queued=True, ask=GROUPS))
    assert made is not None
    assert made.type is ActionType.TOPOLOGY_ANNOTATION
    assert made.change["annotations"] == {
        "kueue.x-k8s.io/podset-slice-required-topology": "kubernetes.io/hostname",
        "kueue.x-k8s.io/podset-slice-size": "4",
    }
    assert action_of(said(queued=True, ask=Need(16, piece=8, tensor=8))) is None, "each pod holds a whole group"


def test_what_stands_there_is_not_proposed() -> None:
    assert action_of(said(held=owner(HeldTemplate(selector={PRODUCT: H100, "zone": "a"})))) is None


@pytest.mark.parametrize(
    ("templates", "against"),
    [
        ((HeldTemplate(),), None),
        ((HeldTemplate(selector={"zone": "a"}),), None),
        ((HeldTemplate(), HeldTemplate(selector={PRODUCT: "A100"})), "is A100 in its template already"),
    ],
)
def test_its_own_words_are_never_changed(templates: tuple[HeldTemplate, ...], against: str | None) -> None:
    found = owner(*templates).against(SELECTS)
    assert (found is None) if against is None else (against in (found or ""))


def test_guards_hold_back_what_runs_and_what_contradicts() -> None:
    made = action_of(said())
    assert made is not None

    def guard(held: frozenset[str] = frozenset({"team/w"}), **fields: Any) -> Guard | None:
        found = hindrance(Guarded(proposal(made, **fields), track(made, expected_by=None), circumstances(held=held)))
        return None if found is None else found.guard

    assert guard() is Guard.DWELLING, "passed all that is asked of the template"
    assert guard(held=frozenset()) is Guard.NOT_HELD
    assert guard(against="x is y") is Guard.OWN_WORDS


def test_a_slice_is_asked_for_where_each_pod_has_one_device() -> None:
    shaped = decision(DecisionType.MIG, Outcome.RESHAPE, resource="nvidia.com/mig-1g.10gb")
    one = owner(HeldTemplate(gpus={"nvidia.com/gpu": 1}))
    made = action_of(said(decision=shaped, held=one))
    assert made is not None
    assert made.type is ActionType.MIG_RESOURCE
    assert action_of(said(decision=shaped)) is None, "eight GPUs are not one slice"
    done = owner(HeldTemplate(gpus={"nvidia.com/mig-1g.10gb": 1}))
    assert action_of(said(decision=shaped, held=done)) is None
    for kind in ("JobSet", "TrainJob"):
        assert action_of(said(decision=shaped, held=one, owner=Addressee(kind, "train"))) is None


def test_hints_are_of_what_is_on_its_way_and_not_there_yet() -> None:
    made = action_of(said())
    assert made is not None
    acts = Acts(remembered=known(track(made)))
    (hint,) = template_hints(acts, {"team/w": owner()})
    assert (hint.type, hint.change, hint.words) == (made.type, made.change, made.words)
    assert template_hints(acts, {}) == ()
    assert template_hints(acts, {"team/w": owner(HeldTemplate(selector={PRODUCT: H100}))}) == ()
    assert template_hints(acts, {"team/w": owner(name="other")}) == (), "its ModelWorkload aims elsewhere now"
    assert template_hints(Acts(remembered=Acted()), {"team/w": owner()}) == ()
    assert template_hints(Acts(remembered=known(track(made, expected_by=None))), {"team/w": owner()}) == ()


@pytest.mark.parametrize("kind", MADE)
def test_who_is_held(kind: str) -> None:
    item = MADE[kind](namespace="team", uid="u", labels=QUEUE)
    found = held_owner(kind)(item)
    assert found is not None
    assert (found.key, found.queued) == (("team", kind, "train"), True)
    assert [each.gpus for each in found.templates] == [{"nvidia.com/gpu": 8}], "parts without GPUs are nothing to us"


RUNNING: dict[str, list[dict[str, Any]]] = {
    "Job": [{"startTime": "2026-01-01T00:00:00Z"}, {"active": 1}, {"conditions": [{"type": "Complete"}]}],
    "JobSet": [{"replicatedJobsStatus": [{"name": "workers", "active": 1}]}],
    "TrainJob": [{"jobsStatus": [{"name": "node", "active": 2}]}],
    "LeaderWorkerSet": [{"replicas": 1}],
}


@pytest.mark.parametrize("kind", MADE)
def test_who_is_not(kind: str) -> None:
    taken_up: dict[str, Any] = {"replicas": 2} if kind == "LeaderWorkerSet" else {"suspend": False}
    project = held_owner(kind)
    assert project(MADE[kind](namespace="team", uid="u", **taken_up)) is None
    for status in RUNNING[kind]:
        assert project({**MADE[kind](namespace="team", uid="u"), "status": status}) is None
    assert project(MADE[kind](namespace="team", uid="u", deletionTimestamp="2026-01-01T00:00:00Z")) is None


def test_who_asks_for_no_gpu_is_nothing_to_us() -> None:
    assert held_owner("Job")(job(template=pods(0), namespace="team", uid="u")) is None


def test_actions_on_templates_are_none_on_pods() -> None:
    assert {ActionType.NODE_SELECTOR, ActionType.TOPOLOGY_ANNOTATION, ActionType.MIG_RESOURCE} == TEMPLATES


def test_all_templates_have_to_say_it_and_all_to_ask_for_one() -> None:
    selects = HeldTemplate(selector={PRODUCT: H100}, gpus={"nvidia.com/gpu": 1})
    bare = HeldTemplate(gpus={"nvidia.com/gpu": 8})
    assert owner(selects).says(SELECTS) and not owner(selects, bare).says(SELECTS)
    assert sliceable(owner(selects)) and not sliceable(owner(selects, bare))
    nothing = replace(owner(), templates=())
    assert not nothing.says(SELECTS) and not sliceable(nothing)


def test_what_is_written_is_known_by_whom_it_is_for() -> None:
    hint = TemplateHint(owner(), "team/w", ActionType.NODE_SELECTOR, "select", SELECTS)
    assert hint.key == "team/Job/train/u/NodeSelector"
    assert QueueRelease("team", "Job", "train", "u", "team/w", "may").key == "queue/team/Job/train/u"
    assert GatedOwner("team", "Job", "train", "u", 0.0).key == "team/Job/train"
    assert Suspension("team", "Job", "train", "team/w", "idle", 0.0).key == "team/Job/train"
    assert Rescale("team", "Deployment", "serve", "team/w", "scale", 3, 2).key == "scale/team/Deployment/serve"
    assert PodMark("team", "p", "u", "team/w", None, "back").key == "team/p/u/cost"
