"""What must hold before an action is done, in order: the policy's word first, then evidence, then restraint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.act.types import GATED, TEMPLATES, Circumstances, Guard, Hindrance, Proposal, Sent, Track
from mfu.api.names import ADMISSION_CHECK, PLACEMENT_GATE
from mfu.api.powers import ActionType
from mfu.decide.types import Mode, Permit

MOST_ATTEMPTS: Final = 3
"""Times that one and the same action is sent without being seen; then a person has to look."""
RATE_SECONDS: Final = 60.0


def recent(sent: Iterable[Sent], now: float) -> tuple[Sent, ...]:
    """Those that count against a rate now."""
    return tuple(each for each in sent if now - each.at < RATE_SECONDS)


@dataclass(frozen=True, slots=True)
class Guarded:
    """What the guards are asked about."""

    proposal: Proposal
    track: Track
    around: Circumstances
    recent: Sequence[Sent] = ()
    """What was sent in the last minute, at this moment included."""

    @property
    def permit(self) -> Permit:
        return self.proposal.policy.actions[self.proposal.action.type]

    @property
    def field(self) -> str:
        return f"actions[{self.proposal.action.type}]"


def hindrance(asked: Guarded) -> Hindrance | None:
    """The first guard that says no; None when all of them let it pass."""
    return next((found for guard in GUARDS if (found := guard(asked)) is not None), None)


def _enforced(asked: Guarded) -> Hindrance | None:
    proposal = asked.proposal
    if proposal.mode is Mode.ENFORCE:
        return None
    name = proposal.action.decides.lower()
    return Hindrance(Guard.NOT_ENFORCED, f"modes.{name} is {proposal.mode}, not Enforce")


def _listed(asked: Guarded) -> Hindrance | None:
    kind = asked.proposal.action.type
    if kind in asked.proposal.policy.actions:
        return None
    return Hindrance(Guard.NOT_LISTED, f"the policy's actions do not list {kind}")


def _switched_on(asked: Guarded) -> Hindrance | None:
    kind = asked.proposal.action.type
    if kind in asked.around.switched_on:
        return None
    return Hindrance(Guard.SWITCHED_OFF, f"this operator does not carry out {kind} (`actions` of its configuration)")


def _gated(asked: Guarded) -> Hindrance | None:
    """Pods that no gate of ours holds are the scheduler's already: their affinity can not be changed any more."""
    if asked.proposal.action.type not in GATED or asked.proposal.gated or asked.track.on_its_way:
        return None
    return Hindrance(Guard.NOT_GATED, f"no pod of it waits behind the gate {PLACEMENT_GATE}")


def _asked(asked: Guarded) -> Hindrance | None:
    """Kueue asks each time anew; what it does not ask is not answered."""
    if asked.proposal.action.type is not ActionType.KUEUE_CHECK:
        return None
    if asked.proposal.action.workload in asked.around.asked or asked.track.on_its_way:
        return None
    return Hindrance(Guard.NOT_ASKED, f"no check {ADMISSION_CHECK} of Kueue waits for an answer")


def _held(asked: Guarded) -> Hindrance | None:
    action = asked.proposal.action
    if action.type not in TEMPLATES or action.workload in asked.around.held or asked.track.on_its_way:
        return None
    why = f"{action.target} is not suspended, or some of it still runs: its template stays as it is"
    return Hindrance(Guard.NOT_HELD, why)


def _adds_only(asked: Guarded) -> Hindrance | None:
    against = asked.proposal.against
    return None if against is None else Hindrance(Guard.OWN_WORDS, against)


def _complete(asked: Guarded) -> Hindrance | None:
    """A place is for all pods of a job; what is sent to the first of them is not unsaid for the rest."""
    missing = asked.proposal.missing
    if asked.proposal.action.type not in GATED or not missing or asked.track.on_its_way:
        return None
    return Hindrance(Guard.INCOMPLETE, f"pods for {missing} of its GPUs are not there yet")


def _sure(asked: Guarded) -> Hindrance | None:
    known, least = asked.proposal.confidence, asked.permit.min_confidence
    if known is not None and known >= least:
        return None
    said = "is unknown" if known is None else f"is {known:.0%}"
    return Hindrance(Guard.UNSURE, f"confidence {said}, {asked.field}.minConfidencePercent is {least:.0%}")


def _fresh(asked: Guarded) -> Hindrance | None:
    """A fleet that nobody sees is not acted upon, whatever the decision rests on."""
    proposal, most = asked.proposal, asked.permit.max_reading_age_seconds
    newest = asked.around.telemetry_at
    if newest is None:
        return Hindrance(Guard.STALE, "no reading of the fleet is known")
    age = asked.around.now - min(newest, newest if proposal.observed_at is None else proposal.observed_at)
    if age <= most:
        return None
    return Hindrance(Guard.STALE, f"readings are {age:.0f} s old, {asked.field}.maxReadingAgeSeconds is {most:.0f}")


def _nothing_in_flight(asked: Guarded) -> Hindrance | None:
    if asked.track.expected_by is None:
        return None
    left = asked.track.expected_by - asked.around.now
    return Hindrance(Guard.IN_FLIGHT, f"sent and not seen yet, withdrawn in {left:.0f} s")


def _not_given_up(asked: Guarded) -> Hindrance | None:
    if asked.track.attempts < MOST_ATTEMPTS:
        return None
    message = f"sent {asked.track.attempts} times and never seen: look at why, it is not sent again"
    return Hindrance(Guard.GIVEN_UP, message)


def _dwelt(asked: Guarded) -> Hindrance | None:
    """The first action under a tag goes at once; the next one only when its decision has stood for a while."""
    track, dwell = asked.track, asked.permit.dwell_seconds
    if track.sent_at is None or asked.proposal.action.type in (*GATED, ActionType.KUEUE_CHECK):
        # A pod passes its gate once, a check is answered when it asks: there is nothing that could go to and fro.
        return None
    # Replicas follow a load that never stands still: their rule has a memory, and only their last change counts here.
    follows = asked.proposal.action.type is ActionType.SCALE
    left = (track.sent_at if follows else max(track.since, track.sent_at)) + dwell - asked.around.now
    if left <= 0:
        return None
    return Hindrance(Guard.DWELLING, f"acted upon before, {asked.field}.dwellSeconds leaves {left:.0f} s")


def _within_rate(asked: Guarded) -> Hindrance | None:
    most, same = asked.permit.max_per_minute, (asked.proposal.policy.name or "", asked.proposal.action.type)
    sent = sum(1 for each in asked.recent if (each.policy, each.type) == same)
    if sent < most:
        return None
    return Hindrance(Guard.RATE_LIMITED, f"{sent} in the last minute, {asked.field}.maxPerMinute is {most}")


GUARDS: Final[tuple[Callable[[Guarded], Hindrance | None], ...]] = (
    _enforced,
    _listed,
    _switched_on,
    _gated,
    _asked,
    _held,
    _adds_only,
    _complete,
    _sure,
    _fresh,
    _nothing_in_flight,
    _not_given_up,
    _dwelt,
    _within_rate,
)
