"""What could be done to the cluster, as data: actions, why one is not done now, and what became of those sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from mfu.api.powers import ActionType
from mfu.decide.fleet.fitting import Grant
from mfu.decide.types import DecisionType, EffectivePolicy, Mode

GATED: Final = frozenset({ActionType.PREFERRED_AFFINITY, ActionType.REQUIRED_AFFINITY})
"""Actions on pods that our gate still holds: at no other moment can they be made."""
TEMPLATES: Final = frozenset({ActionType.NODE_SELECTOR, ActionType.TOPOLOGY_ANNOTATION, ActionType.MIG_RESOURCE})
"""Actions on the pod template of an owner of which nothing runs: what runs is never written to."""


class Tag(NamedTuple):
    """What is acted upon, and how: at most one action of a type is on its way for a workload."""

    workload: str
    type: ActionType


@dataclass(frozen=True, slots=True)
class Addressee:
    """The object that is written to, in the workload's namespace; without a name, all of its pods."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that would carry out a decision. The dry run says the same `words` as the deed."""

    type: ActionType
    workload: str
    target: Addressee
    words: str
    """What is done, as a person would say it: "keep the pods to node n0"."""
    change: Mapping[str, Any]
    """What is written, in the shape of its field."""
    decides: DecisionType
    grants: tuple[Grant, ...] = ()
    """Devices that are promised until the cluster shows it."""

    @property
    def tag(self) -> Tag:
        return Tag(self.workload, self.type)

    @property
    def digest(self) -> str:
        """The same as long as the same would be written to the same object."""
        return f"{self.target} {json.dumps(self.change, sort_keys=True)}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An action with what the guards must know of the decision behind it."""

    action: Action
    policy: EffectivePolicy
    priority: int = 0
    confidence: float | None = None
    """0–1; None where it is not known."""
    observed_at: float | None = None
    """Unix seconds of the newest reading that the decision rests on; None where it rests on no reading of its own."""
    gated: bool = True
    """Some of its pods wait behind our gate."""
    missing: int = 0
    """Devices of the declaration for which there is no pod yet."""
    against: str | None = None
    """What its owner says itself that the action would have to change."""

    @property
    def mode(self) -> Mode:
        return self.policy.mode_of(self.action.decides)


class Guard(StrEnum):
    """Which guard holds an action back, in the order in which they are asked."""

    NOT_ENFORCED = "NotEnforced"
    NOT_LISTED = "NotListed"
    SWITCHED_OFF = "SwitchedOff"
    NOT_GATED = "NotGated"
    NOT_ASKED = "NotAsked"
    NOT_HELD = "NotHeld"
    OWN_WORDS = "OwnWords"
    INCOMPLETE = "Incomplete"
    UNSURE = "Unsure"
    STALE = "Stale"
    IN_FLIGHT = "InFlight"
    GIVEN_UP = "GivenUp"
    DWELLING = "Dwelling"
    RATE_LIMITED = "RateLimited"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why an action is not done now, with the numbers and the field that set the bound."""

    guard: Guard
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """An action and what keeps it from being done; without a hindrance it is to be done now."""

    action: Action
    hindrance: Hindrance | None = None

    @property
    def dry_run(self) -> bool:
        return self.hindrance is not None

    @property
    def sentence(self) -> str:
        """The words of the deed, in the dry run after why it is one."""
        words = self.action.words
        return words if self.hindrance is None else f"dry run ({self.hindrance.message}): {words}"


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered of one tag: since when the present action stands, and what became of it."""

    action: Action
    since: float
    """Unix seconds at which exactly this was proposed first."""
    sent_at: float | None = None
    """Of the last action under this tag, whatever it was."""
    expected_by: float | None = None
    """The cluster must show it by then; None while nothing is on its way."""
    attempts: int = 0
    """How often exactly this was sent without being seen."""

    @property
    def on_its_way(self) -> bool:
        return self.expected_by is not None


class Sent(NamedTuple):
    """That something was sent: what rates are counted by."""

    at: float
    """Unix seconds."""
    policy: str
    type: ActionType


@dataclass(frozen=True, slots=True)
class Acted:
    """What one cycle of acting hands to the next. Nothing of it is known after a start."""

    tracks: Mapping[Tag, Track] = field(default_factory=dict)
    recent: tuple[Sent, ...] = ()
    """Of the last minute."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An action that is taken back: it was not seen in time, or the decision behind it changed."""

    action: Action
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the cluster shows at the moment of acting."""

    now: float
    telemetry_at: float | None = None
    """Unix seconds of the newest reading of the whole fleet; None where there is none at all."""
    seen: Set[Tag] = frozenset()
    """Actions whose effect the cluster shows."""
    asked: Set[str] = frozenset()
    """Workloads for which Kueue waits for the answer of our check."""
    held: Set[str] = frozenset()
    """Workloads whose owner is suspended, or has no replicas."""
    switched_on: Set[ActionType] = frozenset()
    """Actions that this operator can carry out."""


@dataclass(frozen=True, slots=True)
class Release:
    """Our gate to be taken off one pod, with what goes into the same patch."""

    namespace: str
    pod: str
    uid: str
    workload: str
    words: str
    """What is said of it, on the pod and in its event."""
    affinity: Mapping[str, Any] | None = None
    """Node affinity to be added; None releases the pod as it is."""
    rank_order: str = ""
    """Which ranks of its job go to which node; empty where nobody numbers them."""

    @property
    def key(self) -> str:
        """Of the attempt: what fails with a hint must not hold back the release without one."""
        return f"{self.namespace}/{self.pod}/{self.uid}/{'hint' if self.affinity else 'plain'}"


@dataclass(frozen=True, slots=True)
class Suspension:
    """An idle owner to be suspended. Said again until the cluster shows it."""

    namespace: str
    kind: str
    name: str
    workload: str
    words: str
    not_younger_than: float
    """Unix seconds of the notice: an object of that name that was made since has had none, and is left alone."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Rescale:
    """An owner that is to have another number of replicas. Said again until the cluster shows it."""

    namespace: str
    kind: str
    name: str
    workload: str
    words: str
    replicas: int
    had: int
    """Replicas that the number was worked out from: it must not be written the other way round."""

    @property
    def key(self) -> str:
        return f"scale/{self.namespace}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class LayoutOrder:
    """A node that is to get another MIG layout. Said until the node shows it; how far it is stands on the node."""

    node: str
    config: str
    wanted: Mapping[str, int]
    """Slices by resource name that it offers then."""
    workload: str
    words: str


@dataclass(frozen=True, slots=True)
class Acts:
    """What to do now, what to take back, and what to remember."""

    steps: tuple[Step, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    remembered: Acted = field(default_factory=Acted)
