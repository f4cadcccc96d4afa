"""What to do about one workload, in order: each step assumes those before it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Decimal, LongText, Resource, ShortText, Timestamp
from mfu.api.causes import Actor


class RecommendationKind(StrEnum):
    RELEASE = "Release"
    """Give back GPUs that do nothing."""
    FIT = "Fit"
    """Make it fit in memory."""
    OBJECTIVE = "Objective"
    """Keep the declared latency."""
    SLICE = "Slice"
    """Serve from a slice of a GPU."""
    MOVE = "Move"
    """Pack GPUs that exchange much inside one NVLink domain."""
    MEND = "Mend"
    """Remove a cause of running slower than expected."""
    SETTING = "Setting"
    """Declare another batch, layout, precision or concurrency."""
    PRODUCT = "Product"
    """Take another GPU product that the spec allows."""
    REPLICAS = "Replicas"
    """Run more or fewer replicas."""


class AdviceVerdict(StrEnum):
    """What the owner of a workload did with a recommendation."""

    DONE = "Done"
    DECLINED = "Declined"


class AdviceAnswer(Resource):
    """An owner's answer to one recommendation, which stays beside what came of it."""

    field: Annotated[str, Field(min_length=1, max_length=256)]
    """`field` of the recommendation in status.recommendations, such as training.microBatchSize."""
    verdict: AdviceVerdict
    """Done or Declined."""
    reason: Annotated[str, Field(min_length=1, max_length=256)]
    """Why, for whoever asks later, such as "the loss curve must stay comparable until December"."""


class AnsweredAdvice(AdviceAnswer):
    """An answer as it was first seen, with what the recommendation promised then."""

    to: ShortText = ""
    """Value that was recommended."""
    gain: Decimal | None = None
    """Tokens per second that it promised (fraction); absent where nothing of that field was recommended."""
    answered_at: Timestamp | None = None
    """When the answer was first seen (RFC 3339)."""


class Recommendation(Resource):
    """One step. Figures are those of the whole workload with this step and all before it made."""

    rank: Annotated[int, Field(ge=1, le=16)]
    """Place in the list, from 1."""
    kind: RecommendationKind
    """Release, Fit, Objective, Slice, Move, Mend, Setting, Product or Replicas."""
    field: ShortText = ""
    """Field of spec that changes, or the cause that is mended."""
    from_: ShortText = Field(default="", alias="from")
    """Present value."""
    to: ShortText = ""
    """Value to take."""
    action: LongText = ""
    """What to do, in words."""
    actor: Actor
    """Who can: Tenant or Provider."""
    gain: Decimal | None = None
    """Tokens per second that this step adds to the state before it (fraction); absent where nothing ran before."""
    tokens_per_second: Decimal | None = None
    """Tokens per second of all its GPUs, as predicted."""
    cost_per_hour: Decimal | None = None
    """Price of all its GPUs, in the currency of `cost`."""
    cost_per_million_tokens: Decimal | None = None
    """The same at these tokens per second."""
