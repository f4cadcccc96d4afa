"""`spec.inference`: what requests look like, how many run at once, and what latency was promised."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Resource
from mfu.api.cel import validations
from mfu.api.rules import DISTRIBUTION_RULES, REPLICA_RULES
from mfu.api.training import Parallelism

Tokens = Annotated[int, Field(ge=1, le=16_777_216)]
Replicas = Annotated[int, Field(ge=0, le=100_000)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]


class Phase(StrEnum):
    MIXED = "Mixed"
    PREFILL = "Prefill"
    DECODE = "Decode"


class TokenDistribution(Resource):
    """Length of a request part, in tokens."""

    model_config = validations(*DISTRIBUTION_RULES)

    mean: Tokens
    """Mean over requests, in tokens."""
    p95: Tokens | None = None
    """95th percentile over requests, in tokens; at least the mean. Absent means as the mean."""

    @property
    def high(self) -> int:
        """p95, or the mean where no p95 was declared."""
        return self.p95 or self.mean


class ReplicaRange(Resource):
    """Bounds within which replicas may be recommended or scaled."""

    model_config = validations(*REPLICA_RULES)

    min: Replicas = 1
    """Fewest replicas; 0 allows scaling to nothing."""
    max: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Most replicas; at least `min`."""


class ServiceLevel(Resource):
    """Latency objectives at the 95th percentile."""

    ttft_milliseconds: Milliseconds | None = None
    """Time to first token, in milliseconds."""
    tpot_milliseconds: Milliseconds | None = None
    """Time per output token after the first, in milliseconds."""


class Inference(Resource):
    """One serving workload, described per replica."""

    phase: Phase = Phase.MIXED
    """Mixed serves prefill and decode together; Prefill and Decode are the halves of a disaggregated deployment."""
    input_tokens: TokenDistribution
    """Prompt length."""
    output_tokens: TokenDistribution
    """Generated length."""
    concurrency: Annotated[int, Field(ge=1, le=1_048_576)]
    """Requests in flight per replica."""
    parallelism: Parallelism = Parallelism()
    """How one replica is split over its GPUs; tensor · pipeline · context · data equals accelerators.count."""
    max_batch_tokens: Annotated[int, Field(ge=1, le=16_777_216)] = 8192
    """Tokens that the engine schedules per step (chunked-prefill budget), in tokens."""
    replicas: ReplicaRange = ReplicaRange()
    """Bounds for the number of replicas."""
    slo: ServiceLevel | None = None
    """Latency objectives; concurrency recommendations stay within them."""
