"""What one cycle hands to the next about a workload: long windows, drift, and efficiency per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isfinite
from typing import Any

from mfu.api.workload_status import Meter
from mfu.engine.history.longterm import LongTerm, extended, take
from mfu.engine.history.setting import setting_of
from mfu.engine.say.text import moment, pruned
from mfu.observe import drift as changes
from mfu.observe.assessment import Assessment, TelemetryState, Window
from mfu.observe.drift import Drift, DriftState, Identity, Regime
from mfu.observe.history import Advice, Entry, record
from mfu.predict.types import Attainable, Placement, Prediction, Setup
from mfu.units import decimal

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


@dataclass(frozen=True, slots=True)
class Running:
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
    memory: WorkloadMemory, running: Running, assessment: Assessment, now: float
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
    identity, mfu = running.identity, float(best.reference_mfu)
    state, found = changes.update(
        memory.drift_state, mfu, at=now, identity=identity, expected=running.expected.reference_mfu
    )
    history = record(memory.history, mfu, identity=identity, at=now, advice=running.advice)
    return replace(kept, drift_state=state, drift=found or memory.drift, history=history, sampled_at=now), whole, found


def _worth_remembering(assessment: Assessment) -> bool:
    """Only trusted and well covered figures become history; nothing is learned from doubt."""
    if assessment.state is not TelemetryState.OK or assessment.intent_consistent is False:
        return False
    best = assessment.best()
    return best is not None and best.coverage >= LEAST_COVERAGE


def history_rows(history: Sequence[Entry]) -> list[dict[str, Any]] | None:
    """`status.history`, newest first."""
    return [_row(each) for each in history] or None


def _row(entry: Entry) -> dict[str, Any]:
    identity = entry.identity
    return pruned(
        {
            "model": identity.model[:256],
            "setting": identity.setting[:256],
            "modelVersion": identity.version,
            "product": identity.product,
            "gpus": identity.gpus,
            "before": decimal(entry.before),
            "after": decimal(entry.mfu),
            "promised": decimal(entry.promised),
            "kept": entry.kept,
            "samples": entry.samples,
            "advisedSetting": entry.advice.setting[:256] if entry.advice else None,
            "advisedGain": decimal(entry.advice.gain) if entry.advice else None,
            "changedAt": moment(entry.changed_at),
        }
    )


def recalled(rows: Sequence[Mapping[str, Any]]) -> WorkloadMemory:
    """What is known after a restart: history from status, and the level it ended at for drift to be judged against."""
    history = restored(rows)
    if not history:
        return WorkloadMemory()
    newest = history[0]
    noise = changes.LEAST_RELATIVE_SD * newest.mfu
    regime = Regime(newest.changed_at, newest.mfu, noise * noise, newest.samples)
    return WorkloadMemory(history=history, drift_state=DriftState(newest.identity, regime))


def restored(rows: Sequence[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """History from status after a restart. A row that does not read is dropped: old status must stop nothing."""
    return tuple(entry for row in rows if (entry := _entry(row)) is not None)


def _entry(row: Mapping[str, Any]) -> Entry | None:
    try:
        identity = Identity(
            str(row.get("model", "")),
            str(row.get("modelVersion", "")),
            str(row.get("setting", "")),
            str(row["product"]),
            int(row["gpus"]),
        )
        changed = datetime.fromisoformat(str(row["changedAt"])).timestamp()
        advised = row.get("advisedSetting")
        return Entry(
            identity,
            _finite(row["after"]),
            max(1, int(row.get("samples", 1))),
            changed,
            changed,
            _number(row.get("before")),
            _number(row.get("promised")),
            Advice(str(advised), _finite(row["advisedGain"])) if advised else None,
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def drift_row(found: Drift | None) -> dict[str, Any] | None:
    """`status.drift`."""
    if found is None:
        return None
    return {
        "kind": str(found.kind),
        "against": found.against,
        "before": f"{found.before:.4f}",
        "after": f"{found.after:.4f}",
        "at": moment(found.at),
    }


def _number(text: Any) -> float | None:
    return None if text is None else _finite(text)


def _finite(text: Any) -> float:
    """Raises ValueError for what no mean can be made of."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value
