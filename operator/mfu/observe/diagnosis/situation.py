"""What a rule sees, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from mfu.hardware.catalog import device_peak
from mfu.hardware.types import Device
from mfu.observe.assessment import Finding
from mfu.observe.evidence import Evidence
from mfu.observe.readings import WorkloadSeries
from mfu.observe.traits import RunTraits
from mfu.predict import model_flops_per_token
from mfu.predict.types import (
    Attainable,
    Inference,
    Phase,
    Placement,
    Prediction,
    Problem,
    Scale,
    Setup,
    Training,
)

Predict = Callable[[Setup, Placement], Prediction | Problem]
"""The performance model, or a stand-in for it in tests."""


WORTH = 1.15
"""Speed-up from which a better configuration is worth an accusation."""
BELOW = 0.95
"""Share of the band's lower end under which a loss is a runtime loss."""
MICRO_BATCHES = (2, 4, 8, 16, 32)
NOTICEABLE = 1.02


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
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
    traits: RunTraits = field(default_factory=RunTraits)
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

    @property
    def step_seconds(self) -> float | None:
        """Of one optimizer step, as the observed MFU makes it; None without a training intent."""
        training, peak = self.training, None
        if training is not None:
            peak = device_peak(self.device, training.precisions.compute)
        if training is None or not peak or not self.mfu or self.placement is None:
            return None
        tokens = training.global_batch_size * training.sequence_length / self.placement.gpus
        return model_flops_per_token(training) * tokens / (self.mfu * peak)

    @property
    def now_expected(self) -> Prediction | None:
        """What the model says of the workload as it is declared and placed."""
        return self.expected if self.expected is not None else self.predicted()

    @property
    def knows_expected(self) -> bool:
        return self.now_expected is not None

    @property
    def judged(self) -> float | None:
        """What was seen on the scale of what was expected; None without an expectation."""
        return self.expected.scale.of(mfu=self.mfu, mbu=self.mbu) if self.expected is not None else None

    @property
    def below_expected(self) -> bool:
        """Observed clearly under the band of what was expected, on the workload's scale."""
        seen = self.judged
        return self.expected is not None and seen is not None and seen < BELOW * self.expected.low

    @property
    def to_expected(self) -> float:
        """Speed-up that reaching what was expected would be; 1 where either is unknown."""
        return self.expected.mfu / self.mfu if self.expected is not None and self.mfu else 1.0

    def gain(self, better: Prediction) -> float:
        """Speed-up that a predicted setting promises, over what is predicted or seen now, whichever is faster."""
        now = self.now_expected
        known = [each for each in (None if now is None else now.mfu, self.mfu) if each]
        return max(1.0, better.mfu / max(known)) if known else 1.0

    def allows(self, field: str) -> bool:
        """Where the planner was asked, that field must be among the changes it found within what the spec allows."""
        return self.attainable is None or any(field in each.field.lower() for each in self.attainable.changes)

    def best_micro_batch(self) -> tuple[int, Prediction | None]:
        """The largest usual micro-batch that fits and still helps, with what the model says of it."""
        training = self.training
        if training is None:
            return 0, None
        best: tuple[int, Prediction | None] = (training.micro_batch_size, None)
        for size in MICRO_BATCHES:
            predicted = self.predicted(self._with_micro_batch(training, size)) if size > best[0] else None
            if predicted is None or not predicted.memory.fits:
                continue
            if best[1] is None or predicted.mfu > NOTICEABLE * best[1].mfu:
                best = size, predicted
        return best

    def _with_micro_batch(self, training: Training, size: int) -> Training:
        """The global batch grows where it was a single micro-batch a rank, else it is split into fewer."""
        ranks = training.parallelism.data
        whole = training.global_batch_size
        if whole < size * ranks or whole % (size * ranks):
            whole = size * ranks * max(1, round(whole / (size * ranks)))
        return replace(training, micro_batch_size=size, global_batch_size=whole)


class CauseRule(Protocol):
    """One cause family: None where its evidence is absent, missing or too weak to accuse anybody."""

    def __call__(self, situation: Situation) -> Finding | None: ...
