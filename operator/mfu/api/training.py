"""`spec.training`: what one optimizer step is and how it is split over GPUs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from mfu.api.base import Resource
from mfu.api.quantities import TokenQuantity

Degree = Annotated[int, Field(ge=1, le=16_384)]
"""Bounded so that the product of all five degrees stays far inside int64 for CEL."""
DataDegree = Annotated[int, Field(ge=1, le=1_048_576)]


class Recompute(StrEnum):
    NONE = "None"
    SELECTIVE = "Selective"
    FULL = "Full"


class Sharding(StrEnum):
    DDP = "DDP"
    ZERO1 = "ZeRO1"
    ZERO2 = "ZeRO2"
    ZERO3 = "ZeRO3"
    HSDP = "HSDP"


class Optimizer(StrEnum):
    ADAMW = "AdamW"
    ADAFACTOR = "Adafactor"
    SGD = "SGD"
    LION = "Lion"


class Method(StrEnum):
    FULL = "Full"
    LORA = "LoRA"


def _without_alias(value: object) -> object:
    return Sharding.ZERO3 if value == "FSDP" else value


ShardingName = Annotated[
    Sharding,
    BeforeValidator(_without_alias),
    Field(json_schema_extra={"enum": [*Sharding, "FSDP"]}),
]


class Parallelism(Resource):
    """Degrees of parallelism; tensor · pipeline · context · data is the number of GPUs."""

    tensor: Degree = 1
    """Tensor-parallel degree: GPUs that share one layer's matrices."""
    pipeline: Degree = 1
    """Pipeline-parallel degree: stages the layers are split into."""
    context: Degree = 1
    """Context-parallel degree: GPUs that share one sequence."""
    data: DataDegree = 1
    """Data-parallel degree: copies (sharded or not) of the model."""
    expert: Degree = 1
    """Expert-parallel degree; divides tensor · context · data and the number of experts."""

    @property
    def gpus(self) -> int:
        """GPUs that this layout takes; experts live inside the other degrees."""
        return self.tensor * self.pipeline * self.context * self.data


class TrainingParallelism(Parallelism):
    """Degrees of parallelism; tensor · pipeline · context · data must equal accelerators.count."""

    virtual_pipeline: Annotated[int, Field(ge=1, le=1024)] = 1
    """Model chunks per pipeline stage (interleaved schedule); 1 is plain 1F1B."""


class Training(Resource):
    """One training job: batch, layout, memory saving and length."""

    sequence_length: Annotated[int, Field(ge=1, le=16_777_216)]
    """Tokens per sequence (patches per image for Vision and Diffusion)."""
    global_batch_size: Annotated[int, Field(ge=1, le=1_073_741_824)]
    """Sequences per optimizer step over all GPUs; divisible by data · microBatchSize."""
    micro_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Sequences per forward-backward pass of one data-parallel rank."""
    parallelism: TrainingParallelism = TrainingParallelism()
    """How the job is split over its GPUs."""
    sharding: ShardingName = Sharding.DDP
    """What data-parallel ranks share out: DDP nothing, ZeRO1 optimizer state, ZeRO2 gradients too, ZeRO3 (also written
    FSDP) weights too, HSDP weights within a node."""
    recompute: Recompute = Recompute.NONE
    """Activations computed again in the backward pass: None, Selective (attention only) or Full."""
    optimizer: Optimizer = Optimizer.ADAMW
    """Optimizer; sets the bytes of state per parameter."""
    method: Method = Method.FULL
    """Full training, or LoRA: frozen weights with low-rank adapters."""
    lora_rank: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Rank of the adapters; read with method: LoRA only."""
    total_tokens: TokenQuantity | None = None
    """Tokens of the whole run, such as 15T or 300B; gives time and cost to completion."""

    @property
    def micro_batches(self) -> int:
        """Micro-batches per step of one data-parallel rank (gradient accumulation, or pipeline fill)."""
        return self.global_batch_size // (self.parallelism.data * self.micro_batch_size)

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch_size * self.sequence_length
