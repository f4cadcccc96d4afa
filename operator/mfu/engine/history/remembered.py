"""What one cycle hands to the next about a workload: long windows, drift, and efficiency per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from mfu.api.workload_status import History, Meter
from mfu.decide.replicas.memory import ScalingMemory
from mfu.engine.history.longterm import LongTerm, extended, take
from mfu.engine.history.setting import setting_of
from mfu.engine.text import epoch
from mfu.observe import drift as changes
from mfu.observe.assessment import Assessment, TelemetryState, Window
from mfu.observe.drift import Drift, DriftState, Identity, SteadyStretch
from mfu.observe.history import Advice, Entry, record
from mfu.predict.types import Attainable, Placement, Prediction, Setup

SAMPLE_SECONDS = 60.0
"""One sample a minute for drift and history: ten-minute means that overlap more would only repeat themselves."""
LEAST_COVERAGE = 0.8
LEAST_ADVISED_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class WorkloadMemory:
    """Grows with nothing: bounded bins, bounded history. `history` alone survives a restart, through status."""

    long: Mapping[Meter, LongTerm] = field(default_factory=dict)
    drift_state: DriftState = field(default_factory=DriftState)
    drift: Drift | None = None
    history: tuple[Entry, ...] = ()
    sampled_at: float = 0.0
    taught_at: float = 0.0
    scaled: ScalingMemory = field(default_factory=ScalingMemory)
    """What decided the number of replicas, and when."""


@dataclass(frozen=True, slots=True)
class Current:
    """What runs now, and what is advised for it."""

    setup: Setup
    placement: Placement
    model: str
    version: str
    gpus: int
    expected: Prediction
    best: Attainable | None

    @property
    def identity(self) -> Identity:
        product = self.placement.device.label
        return Identity(self.model, self.version, setting_of(self.setup), product, self.gpus)

    @property
    def advice(self) -> Advice | None:
        """The whole way to attainable, where it is worth a word."""
        if self.best is None or not self.best.changes or self.expected.tokens_per_s_per_gpu <= 0:
            return None
        gain = self.best.prediction.tokens_per_s_per_gpu / self.expected.tokens_per_s_per_gpu - 1
        return Advice(setting_of(self.best.setup), gain) if gain >= LEAST_ADVISED_GAIN else None


def remember(
    memory: WorkloadMemory, current: Current, assessment: Assessment, now: float
) -> tuple[WorkloadMemory, Assessment, Drift | None]:
    """The memory after this cycle, the assessment with its long windows, and a change that was found just now."""
    minute = {each.meter: each for each in assessment.observations if each.window is Window.MINUTE}
    long = {meter: take(memory.long.get(meter, LongTerm()), minute.get(meter), now) for meter in Meter}
    kept = replace(memory, long=long)
    whole = extended(assessment, long, now)
    best = whole.best()
    if not _worth_remembering(whole) or best is None or best.reference_mfu is None:
        return kept, whole, None
    if now - memory.sampled_at < SAMPLE_SECONDS:
        return kept, whole, None
    identity, mfu = current.identity, float(best.reference_mfu)
    state, found = changes.update(
        memory.drift_state, mfu, at=now, identity=identity, expected=current.expected.reference_mfu
    )
    history = record(memory.history, mfu, identity=identity, at=now, advice=current.advice)
    return replace(kept, drift_state=state, drift=found or memory.drift, history=history, sampled_at=now), whole, found


def _worth_remembering(assessment: Assessment) -> bool:
    """Only trusted and well covered figures become history; nothing is learned from doubt."""
    if assessment.state is not TelemetryState.OK or assessment.intent_consistent is False:
        return False
    best = assessment.best()
    return best is not None and best.coverage >= LEAST_COVERAGE


def recalled(rows: Sequence[History]) -> WorkloadMemory:
    """What is known after a restart: history from status, and the level it ended at for drift to be judged against."""
    history = restored(rows)
    if not history:
        return WorkloadMemory()
    newest = history[0]
    noise = changes.LEAST_RELATIVE_SD * newest.mfu
    regime = SteadyStretch(newest.changed_at, newest.mfu, noise * noise, newest.samples)
    return WorkloadMemory(history=history, drift_state=DriftState(newest.identity, regime))


def restored(rows: Sequence[History]) -> tuple[Entry, ...]:
    """History from status after a restart. A row that says too little is dropped: old status must stop nothing."""
    return tuple(entry for row in rows if (entry := _entry(row)) is not None)


def _entry(row: History) -> Entry | None:
    if not row.product or row.gpus is None or row.after is None or row.changed_at is None:
        return None
    if (row.advised_setting is None) is not (row.advised_gain is None):
        return None
    try:
        changed = epoch(row.changed_at)
    except ValueError:
        return None
    advised = Advice(row.advised_setting, float(row.advised_gain)) if row.advised_setting and row.advised_gain else None
    entry = Entry(
        Identity(row.model, row.model_version, row.setting, row.product, row.gpus),
        float(row.after),
        max(1, row.samples),
        changed,
        changed,
        None if row.before is None else float(row.before),
        None if row.promised is None else float(row.promised),
        advised,
    )
    return entry if _finite(entry) else None


def _finite(entry: Entry) -> bool:
    """ "1e999" is a decimal string as well."""
    gain = entry.advice.gain if entry.advice else 0.0
    return all(isfinite(each) for each in (entry.mfu, entry.before or 0.0, entry.promised or 0.0, gain))
