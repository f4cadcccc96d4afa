"""The line that names a program in recordings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spec:
    """`train|decode layers hidden heads batch sequence-or-context seconds-asleep`, as recordings name a program."""

    kind: str
    layers: int
    hidden: int
    batch: int
    length: int
    asleep_seconds: float

    @classmethod
    def parse(cls, text: str) -> Spec:
        """ValueError for a text that is none."""
        words = text.split()
        if len(words) != 7 or words[0] not in ("train", "decode"):
            raise ValueError(
                f"{text!r} is no program: `train|decode layers hidden heads batch sequence seconds-asleep`"
            )
        layers, hidden, _, batch, length = (int(word) for word in words[1:6])
        if min(layers, hidden, batch, length) < 1 or float(words[6]) < 0:
            raise ValueError(f"{text!r} is no program: sizes start at 1, and it sleeps 0 seconds or more")
        return cls(words[0], layers, hidden, batch, length, float(words[6]))

    @property
    def block_parameters(self) -> float:
        return 12.0 * self.layers * self.hidden**2
