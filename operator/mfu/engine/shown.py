"""What the cluster shows at the moment of acting: who waits, who is held, and what of that which was sent has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

import numpy as np

from mfu.act.checks import CheckQuestion
from mfu.act.templates import HeldOwner
from mfu.act.types import (
    TEMPLATES,
    Circumstances,
    Track,
)
from mfu.api.powers import ActionType
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import DecisionType
from mfu.engine.layouts import made
from mfu.engine.snapshot import Snapshot


def circumstances(
    snapshot: Snapshot, standings: Iterable[Standing], held: Mapping[str, HeldOwner], now: float
) -> Circumstances:
    """`held`: as `held_owners` finds them."""
    known = {each.key: each for each in standings}
    tracks = snapshot.before.acted.tracks
    read = snapshot.fleet.observed_at
    newest = float(np.nanmax(read)) if np.isfinite(read).any() else None
    asked = frozenset(questions(snapshot))
    marks = any(tag.type is ActionType.POD_DELETION_COST for tag in tracks)
    costs = {pod.uid: pod.deletion_cost for pod in snapshot.pods} if marks else {}
    shown = _Shown(asked, held, costs)
    return Circumstances(
        now=now,
        telemetry_at=newest,
        seen=frozenset(
            tag
            for tag, track in tracks.items()
            if made(track, snapshot.nodes) or _slowed(track, snapshot) or shown.of(track, known.get(tag.workload))
        ),
        asked=asked,
        held=held.keys(),
        switched_on=snapshot.switched_on,
    )


def _slowed(track: Track, snapshot: Snapshot) -> bool:
    """Whether the node carries our soft taint."""
    if track.action.type is not ActionType.PREFER_NO_SCHEDULE:
        return False
    return any(node.name == track.action.target.name and node.slow_until for node in snapshot.nodes)


def held_owners(snapshot: Snapshot) -> dict[str, HeldOwner]:
    """Owners of which nothing runs, by workload."""
    held = {each.key: each for each in snapshot.held}
    if not held:
        return {}
    targets = ((view, view.spec.target_ref) for view in snapshot.workloads if view.spec and view.spec.target_ref)
    found = ((view.key, held.get((view.namespace, target.kind, target.name))) for view, target in targets)
    return {key: owner for key, owner in found if owner is not None}


def questions(snapshot: Snapshot) -> dict[str, CheckQuestion]:
    """What Kueue asks now, by workload."""
    waiting = {(each.namespace, *each.owner): each.question for each in snapshot.queued if each.question}
    found: dict[str, CheckQuestion] = {}
    if not waiting:
        return found
    for view in snapshot.workloads:
        reference = view.spec.target_ref if view.spec else None
        question = waiting.get((view.namespace, reference.kind, reference.name)) if reference else None
        if question is not None and question.asked:
            found[view.key] = question
    return found


@dataclass(frozen=True, slots=True)
class _Shown:
    """Whether the cluster is as an action wanted it."""

    asked: Set[str]
    held: Mapping[str, HeldOwner]
    costs: Mapping[str, int | None]
    """Deletion cost by uid of a pod."""

    def of(self, track: Track, standing: Standing | None) -> bool:
        action = track.action
        if action.type is ActionType.KUEUE_CHECK:
            return action.workload not in self.asked
        if action.type is ActionType.POD_DELETION_COST:
            # A pod that is gone is as the mark wanted it.
            return all(self.costs.get(uid, cost) == cost for uid, cost in action.change["costs"].items())
        if action.type in TEMPLATES:
            # What is taken up before it was told runs as it is: there is nothing left to do.
            owner = self.held.get(action.workload)
            return owner is None or owner.says(action.change)
        if standing is None or action.type in (ActionType.MIG_LAYOUT, ActionType.PREFER_NO_SCHEDULE):
            return False
        if action.decides is DecisionType.PLACEMENT:
            return standing.ask is None
        if action.decides is DecisionType.SCALING:
            return standing.replicas == int(action.change["replicas"])
        if action.decides is DecisionType.RECLAIM:
            return not standing.holds and not standing.pending
        return False
