"""What a rule sees, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from mfu.hardware.types import Device
from mfu.observe.assessment import Finding
from mfu.observe.evidence import Evidence
from mfu.observe.readings import WorkloadSeries
from mfu.predict.types import (
    Attainable,
    Inference,
    Phase,
    Placement,
    Prediction,
    Refusal,
    Scale,
    Setup,
    Training,
)

Predict = Callable[[Setup, Placement], Prediction | Refusal]
"""The performance model, or a stand-in for it in tests."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One workload over one window. What is not known is None, and the rules that need it stay silent."""

    evidence: Evidence
    device: Device
    series: WorkloadSeries
    setup: Setup | None = None
    placement: Placement | None = None
    expected: Prediction | None = None
    attainable: Attainable | None = None
    mfu: float | None = None
    """Observed, by the better meter."""
    mbu: float | None = None
    since: float = 0.0
    now: float = 0.0
    model: Predict | None = None

    @property
    def training(self) -> Training | None:
        return self.setup if isinstance(self.setup, Training) else None

    @property
    def inference(self) -> Inference | None:
        return self.setup if isinstance(self.setup, Inference) else None

    @property
    def decoding(self) -> bool:
        """Judged on memory bandwidth."""
        inference = self.inference
        if inference is None:
            return False
        if self.expected is not None:
            return self.expected.scale is Scale.MBU
        return inference.phase is Phase.DECODE

    def predicted(self, setup: Setup | None = None, placement: Placement | None = None) -> Prediction | None:
        """What the model says of a changed setup or placement; None where it cannot say."""
        setup, placement = setup or self.setup, placement or self.placement
        if self.model is None or setup is None or placement is None:
            return None
        answer = self.model(setup, placement)
        return answer if isinstance(answer, Prediction) else None

    def with_micro_batch(self, size: int) -> Training | None:
        """The same job with another micro-batch; the global batch grows where it was a single micro-batch a rank."""
        training = self.training
        if training is None:
            return None
        ranks = training.parallelism.data
        whole = max(training.global_batch_size, size * ranks)
        return replace(training, micro_batch_size=size, global_batch_size=whole)


class Rule(Protocol):
    """One cause family: None where its evidence is absent, missing or too weak to accuse anybody."""

    def __call__(self, case: Case) -> Finding | None: ...
