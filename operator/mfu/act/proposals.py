"""Which action would carry a decision out: a table from what was decided to what would be written, and to what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mfu.act.checks import CheckState
from mfu.act.costs import ReplicaUse, marks
from mfu.act.templates import ANNOTATIONS, RESOURCE, SELECTOR, HeldOwner, sliceable
from mfu.act.types import TEMPLATES, Action, Addressee
from mfu.api.mfupolicy import ScalingDelivery
from mfu.api.powers import ActionType
from mfu.decide.fleet.fitting import Grant
from mfu.decide.fleet.mig.relayout import Relayout
from mfu.decide.fleet.placement import (
    preferred,
    product_selector,
    required,
    sayable,
    selector,
    topology_annotations,
    where,
)
from mfu.decide.fleet.standing import Need
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Outcome

SUSPENDABLE: Final = frozenset({"Job", "JobSet", "LeaderWorkerSet", "TrainJob"})
"""Owners whose pod template can be changed while they are suspended; a LeaderWorkerSet while it has no replicas."""
RESIZABLE: Final = frozenset({"Job", "LeaderWorkerSet"})
"""Those of which that holds for what its containers ask for: JobSet's webhook and TrainJob's own rules refuse it."""
SUSPENDS: Final = frozenset({"Job", "JobSet", "TrainJob", "RayJob", "PyTorchJob", "MPIJob"})
"""Owners that can be suspended: what they had is gone from the nodes, and comes back as it was."""
MARKABLE: Final = frozenset({"Deployment"})
"""Owners by ReplicaSets, which look at what ending a pod costs."""
SCALABLE: Final = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})
"""Owners with a scale subresource."""
CHECK_STATES: Final[Mapping[Outcome, CheckState]] = {
    Outcome.ADMIT: CheckState.READY,
    Outcome.WARN: CheckState.READY,
    Outcome.HOLD: CheckState.RETRY,
    Outcome.REFUSE: CheckState.REJECTED,
}
"""What an admission is called by Kueue."""


@dataclass(frozen=True, slots=True)
class Said:
    """One decision about one workload, with what can be written to."""

    workload: str
    decision: Decision
    policy: EffectivePolicy
    owner: Addressee | None = None
    """What the workload's targetRef names."""
    pods_wait: bool = False
    grants: tuple[Grant, ...] = ()
    held: HeldOwner | None = None
    """The owner where nothing of it runs."""
    queued: bool = False
    """Kueue takes it up."""
    ask: Need | None = None
    """What it lacks."""
    replicas: tuple[ReplicaUse, ...] = ()
    """Its running pods and what each does; empty where that is not known of all of them."""


def action_of(said: Said) -> Action | None:
    """None where a decision asks for nothing to be written, or where nothing of that kind can be written to."""
    make = _MAKERS.get((said.decision.type, said.decision.outcome))
    made = make(said) if make else None
    # What stands there already is nobody's to write.
    return None if made is None or (made.type in TEMPLATES and _told(said, made)) else made


def marking_of(said: Said) -> Action | None:
    """Beside what an answer about replicas asks for itself: which of its pods go first."""
    if said.decision.type is not DecisionType.SCALING or said.decision.outcome not in (Outcome.SCALE, Outcome.KEEP):
        return None
    if said.owner is None or said.owner.kind not in MARKABLE or not said.replicas:
        return None
    wanted = int((said.decision.hint or {}).get("replicas", len(said.replicas)))
    costs = marks(said.replicas, len(said.replicas) - wanted)
    if not costs:
        return None
    first = sorted(each.name for each in said.replicas if costs.get(each.uid) is not None)
    words = (
        f"let those that write least go first: {', '.join(first)}" if first else "let all its replicas count the same"
    )
    return _action(said, ActionType.POD_DELETION_COST, Addressee("Pod"), words=words, change={"costs": costs})


def _told(said: Said, made: Action) -> bool:
    return said.held is not None and said.held.says(made.change)


def _placement(said: Said) -> Action | None:
    if not said.grants:
        return None
    if said.pods_wait:
        return _affinity(said) if sayable(said.grants) else None
    if said.owner is None or said.owner.kind not in SUSPENDABLE:
        return None
    return _topology(said, said.owner) if said.queued else _selection(said, said.owner)


