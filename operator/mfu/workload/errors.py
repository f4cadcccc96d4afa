"""What a declared model can be wrong about. Every error names the field, the problem and what to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class WorkloadError(ValueError):
    """A declared model that cannot be understood."""

    field: str
    problem: str
    fix: str

    def __post_init__(self) -> None:
        super().__init__(f"{self.field}: {self.problem}; {self.fix}")


class InvalidArchitecture(WorkloadError):
    """Dimensions that contradict each other or that no model can have."""


class UnknownPreset(WorkloadError):
    """A preset name that the product does not ship."""


class UnsupportedConfig(WorkloadError):
    """A Hugging Face config.json that lacks a key or describes a model kind that is not covered."""
