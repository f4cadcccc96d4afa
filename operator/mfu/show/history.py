"""One workload over time: the levels that each setting held, what advice promised, and the last change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mfu.api.workload_status import Drift, History, WorkloadStatus
from mfu.show.figures import number


@dataclass(frozen=True, slots=True)
class Era:
    """A stretch of time with one setting. MFU is over the dense 16-bit peak (reference MFU), a fraction."""

    since: float
    """Unix seconds."""
    mfu: float
    setting: str
    version: str
    product: str
    gpus: int | None
    promised: float | None
    """Relative gain that advice promised for the change into it; None where it was nobody's advice."""
    kept: bool | None
    """Whether the promise came true; None while it is too early, or where nothing was promised."""


@dataclass(frozen=True, slots=True)
class LastChange:
    """The last change of efficiency that is more than noise."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AdviceKept:
    """Changes that followed advice and are old enough to judge."""

    kept: int
    broken: int


def eras(status: WorkloadStatus) -> tuple[Era, ...]:
    """Oldest first. A row without a time or a figure is left out."""
    found = [era for era in map(_era, status.history) if era is not None]
    return tuple(sorted(found, key=lambda era: era.since))


def _era(row: History) -> Era | None:
    mfu = number(row.after)
    if mfu is None or row.changed_at is None:
        return None
    return Era(
        since=datetime.fromisoformat(row.changed_at).timestamp(),
        mfu=mfu,
        setting=row.setting,
        version=row.model_version,
        product=row.product,
        gpus=row.gpus,
        promised=number(row.promised),
        kept=row.kept,
    )


def last_change(status: WorkloadStatus) -> LastChange | None:
    return None if status.drift is None else LastChange(status.drift.kind, _sentence(status.drift))


def _sentence(drift: Drift) -> str:
    """`fell from 40.0 % to 33.0 % reference MFU at 2026-11-22T06:00:00Z: Infrastructure; SM clock of node n3 …`."""
    before, after = number(drift.before), number(drift.after)
    if before is None or after is None:
        return f"changed at {drift.at}: {drift.kind}"
    word = "fell" if after < before else "rose"
    figures = f"{word} from {100 * before:.1f} % to {100 * after:.1f} % reference MFU"
    where = f"; {drift.evidence}" if drift.evidence else ""
    return f"{figures} at {drift.at}: {drift.kind}{where}"


def promises(statuses: Iterable[WorkloadStatus]) -> AdviceKept:
    """How often advice kept its word, over all of them."""
    verdicts = [row.kept for status in statuses for row in status.history if row.kept is not None]
    return AdviceKept(sum(verdicts), len(verdicts) - sum(verdicts))
