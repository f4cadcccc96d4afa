"""Recognising a body that differs from the last one in its numbers only, which is what scrapes of an exporter do.

All text but the numbers is compared by hash, so a body with the same shape has the same series at the same lines, and
only its numbers are parsed. Anything else is read line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import Floats

_HEAD: Final = 64
"""Longer than any series name that we read: a line that did not count cannot become one that does unseen."""
_Pick = Callable[[Sequence[bytes]], tuple[bytes, ...]]


@lru_cache(maxsize=256)
def _picker(places: tuple[int, ...]) -> _Pick:
    """Lines at these places; nodes of a kind have the same, so they share it."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda lines: tuple(lines[place] for place in places)


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Where a body has its numbers, and hashes of the rest of it."""

    lines: int
    pick: _Pick
    pick_others: _Pick
    series: int
    others: int
    cells: NDArray[np.intp]
    """Cell of the table that each number fills, in the order of the lines."""

    @classmethod
    def of(cls, lines: list[bytes], places: list[int], cells: NDArray[np.intp]) -> BodyShape:
        """Shape of a body whose lines at `places` carry the numbers of `cells`."""
        counted = set(places)
        others = tuple(place for place in range(len(lines)) if place not in counted)
        pick, pick_others = _picker(tuple(places)), _picker(others)
        series = hash(b"\n".join([line.rpartition(b" ")[0] for line in pick(lines)]))
        return cls(len(lines), pick, pick_others, series, _heads(pick_others(lines)), cells)

    def read(self, lines: list[bytes]) -> Floats | None:
        """The numbers of a body of this shape, in the order of `cells`; None when anything but the numbers differs."""
        if len(lines) != self.lines or _heads(self.pick_others(lines)) != self.others:
            return None
        parts = [line.rpartition(b" ") for line in self.pick(lines)]
        if hash(b"\n".join([part[0] for part in parts])) != self.series:
            return None
        texts = [part[2] for part in parts]
        if b"_" in b"".join(texts):
            return None
        try:
            return np.array(list(map(float, texts)), dtype=np.float64)
        except ValueError:
            return None


def _heads(lines: Sequence[bytes]) -> int:
    return hash(b"\n".join([line[:_HEAD] for line in lines]))
