"""All decisions over the one ledger, in order: what an earlier one draws, a later one does not see any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.decide.fleet.capacity import Capacity
from mfu.decide.fleet.fitting import Grant, Pick, fit
from mfu.decide.fleet.placement import placed, refused
from mfu.decide.fleet.sharing import SharingMemory, advise_pairs, shared
from mfu.decide.fleet.shortage import Hope, Ownership, Promise, Shortage, hope, shortage
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome
from mfu.sentence import joined


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an action that is still on its way has promised, by workload."""

    key: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """What was decided for whom; a workload without an entry is left to what was decided of it alone."""

    decisions: Mapping[str, tuple[Decision, ...]] = field(default_factory=dict)
    grants: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    left: Capacity = field(default_factory=Capacity)


class _Draft:
    """The ledger while it is drawn from, and what was said so far. Lives within one call of `decide_together`."""

    def __init__(self, standings: Sequence[Standing], opening: Capacity) -> None:
        self.standings, self.opening, self.left = standings, opening, opening
        self._owners: Ownership | None = None
        self.promises: list[Promise] = []
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.decisions: dict[str, tuple[Decision, ...]] = {}
        self._hopeless: set[Need] = set()
        self._hopes: dict[Need, Hope] = {}

    def draw(self, standing: Standing, ask: Need, why: str) -> tuple[Pick, ...]:
        """As many copies as fit. The ledger only shrinks, so a shape that found nothing is not searched for again."""
        found: list[Pick] = []
        shape = replace(ask, copies=1)
        while len(found) < ask.copies and shape not in self._hopeless:
            last = standing.incumbent[len(found)] if len(found) < len(standing.incumbent) else None
            choice = fit(shape, self.left, last)
            if choice is None:
                self._hopeless.add(shape)
                break
            self._take(standing.key, choice.grant, why)
            found.append(choice)
        return tuple(found)

    def keep(self, key: str, grants: Iterable[Grant]) -> None:
        """As much of a promise as is still there: what its pods hold already is no longer free."""
        for grant in grants:
            there = self.left.of(grant.kind, grant.shares)
            if there:
                self._take(key, replace(grant, shares=there), "on its way")

    def why_not(self, ask: Need) -> Shortage:
        """Whether a shape fitted at first, or ever could, does not change while others draw."""
        shape = replace(ask, copies=1)
        if shape not in self._hopes:
            self._hopes[shape] = hope(shape, self.opening)
        if self._owners is None:
            self._owners = Ownership.of(self.standings)
        return shortage(ask, self.left, self._hopes[shape], promises=self.promises, owners=self._owners)

    def say(self, key: str, decision: Decision) -> None:
        self.decisions[key] = (*self.decisions.get(key, ()), decision)

    def _take(self, key: str, grant: Grant, why: str) -> None:
        self.left = self.left.drawn(grant.kind, grant.shares)
        self.promises.append(Promise(key, grant.kind, grant.gpus, why))
        self.grants[key] = (*self.grants.get(key, ()), grant)


def _place(draft: _Draft) -> None:
    asking = [(each, each.ask) for each in draft.standings if each.ask is not None]
    for standing, ask in sorted(asking, key=lambda each: each[0].turn):
        sent = tuple(Pick(grant) for grant in draft.grants.get(standing.key, ()))
        choices = sent or draft.draw(standing, ask, f"priority {standing.priority}")
        if choices:
            draft.say(standing.key, placed(standing, ask, choices))
        else:
            missing = draft.why_not(ask)
            draft.say(standing.key, refused(standing, missing))
            _warn(draft, standing, missing)


def _warn(draft: _Draft, standing: Standing, missing: Shortage) -> None:
    """A place that can never be is worth a warning at the start. It holds nothing back: nodes may be added."""
    admission = standing.admission
    if missing.reason is Why.NEVER_FITS and admission is not None and admission.outcome is Outcome.ADMIT:
        warning = replace(admission, outcome=Outcome.WARN, reason=missing.reason, message=missing.message)
        draft.say(standing.key, warning)


def _grow(draft: _Draft) -> None:
    growing = [
        (each, each.growth, each.replica)
        for each in draft.standings
        if each.growth is not None and each.replica is not None
    ]
    for standing, growth, ask in sorted(growing, key=lambda each: each[0].turn):
        choices = draft.draw(standing, ask, "more replicas")
        supply = f"; free GPUs for {len(choices)} of {ask.copies} more"
        if len(choices) < ask.copies:
            supply += f": {draft.why_not(ask).message}"
        draft.say(standing.key, replace(growth, message=joined("", (growth.message, supply))))


def _share(draft: _Draft) -> None:
    """It draws nothing: a pair that shares gives a GPU back, once its owners have moved it."""
    known = {each.key: each for each in draft.standings}
    sharers = [each.sharer for each in known.values() if each.sharer is not None]
    for pair in advise_pairs(sharers, SharingMemory(), 0.0):
        for key in pair.keys:
            draft.say(key, shared(pair, key, known[key].policy))


@dataclass(frozen=True, slots=True)
class FleetMethod:
    draws: Callable[[_Draft], None]
    decides: DecisionType
    reason: str


METHODS: Final = (
    FleetMethod(_place, DecisionType.PLACEMENT, "what waits for its first GPUs does nothing at all until it has them"),
    FleetMethod(_grow, DecisionType.SCALING, "more replicas of what runs already take what nobody waits for"),
    FleetMethod(_share, DecisionType.SHARING, "who shares gives back what nobody has yet"),
)
"""In this order. What runs holds its GPUs before all of them, then comes what was promised and is on its way."""


def decide_together(standings: Sequence[Standing], capacity: Capacity, reserved: Iterable[Reserved] = ()) -> Together:
    """What all that wait and grow are told at once. Pure; neither the order nor a repetition of the input matters."""
    draft = _Draft(standings, capacity)
    for each in sorted(reserved, key=lambda one: one.key):
        draft.keep(each.key, each.grants)
    for method in METHODS:
        method.draws(draft)
    return Together(draft.decisions, draft.grants, draft.left)
