"""What the operator decides about a workload, and how far a policy lets it go."""

from __future__ import annotations

from enum import StrEnum

from mfu.api.base import LongText, Resource, Timestamp, Word


class DecisionType(StrEnum):
    ADMISSION = "Admission"
    PLACEMENT = "Placement"
    MIG = "MIG"
    SCALING = "Scaling"
    SHARING = "Sharing"
    RECLAIM = "Reclaim"
    OVERSUBSCRIPTION = "Oversubscription"


class DecisionMode(StrEnum):
    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    ENFORCE = "Enforce"


class Decision(Resource):
    """What the operator would do, or does, in one matter."""

    type: DecisionType
    """Matter that is decided."""
    outcome: Word
    """Answer in one word, such as Admit, Warn, Hold, Refuse, Keep, Move or Scale."""
    mode: DecisionMode
    """Observe (shown), Recommend (annotated) or Enforce (acted upon), as the policy says."""
    reason: Word
    """CamelCase word for programs."""
    message: LongText = ""
    """Why, and what to paste or change."""
    evaluated_at: Timestamp | None = None
    """When this answer first came out (RFC 3339)."""
