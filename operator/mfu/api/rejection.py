"""Why a declaration is not accepted: the field, what is wrong with it, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """One contradiction. `field` is the path below spec; message reads as one sentence."""

    reason: Reason
    field: str
    problem: str
    fix: str

    @property
    def message(self) -> str:
        """`Rejection(r, "accelerators.count", "is 8", "set 16").message == "accelerators.count is 8: set 16"`."""
        return f"{self.field} {self.problem}: {self.fix}"
