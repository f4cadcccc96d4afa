"""What one cycle hands to the next about a workload: long windows, drift, and efficiency per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Final

from mfu.api.causes import Cause
from mfu.api.workload_status import History, Meter, WorkloadStatus
from mfu.decide.ladder import ReclaimMemory
from mfu.decide.replicas.memory import ScalingMemory
from mfu.engine.history.longterm import LongTerm, extended, take
from mfu.engine.history.setting import setting_of
from mfu.engine.history.watch import restored_drift, restored_state
from mfu.engine.text import epoch
from mfu.observe import drift as changes
from mfu.observe.assessment import Assessment, TelemetryState, Window
from mfu.observe.drift import Drift, DriftKind, DriftState, Identity, SteadyStretch
from mfu.observe.history import Advice, Entry, record
from mfu.observe.readings import WorkloadSeries
from mfu.observe.whereabouts import DeviceLevels, Whereabouts, departed, levels_of
from mfu.predict.types import Attainable, Inference, Placement, Prediction, Setup

SAMPLE_SECONDS: Final = 60.0
"""One sample a minute for drift and history."""
FINE_STEP_SECONDS: Final = 10.0
"""Steps up to which a minute holds enough of them for a rate."""
LEVEL_SECONDS: Final = 600.0
LEAST_COVERAGE: Final = 0.8
LEAST_ADVISED_GAIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class WorkloadMemory:
    """Grows with nothing: bounded bins, bounded history. History and drift survive a restart, through status."""

    long: Mapping[Meter, LongTerm] = field(default_factory=dict)
    drift_state: DriftState = field(default_factory=DriftState)
    drift: Drift | None = None
    levels: DeviceLevels | None = None
    """What its devices read while nothing spoke for a change."""
    history: tuple[Entry, ...] = ()
    sampled_at: float = 0.0
    taught_at: float = 0.0
    scaled: ScalingMemory = field(default_factory=ScalingMemory)
    """What decided the number of replicas, and when."""
    reclaim: ReclaimMemory = field(default_factory=ReclaimMemory)
    """How long it has been idle, and how far the ladder went."""


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
    def way(self) -> Advice | None:
        """The whole way to attainable, however short."""
        if self.best is None or not self.best.changes or self.expected.tokens_per_s_per_gpu <= 0:
            return None
        gain = self.best.prediction.tokens_per_s_per_gpu / self.expected.tokens_per_s_per_gpu - 1
        return Advice(setting_of(self.best.setup), gain)

    @property
    def advice(self) -> Advice | None:
        """The same where it is worth a word."""
        way = self.way
        return way if way is not None and way.gain >= LEAST_ADVISED_GAIN else None


def remember(
    memory: WorkloadMemory, current: Current, assessment: Assessment, now: float, series: WorkloadSeries | None = None
) -> tuple[WorkloadMemory, Assessment, Drift | None]:
    """The memory after this cycle, the assessment with its long windows, and a change that was found just now.

    `series` is what the assessment was made from: it tells which device a change came from.
    """
    minute = {each.meter: each for each in assessment.observations if each.window is Window.MINUTE}
    long = {meter: take(memory.long.get(meter, LongTerm()), minute.get(meter), now) for meter in Meter}
    kept = replace(memory, long=long)
    whole = extended(assessment, long, now)
    sample = sample_of(whole, current.expected.step_seconds)
    if sample is None or now - memory.sampled_at < SAMPLE_SECONDS or not _worth_remembering(whole):
        return kept, whole, None
    identity, found = current.identity, None
    state = memory.drift_state
    if not _follows_load(current, whole):
        state, found = changes.update(
            state, sample.mfu, at=now, identity=identity, settling_seconds=sample.settling_seconds
        )
    settled = state.identity != identity or now >= state.regime.since
    history = record(
        memory.history,
        sample.mfu,
        identity=identity,
        at=now,
        advice=current.advice,
        way=current.way,
        settled=settled,
    )
    kept = replace(kept, drift_state=state, history=history, sampled_at=now)
    found = found and replace(found, where=_where(found, memory.levels, series, now))
    calm = levels_of(series, since=now - LEVEL_SECONDS, until=now) if series is not None and state.calm else None
    return replace(kept, drift=found or memory.drift, levels=calm or memory.levels), whole, found


@dataclass(frozen=True, slots=True)
class LevelSample:
    """One figure for drift and history, and how long after a change it still holds some of what was before."""

    mfu: float
    settling_seconds: float


def sample_of(assessment: Assessment, step_seconds: float) -> LevelSample | None:
    """Reference MFU of the last minute, where a minute holds enough steps to tell; else of ten minutes."""
    ten, one = assessment.best(), assessment.best(Window.MINUTE)
    if ten is None or ten.reference_mfu is None:
        return None
    fine = step_seconds <= FINE_STEP_SECONDS or ten.meter is Meter.COUNTERS
    if fine and one is not None and one.meter is ten.meter and one.reference_mfu is not None:
        return LevelSample(float(one.reference_mfu), changes.SETTLING_SECONDS)
    return LevelSample(float(ten.reference_mfu), changes.SETTLING_SECONDS + Window.TEN_MINUTES.seconds)


def _follows_load(current: Current, assessment: Assessment) -> bool:
    """A service with few requests does what it is asked for: less of it is no change of its efficiency."""
    causes = {each.cause for each in assessment.findings}
    return isinstance(current.setup, Inference) and bool(causes & {Cause.LOW_CONCURRENCY, Cause.IDLE_ALLOCATION})


def _where(found: Drift, before: DeviceLevels | None, series: WorkloadSeries | None, now: float) -> Whereabouts | None:
    """Only what nobody declared is looked for in the devices."""
    if found.kind is not DriftKind.INFRASTRUCTURE or series is None:
        return None
    after = levels_of(series, since=max(found.at, now - LEVEL_SECONDS), until=now)
    return None if after is None else departed(before, after)


def _worth_remembering(assessment: Assessment) -> bool:
    """Only trusted and well covered figures become history; nothing is learned from doubt."""
    if assessment.state is not TelemetryState.OK or assessment.intent_consistent is False:
        return False
    best = assessment.best()
    return best is not None and best.coverage >= LEAST_COVERAGE


def recalled(said: WorkloadStatus) -> WorkloadMemory:
    """What is known after a restart: history, the last change, and how far the search for the next one had come."""
    history = restored(said.history)
    if not history:
        return WorkloadMemory()
    newest, drift = history[0], restored_drift(said.drift)
    try:
        state, sampled_at = restored_state(said.watch, newest.identity) if said.watch else (None, 0.0)
    except ValueError:
        state, sampled_at = None, 0.0
    if state is None:
        regime = SteadyStretch(newest.changed_at, newest.mfu, 0.0, newest.samples)
        state = DriftState(newest.identity, regime)
    return WorkloadMemory(history=history, drift=drift, drift_state=state, sampled_at=sampled_at)


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
