"""What a declared model can be wrong about. Every error holds the problem: the field, what is wrong, what to change."""

from __future__ import annotations

from typing import ClassVar

from mfu.hardware.problem import Problem, ProblemReason


class WorkloadError(ValueError):
    """A declared model that cannot be understood; `why` says it."""

    reason: ClassVar[ProblemReason] = ProblemReason.INVALID_SPEC

    def __init__(self, field: str, problem: str, fix: str) -> None:
        self.why = Problem(self.reason, field, problem, fix)
        super().__init__(self.why.message)


class InvalidArchitecture(WorkloadError):
    """Dimensions that contradict each other or that no model can have."""


class UnknownPreset(WorkloadError):
    """A preset name that the product does not ship."""

    reason = ProblemReason.UNKNOWN_PRESET


class UnsupportedConfig(WorkloadError):
    """A Hugging Face config.json that lacks a key or describes a model kind that is not covered."""
