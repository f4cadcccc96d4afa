"""Why something cannot be: one shape, from the catalog to the condition and the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemReason(StrEnum):
    """Stable words for programs; the reason of a condition that the problem leads to."""

    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_PRESET = "UnknownPreset"
    UNKNOWN_PRODUCT = "UnknownProduct"
    PRODUCTS_DISAGREE = "ProductsDisagree"
    UNSUPPORTED_PRECISION = "UnsupportedPrecision"
    UNKNOWN_MIG_PROFILE = "UnknownMIGProfile"
    IMPOSSIBLE_LAYOUT = "ImpossibleLayout"
    PODS_CLAIMED = "PodsClaimed"
    INVALID_POLICY = "InvalidPolicy"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong. `field` is the path below spec, `problem` a verb and what was given, `fix` what to do."""

    reason: ProblemReason
    field: str
    problem: str
    fix: str = ""

    @property
    def message(self) -> str:
        """One sentence: `accelerators.count`, `is 8` and `set 16` read "accelerators.count is 8: set 16"."""
        return f"{self.field} {self.problem}" + (f": {self.fix}" if self.fix else "")

    def __str__(self) -> str:
        return self.message


def did_you_mean(nearest: tuple[str, ...], otherwise: str) -> str:
    """The fix for a name that does not exist: `did_you_mean(("H100-SXM5",), "") == "did you mean H100-SXM5?"`."""
    return f"did you mean {', '.join(nearest)}?" if nearest else otherwise