def _selection(said: Said, owner: Addressee) -> Action | None:
    labels = product_selector(said.grants)
    if not labels:
        return None
    named = ", ".join(f"{key}={value}" for key, value in labels.items())
    words = f"select {named} in the template of {owner}: there is room on {where(said.grants)}"
    return _action(said, ActionType.NODE_SELECTOR, owner, words=words, change={SELECTOR: labels})


def _topology(said: Said, owner: Addressee) -> Action | None:
    """Where Kueue takes it up nodes are Kueue's to name: it is told what belongs together."""
    labels = topology_annotations(said.ask) if said.ask else {}
    if not labels:
        return None
    words = f"ask Kueue to keep pods of one tensor group to one host, in the template of {owner}"
    return _action(said, ActionType.TOPOLOGY_ANNOTATION, owner, words=words, change={ANNOTATIONS: labels})


def _affinity(said: Said) -> Action:
    """The stronger of the two where the policy lists both: it says what the weaker one says, and binds."""
    place = where(said.grants)
    if ActionType.REQUIRED_AFFINITY in said.policy.actions:
        words, change = f"keep the pods to {place}", required(said.grants)
        return _action(said, ActionType.REQUIRED_AFFINITY, Addressee("Pod"), words=words, change=change)
    words, change = f"let the pods prefer {place}", preferred(said.grants)
    return _action(said, ActionType.PREFERRED_AFFINITY, Addressee("Pod"), words=words, change=change)


def _admission(said: Said) -> Action | None:
    if ActionType.KUEUE_CHECK not in said.policy.actions:
        return None
    state = CHECK_STATES[said.decision.outcome]
    change: dict[str, Any] = {"state": state, "message": said.decision.message}
    words = f"answer {state} to Kueue"
    if state is CheckState.READY and said.grants and ActionType.NODE_SELECTOR in said.policy.actions:
        change["nodeSelector"] = selector(said.grants)
        words += f" and select {where(said.grants)}"
    return _action(said, ActionType.KUEUE_CHECK, Addressee("Workload"), words=words, change=change)


def _scale(said: Said) -> Action | None:
    replicas = (said.decision.hint or {}).get("replicas")
    if said.owner is None or said.owner.kind not in SCALABLE or replicas is None:
        return None
    if said.policy.scaling_delivery is not ScalingDelivery.SCALE_SUBRESOURCE:
        # An autoscaler follows the metric: two that scale one thing undo each other.
        return None
    words = f"scale {said.owner} to {replicas} replicas"
    return _action(said, ActionType.SCALE, said.owner, words=words, change={"replicas": replicas})


def _suspend(said: Said) -> Action | None:
    if said.owner is None or said.owner.kind not in SUSPENDS:
        return None
    words = f"{said.decision.message} ({said.owner})"
    return _action(said, ActionType.SUSPEND, said.owner, words=words, change={"suspend": True})


def _mig(said: Said) -> Action | None:
    resource = (said.decision.hint or {}).get("resource")
    if said.owner is None or said.owner.kind not in RESIZABLE or resource is None:
        return None
    if said.held is not None and not sliceable(said.held):
        return None
    words = f"ask for {resource} in the template of {said.owner}"
    return _action(said, ActionType.MIG_RESOURCE, said.owner, words=words, change={RESOURCE: resource})


def layout_action(change: Relayout) -> Action:
    """For the workload whose turn is first, of those that it serves."""
    return Action(
        type=ActionType.MIG_LAYOUT,
        workload=change.serves[0],
        target=Addressee("Node", change.node),
        words=change.words,
        change={"config": change.config, "wanted": dict(change.wanted)},
        decides=DecisionType.MIG,
    )


def _action(said: Said, kind: ActionType, target: Addressee, *, words: str, change: Mapping[str, Any]) -> Action:
    return Action(
        type=kind,
        workload=said.workload,
        target=target,
        words=words,
        change=change,
        decides=said.decision.type,
        grants=said.grants if said.decision.type is DecisionType.PLACEMENT else (),
    )


_MAKERS: Final[Mapping[tuple[DecisionType, Outcome], Callable[[Said], Action | None]]] = {
    (DecisionType.PLACEMENT, Outcome.PLACE): _placement,
    (DecisionType.SCALING, Outcome.SCALE): _scale,
    (DecisionType.MIG, Outcome.RESHAPE): _mig,
    (DecisionType.RECLAIM, Outcome.SUSPEND): _suspend,
    **{(DecisionType.ADMISSION, outcome): _admission for outcome in CHECK_STATES},
}
