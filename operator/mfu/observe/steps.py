"""What a training program says of its steps, and what a step of it works on. Seconds, tokens, FLOP/s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReading:
    """What one line of a log told about a step. None where it did not say; `seconds` are of one step or micro-step."""

    step: float | None = None
    micro_step: float | None = None
    seconds: float | None = None
    micro_seconds: float | None = None
    tokens_per_s: float | None = None
    tokens_per_s_per_gpu: float | None = None
    samples_per_s: float | None = None
    samples_per_s_per_gpu: float | None = None
    flops_per_s_per_gpu: float | None = None
    sequences: float | None = None
    """Of the step's global batch."""
    sequence_length: float | None = None
    tokens: float | None = None
    samples: float | None = None
    """Trained so far by all GPUs."""
    clock_seconds: float | None = None
    """When the line was written, by any clock that runs on from line to line."""
    after_pause: bool = False


@dataclass(frozen=True, slots=True)
class RunShape:
    """What a step works on, and on how many GPUs."""

    gpus: int
    sequence_length: float
    global_batch: float
    micro_batch: float
    data_ranks: int

    @property
    def accumulation(self) -> float:
        """Micro-steps of one optimizer step: `RunShape(8, 4096, 64, 2, 8).accumulation == 4`."""
        return max(1.0, self.global_batch / (self.micro_batch * self.data_ranks))
