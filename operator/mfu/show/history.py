"""One workload over time: the levels that each setting held, what advice promised, and the last change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mfu.api.recommendations import AdviceVerdict
from mfu.api.workload_status import Drift, History, WorkloadStatus
from mfu.show.figures import UNKNOWN, number
from mfu.units import percent


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
    """Changes that followed advice and are old enough to judge, and what owners answered."""

    kept: int
    broken: int
    done: int = 0
    declined: int = 0

    @property
    def sentence(self) -> str:
        """`1 of 2 kept; 3 done, 1 declined`."""
        judged = self.kept + self.broken
        kept = f"{self.kept} of {judged} kept" if judged else "none old enough to judge"
        answered = f"; {self.done} done, {self.declined} declined" if self.done or self.declined else ""
        return f"{kept}{answered}"


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What the owner did with one recommendation. `gain` is what it promised (fraction); None where nothing was."""

    field: str
    to: str
    verdict: str
    reason: str
    gain: float | None
    answered_at: str


def replies(status: WorkloadStatus) -> tuple[Reply, ...]:
    return tuple(
        Reply(each.field, each.to, str(each.verdict), each.reason, number(each.gain), each.answered_at or UNKNOWN)
        for each in status.answers
    )


def promises(statuses: Iterable[WorkloadStatus]) -> AdviceKept:
    """How often advice kept its word, and what became of it, over all of them."""
    verdicts, answers = list[bool](), Counter[AdviceVerdict]()
    for status in statuses:
        verdicts += [row.kept for row in status.history if row.kept is not None]
        answers.update(each.verdict for each in status.answers)
    kept = sum(verdicts)
    return AdviceKept(kept, len(verdicts) - kept, answers[AdviceVerdict.DONE], answers[AdviceVerdict.DECLINED])


COLUMNS: Final = ("SINCE", "VERSION", "PRODUCT", "GPUS", "SETTING", "BEFORE", "AFTER", "PROMISED", "KEPT")


def history_rows(status: WorkloadStatus) -> tuple[tuple[str, ...], ...]:
    """A cell for each of COLUMNS, newest first. Shares are reference MFU; `-` is what nobody promised or measured."""
    return tuple(map(_row, status.history))


def _row(each: History) -> tuple[str, ...]:
    promised = number(each.promised)
    return (
        each.changed_at or UNKNOWN,
        each.model_version or "-",
        each.product or "-",
        "-" if each.gpus is None else str(each.gpus),
        each.setting or "-",
        _share(each.before),
        _share(each.after),
        "-" if promised is None else f"{100 * promised:+.1f}%",
        "-" if each.kept is None else "yes" if each.kept else "no",
    )


def _share(value: str | None) -> str:
    found = number(value)
    return "-" if found is None else percent(found)
