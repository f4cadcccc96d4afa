"""Two versions, products or sizes side by side: what differs, and what that did to efficiency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.api.workload_status import History, WorkloadStatus
from mfu.observe.drift import DriftKind
from mfu.observe.setting import apart_from_size
from mfu.show.figures import UNKNOWN, number, share
from mfu.show.history import promises
from mfu.show.questions.answer import SAME
from mfu.show.questions.cost import per_million
from mfu.show.waterfall import best_observed
from mfu.show.workloads import Listed

COLUMNS: Final = ("", "A", "B")


@dataclass(frozen=True, slots=True)
class Side:
    """One setting of one workload. `mfu` is reference MFU; what only the present tells is None of the past."""

    about: str
    model: str
    version: str
    setting: str
    product: str
    gpus: int | None
    mfu: float
    samples: int
    tokens_per_s_per_gpu: float | None = None
    per_million_tokens: float | None = None
    currency: str = ""
    advice: str = UNKNOWN
    """How often advice kept its promise to this workload, and what its owner answered."""


@dataclass(frozen=True, slots=True)
class Compared:
    """`rows` have a cell for each of COLUMNS."""

    rows: tuple[tuple[str, ...], ...]
    sentence: str


def side(workload: Listed, word: str | None = None) -> Side | None:
    """As it runs now, or the newest setting whose version, product or number of GPUs is `word`; None without one."""
    rows = [row for row in workload.status.history if number(row.after)]
    if word is None:
        return _now(workload, rows[0]) if rows else None
    found = next((row for row in rows if word in words_of(row)), None)
    return None if found is None else _past(workload, found, word)


def words_of(row: History) -> tuple[str, ...]:
    """What names a setting of the past."""
    return tuple(filter(None, (row.model_version, row.product, str(row.gpus or ""))))


def _past(workload: Listed, row: History, word: str) -> Side:
    mfu = number(row.after) or 0.0
    about = f"{workload.key}@{word}"
    said = promises([workload.status]).sentence
    return Side(about, row.model, row.model_version, row.setting, row.product, row.gpus, mfu, row.samples, advice=said)


def _now(workload: Listed, row: History) -> Side:
    status = workload.status
    best = best_observed(status)
    rate = number(best.tokens_per_second_per_gpu) if best else None
    currency = status.cost.currency if status.cost else ""
    return Side(
        workload.key,
        row.model,
        row.model_version,
        row.setting,
        row.product,
        row.gpus,
        number(row.after) or 0.0,
        row.samples,
        rate,
        _cost(status, rate),
        currency,
        promises([status]).sentence,
    )


def _cost(status: WorkloadStatus, rate: float | None) -> float | None:
    price = number(status.cost.per_hour) if status.cost else None
    gpus = status.allocation.gpus if status.allocation else 0
    return per_million(price, rate * gpus) if price is not None and rate and gpus else None


def compared(a: Side, b: Side) -> Compared:
    fields = (
        ("model", a.model, b.model),
        ("version", a.version or UNKNOWN, b.version or UNKNOWN),
        ("setting", a.setting, b.setting),
        ("product", a.product, b.product),
        ("GPUs", str(a.gpus or UNKNOWN), str(b.gpus or UNKNOWN)),
        ("reference MFU", share(a.mfu), share(b.mfu)),
        ("minutes", str(a.samples), str(b.samples)),
        ("tokens/s per GPU", _rate(a.tokens_per_s_per_gpu), _rate(b.tokens_per_s_per_gpu)),
        ("per million tokens", _price(a), _price(b)),
        ("advice", a.advice, b.advice),
    )
    return Compared(fields, _sentence(a, b))


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _price(each: Side) -> str:
    return UNKNOWN if each.per_million_tokens is None else f"{each.currency}{each.per_million_tokens:.4f}"


def _sentence(a: Side, b: Side) -> str:
    """`B reaches 28.0 % where A reaches 41.0 %, 13.0 points less (-32 %): product H100-SXM5 → A100-SXM4-80GB.`"""
    change = b.mfu / a.mfu - 1
    differs = ", ".join(_differences(a, b))
    if abs(change) <= SAME:
        though = f", though it differs: {differs}" if differs else ""
        return f"B reaches the same as A, {share(b.mfu)} and {share(a.mfu)}{though}."
    points = f"{100 * abs(b.mfu - a.mfu):.1f} points {'more' if change > 0 else 'less'} ({change:+.0%})"
    why = (
        differs or "nothing that was declared differs, so look at the hardware, the links, the data path and neighbours"
    )
    return f"B reaches {share(b.mfu)} where A reaches {share(a.mfu)}, {points}; {kind(a, b)}: {why}."


def kind(a: Side, b: Side) -> DriftKind:
    """What a difference is due to, by what differs: as drift is classed."""
    declared = [(each.model, each.version, apart_from_size(each.setting)) for each in (a, b)]
    if declared[0] != declared[1]:
        return DriftKind.CONFIGURATION
    return DriftKind.SCALING if a.gpus != b.gpus else DriftKind.INFRASTRUCTURE


def _differences(a: Side, b: Side) -> list[str]:
    pairs = (
        ("model", a.model, b.model),
        ("version", a.version, b.version),
        ("setting", a.setting, b.setting),
        ("product", a.product, b.product),
        ("GPUs", a.gpus, b.gpus),
    )
    return [f"{name} {before} → {after}" for name, before, after in pairs if before != after]
