"""From what was decided to what may be done: what is proposed, what the cluster shows, and which gates open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final

from mfu.act.checks import UNDECLARED_SECONDS, CheckAnswer, answered, unheld
from mfu.act.costs import ReplicaUse
from mfu.act.proposals import Said, action_of, marking_of
from mfu.act.ranks import RankedPod, kept_to, rank_of, rank_order, seats
from mfu.act.templates import HeldOwner
from mfu.act.tracks import reserved
from mfu.act.types import (
    GATED,
    TEMPLATES,
    Acted,
    Action,
    Acts,
    Addressee,
    Circumstances,
    Guard,
    Proposal,
    Release,
    Rescale,
    Suspension,
    Tag,
    Track,
)
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import Share
from mfu.decide.fleet.fitting import Grant
from mfu.decide.fleet.order import Reserved
from mfu.decide.types import Decision, DecisionType, Outcome
from mfu.engine.evidence import evidence
from mfu.engine.plan import Event, WorkloadPlan
from mfu.engine.policies import InForce
from mfu.engine.shown import questions
from mfu.engine.snapshot import Assignment, Snapshot, WorkloadView
from mfu.engine.views import PodView

SENT: Final = "ActionSent"
WITHDRAWN: Final = "ActionWithdrawn"
"""Reasons of the events about what is done."""
_NEVER: Final = frozenset({Guard.NOT_ENFORCED, Guard.NOT_LISTED, Guard.GIVEN_UP})
"""Hindrances that no waiting ends: pods behind our gate would wait for nothing."""


def proposals_of(
    view: WorkloadView,
    plan: WorkloadPlan,
    decided: Sequence[Decision],
    *,
    grants: tuple[Grant, ...],
    held: HeldOwner | None = None,
    replicas: tuple[ReplicaUse, ...] = (),
) -> tuple[Proposal, ...]:
    """One for each of `decided` that something can be written for."""
    standing = plan.standing
    if standing is None or plan.frozen or view.spec is None:
        return ()
    reference = view.spec.target_ref
    owner = Addressee(reference.kind, reference.name) if reference else None
    found = []
    for each in decided:
        queued = held.queued if held else standing.queued
        said = Said(view.key, each, plan.policy, owner, standing.pending, grants, held, queued, standing.ask, replicas)
        made = [action for action in (action_of(said), marking_of(said)) if action is not None]
        confidence, observed_at = evidence(plan, each.type)
        for action in made:
            known = Proposal(action, plan.policy, standing.priority, confidence, observed_at)
            against = held.against(action.change) if held and action.type in TEMPLATES else None
            found.append(replace(known, gated=standing.gated, missing=standing.missing, against=against))
    return tuple(found)


def answers(snapshot: Snapshot, acts: Acts, now: float) -> tuple[CheckAnswer, ...]:
    """An answer to each question: that which is on its way, else Ready, with the dry run where there is one.

    One of a workload that nobody declared is given a moment, in which its ModelWorkload may come.
    """
    if ActionType.KUEUE_CHECK not in snapshot.switched_on:
        return ()
    keys = {question.key: key for key, question in questions(snapshot).items()}
    steps = {each.action.workload: each for each in acts.steps if each.action.type is ActionType.KUEUE_CHECK}
    found = []
    for question in (each.question for each in snapshot.queued if each.question and each.question.asked):
        key = keys.get(question.key, "")
        track, step = acts.remembered.tracks.get(Tag(key, ActionType.KUEUE_CHECK)), steps.get(key)
        if track is not None and track.on_its_way:
            found.append(answered(question, track.action.change, snapshot.flavors))
        elif step is not None:
            found.append(unheld(question, step.sentence))
        elif now - question.since >= UNDECLARED_SECONDS:
            found.append(unheld(question, "no decision of a policy that lists KueueCheck: it starts as it is"))
    return tuple(found)


def on_their_way(snapshot: Snapshot, around: Circumstances) -> tuple[Reserved, ...]:
    return reserved(snapshot.before.acted.tracks, around)


def governed(plans: Iterable[WorkloadPlan], force: InForce) -> list[Proposal]:
    """Under the policies of now: one that changed binds at once, also those who are not judged now."""
    return [replace(proposal, policy=force.of(plan.namespace)) for plan in plans for proposal in plan.proposals]


def releases(acts: Acts, claims: Assignment, switched_on: Set[ActionType]) -> tuple[Release, ...]:
    """Which gates open now: with the hint that is on its way, or as the pods are where none will ever come.

    All other pods wait until the deadline of their gate, which is the release keeper's to mind.
    """
    if not GATED & switched_on:
        return ()
    sent = (track.action for track in acts.remembered.tracks.values() if track.on_its_way)
    hints = {each.workload: each for each in sent if each.type in GATED and "nodeAffinity" in each.change}
    never = {
        step.action.workload: step.hindrance.message
        for step in acts.steps
        if step.hindrance is not None and step.hindrance.guard in _NEVER and step.action.type in GATED
    }
    found: list[Release] = []
    for key in sorted({*hints, *never}):
        pods, hint = claims.pods.get(key, ()), hints.get(key)
        if hint is None:
            found += [_release(pod, key, f"released as it is: {never[key]}", None) for pod in pods if pod.held]
        else:
            found += _hinted(key, hint, pods)
    return tuple(found)


def _hinted(key: str, hint: Action, pods: Sequence[PodView]) -> list[Release]:
    """Each pod with its own node where ranks are known, else all with the same hint."""
    taken = _seats(pods, hint.grants)
    order = rank_order([_ranked(pod) for pod in pods], taken)
    found = []
    for pod in pods:
        if not pod.held:
            continue
        words, affinity = hint.words, hint.change
        if pod.uid in taken:
            seat = taken[pod.uid]
            words = f"{hint.words}: rank {rank_of(pod.labels)} to node {seat.node}"
            affinity = kept_to(seat, hint.grants[0], hint.type)
        found.append(replace(_release(pod, key, words, affinity), rank_order=order))
    return found


def _seats(pods: Sequence[PodView], grants: Sequence[Grant]) -> dict[str, Share]:
    """A place is for all pods of a job, or for those that lacked one while others ran."""
    active = [pod for pod in pods if pod.active]
    all_of_them = seats([_ranked(pod) for pod in active], grants)
    return all_of_them or seats([_ranked(pod) for pod in active if pod.node is None], grants)


def _ranked(pod: PodView) -> RankedPod:
    return RankedPod(pod.uid, rank_of(pod.labels), sum(pod.gpus.values()))


def suspensions(acts: Acts, plans: Iterable[WorkloadPlan]) -> tuple[Suspension, ...]:
    """Owners to be suspended: those on their way, until the cluster shows it or their time is over."""
    found = _tracked(acts, ActionType.SUSPEND, plans)
    return tuple(
        Suspension(
            namespace=plan.namespace,
            kind=track.action.target.kind,
            name=track.action.target.name,
            workload=plan.key,
            words=track.action.words,
            not_younger_than=plan.memory.reclaim.announced_at,
        )
        for track, plan in found
        if track.on_its_way
    )


def _tracked(acts: Acts, kind: ActionType, plans: Iterable[WorkloadPlan]) -> Iterator[tuple[Track, WorkloadPlan]]:
    """What is remembered of that kind, each with its workload, in the order of `plans`."""
    tracks = {tag.workload: track for tag, track in acts.remembered.tracks.items() if tag.type is kind}
    return ((tracks[plan.key], plan) for plan in plans if plan.key in tracks) if tracks else iter(())


def placed(plans: Iterable[WorkloadPlan]) -> frozenset[str]:
    """Workloads for which a place is decided."""
    return frozenset(
        plan.key
        for plan in plans
        if any((each.type, each.outcome) == (DecisionType.PLACEMENT, Outcome.PLACE) for each in plan.decisions)
    )


def rescales(acts: Acts, plans: Iterable[WorkloadPlan]) -> tuple[Rescale, ...]:
    """Owners whose replicas are on their way to another number."""
    found = _tracked(acts, ActionType.SCALE, plans)
    return tuple(
        Rescale(
            namespace=plan.namespace,
            kind=track.action.target.kind,
            name=track.action.target.name,
            workload=plan.key,
            words=track.action.words,
            replicas=int(track.action.change["replicas"]),
            had=plan.standing.replicas,
        )
        for track, plan in found
        if track.on_its_way and plan.standing is not None and not plan.frozen
    )


def suspending(acted: Acted) -> frozenset[str]:
    """Workloads whose owner was sent a suspension within the last hour."""
    return frozenset(tag.workload for tag in acted.tracks if tag.type is ActionType.SUSPEND)


def _release(pod: PodView, key: str, words: str, affinity: Mapping[str, Any] | None) -> Release:
    return Release(pod.namespace, pod.name, pod.uid, key, words, affinity)


def told(plans: tuple[WorkloadPlan, ...], acts: Acts) -> tuple[WorkloadPlan, ...]:
    """With an event for what is done now, and for what is taken back."""
    events: dict[str, list[Event]] = defaultdict(list)
    for step in acts.steps:
        if not step.dry_run:
            events[step.action.workload].append(Event("Normal", SENT, step.action.words))
    for each in acts.withdrawals:
        events[each.action.workload].append(Event("Warning", WITHDRAWN, f"{each.reason}: {each.message}"))
    if not events:
        return plans
    return tuple(
        replace(plan, events=(*plan.events, *events[plan.key])) if plan.key in events else plan for plan in plans
    )
