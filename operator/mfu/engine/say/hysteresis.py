"""When is a status worth writing? Noise is not news: figures may wander a little, and times refresh slowly.

How a field is compared follows from its type in the API: figures within tolerances, sentences apart from everything
else, and what is left exactly. A sentence repeats what the typed fields beside it say: its words alone can wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, get_args, get_type_hints

from mfu.api.base import Decimal, LongText, Resource
from mfu.api.fleetreport import FleetSummary
from mfu.api.workload_status import Summary
from mfu.engine.text import epoch

REFRESH_SECONDS: Final = 300.0
"""`observedAt`, or the words of a sentence, alone make a write at most this often."""
ABSOLUTE: Final = 0.005
"""Half a point of a fraction."""
RELATIVE: Final = 0.02
ROUGH: Final = 0.1
"""How much is known wanders with every round that comes in late; a tenth tells."""


class Novelty(IntEnum):
    """How much one status adds to another."""

    NOTHING = 0
    WORDS = 1
    """Sentences read differently; everything that they are made from is the same."""
    NEWS = 2


Compare = Callable[[Any, Any], Novelty]


def novelty(standing: Resource, said: Resource) -> Novelty:
    """What `said` adds to the status that stands; both of one type.

    >>> from mfu.api.workload_status import Attainable
    >>> novelty(Attainable(mfu="0.4120"), Attainable(mfu="0.4151")).name
    'NOTHING'
    >>> novelty(Attainable(mfu="0.4120"), Attainable(mfu="0.4320")).name
    'NEWS'
    """
    found, before, now = Novelty.NOTHING, standing.__dict__, said.__dict__
    for name, compare in _comparisons(type(said)):
        mine, theirs = before[name], now[name]
        if mine is not theirs and (added := compare(mine, theirs)) > found:
            found = added
            if found is Novelty.NEWS:
                break
    return found


@lru_cache
def _comparisons(kind: type[Resource]) -> tuple[tuple[str, Compare], ...]:
    hints, derived = get_type_hints(kind, include_extras=True), _DERIVED.get(kind, frozenset())
    return tuple(
        (name, _known if name in derived else _BY_NAME.get(name) or _by_type(name, hints[name]))
        for name in kind.model_fields
    )


def _by_type(name: str, hint: Any) -> Compare:
    parts = (hint, *get_args(hint))
    if Decimal in parts:
        return _rough if name in _ROUGH else _figure
    return _sentence if LongText in parts else _exact


def _exact(mine: Any, theirs: Any) -> Novelty:
    """Words first: most fields are, and whether something is of the API takes long to ask."""
    if type(mine) is str:
        return Novelty.NOTHING if mine == theirs else Novelty.NEWS
    if isinstance(mine, Resource) and isinstance(theirs, Resource):
        return novelty(mine, theirs)
    if isinstance(mine, tuple) and isinstance(theirs, tuple) and len(mine) == len(theirs):
        return _most(mine, theirs)
    return Novelty.NOTHING if mine == theirs else Novelty.NEWS


def _most(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> Novelty:
    found = Novelty.NOTHING
    for one, other in zip(mine, theirs, strict=True):
        found = max(found, _exact(one, other))
        if found is Novelty.NEWS:
            break
    return found


def _sentence(mine: str, theirs: str) -> Novelty:
    return Novelty.NOTHING if mine == theirs else Novelty.WORDS


def _figure(mine: str | None, theirs: str | None) -> Novelty:
    return _moved(mine, theirs, ABSOLUTE)


def _rough(mine: str | None, theirs: str | None) -> Novelty:
    return _moved(mine, theirs, ROUGH)


def _moved(mine: str | None, theirs: str | None, absolute: float) -> Novelty:
    if mine is None or theirs is None:
        return Novelty.NOTHING if mine is theirs else Novelty.NEWS
    before = float(mine)
    apart = abs(before - float(theirs)) > max(absolute, RELATIVE * abs(before))
    return Novelty.NEWS if apart else Novelty.NOTHING


def _refreshed(mine: str | None, theirs: str | None) -> Novelty:
    """A time that does not read is due."""
    if mine == theirs:
        return Novelty.NOTHING
    try:
        due = mine is None or theirs is None or abs(epoch(theirs) - epoch(mine)) >= REFRESH_SECONDS
    except ValueError:
        due = True
    return Novelty.NEWS if due else Novelty.NOTHING


def _known(mine: str, theirs: str) -> Novelty:
    """A figure that stands elsewhere as a number: here it only matters whether it is known."""
    return Novelty.NOTHING if (mine == _UNKNOWN) is (theirs == _UNKNOWN) else Novelty.NEWS


def _ignored(_mine: Any, _theirs: Any) -> Novelty:
    return Novelty.NOTHING


_UNKNOWN: Final = "Unknown"
_ROUGH: Final = frozenset({"coverage", "confidence"})
_BY_NAME: Final[Mapping[str, Compare]] = {
    "observed_at": _refreshed,
    # When an answer first came out or last turned is kept by who says it; a new time alone is no news.
    "evaluated_at": _ignored,
    "last_transition_time": _ignored,
    "samples": _ignored,
    "timed": _ignored,
    "observations": _ignored,
    "answered_at": _ignored,
    # Goes along with whatever is written next: observedAt alone sees to that every few minutes.
    "watch": _ignored,
}
_DERIVED: Final[Mapping[type[Resource], frozenset[str]]] = {
    Summary: frozenset({"expected", "observed", "attainable", "gap", "observed_slo", "cost_per_hour", "lost_per_hour"}),
    FleetSummary: frozenset({"gpus", "mfu", "coverage", "cost_per_hour", "lost_per_hour"}),
}
"""Columns made from figures that the same status holds as numbers."""
