"""The parts of Kubernetes objects that our kinds share: metadata and label selectors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Generation, Resource
from mfu.api.names import PAUSED_ANNOTATION

LabelValue = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


class ObjectMeta(Resource):
    """What the operator reads of an object's metadata."""

    name: str = ""
    """Name within the namespace."""
    namespace: str | None = None
    """Namespace; absent on cluster-scoped kinds."""
    uid: str = ""
    """Identity that outlives no deletion."""
    generation: Generation = 0
    """Counts changes of spec."""
    resource_version: str = ""
    """Opaque version for optimistic concurrency."""
    creation_timestamp: str | None = None
    """When it was created (RFC 3339)."""
    deletion_timestamp: str | None = None
    """When deletion was asked for (RFC 3339)."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""

    @property
    def paused(self) -> bool:
        return self.annotations.get(PAUSED_ANNOTATION) == "true"


class SelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(Resource):
    """One condition on a label."""

    key: LabelKey
    """Label key."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """Values for In and NotIn; empty for Exists and DoesNotExist."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == SelectorOperator.EXISTS:
            return self.key in labels
        if self.operator == SelectorOperator.DOES_NOT_EXIST:
            return self.key not in labels
        inside = labels.get(self.key) in self.values
        return inside if self.operator == SelectorOperator.IN else not inside


class LabelSelector(Resource):
    """Selects objects by label; all requirements must hold. Empty selects everything."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=64)] | None = None
    """Labels that must be there with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=32)] = ()
    """Further requirements."""

    @property
    def empty(self) -> bool:
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        wanted = (self.match_labels or {}).items()
        return all(labels.get(key) == value for key, value in wanted) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )
