"""Who waits for an answer, in which order: as they came, but for who brings too much at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Final

SPACING_SECONDS: Final = 0.25
"""Between two places of one namespace: who brings more than four keys a second stands behind others who came later."""


@dataclass(slots=True)
class Line:
    """Keys "namespace/name", each once. Where all bring as much, all wait as long, however long the line is.

    A key's place is the moment at which it came; behind others of its namespace that wait it is SPACING_SECONDS after
    them at least, so within a namespace the oldest is first. A thousand at once stand over four minutes of the line;
    one of another namespace that comes a second later has five of them before it.
    """

    _places: dict[str, dict[str, float]] = field(default_factory=dict)
    """By namespace and key; the last of a namespace is its latest."""

    def add(self, key: str, now: float) -> None:
        """Who stands in line already keeps its place."""
        places = self._places.setdefault(key.partition("/")[0], {})
        if key not in places:
            latest = next(reversed(places.values()), None)
            places[key] = now if latest is None else max(now, latest + SPACING_SECONDS)

    def take(self, most: int, but: Callable[[str], bool]) -> list[str]:
        """The first so many; those that `but` names stay."""
        free = ((at, key) for places in self._places.values() for key, at in places.items() if not but(key))
        taken = [key for _, key in nsmallest(most, free)]
        for key in taken:
            self._remove(key)
        return taken

    def _remove(self, key: str) -> None:
        namespace = key.partition("/")[0]
        places = self._places[namespace]
        del places[key]
        if not places:
            del self._places[namespace]

    def __iter__(self) -> Iterator[str]:
        return (key for places in self._places.values() for key in places)

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))
