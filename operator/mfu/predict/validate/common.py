"""What every validation shares: scored rows, refused rows, and the report with its breakdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median

from mfu.predict.types import Prediction, Problem

Row = Mapping[str, str]
Keys = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scored:
    """One predicted row. `error` is predicted over measured, less 1."""

    id: str
    measured: float
    predicted: float
    keys: Keys
    note: str = ""
    low: float | None = None
    high: float | None = None
    """The printed 80 % band, in the unit of `predicted`; None where none is printed."""
    memory_error: float | None = None
    """Predicted over measured peak memory, less 1; None where no peak was measured."""

    @property
    def held(self) -> bool | None:
        """Whether the measured value lies in the band; None without one."""
        return None if self.low is None or self.high is None else self.low <= self.measured <= self.high

    @property
    def half_width(self) -> float | None:
        """Half of the band over the prediction."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2.0 / self.predicted

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1.0


@dataclass(frozen=True, slots=True)
class RefusedRow:
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that share the value of one key."""

    key: str
    value: str
    rows: int
    mape: float
    bias: float
    coverage: float | None = None
    memory_mape: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Errors are fractions; None where no row was predicted. `extra` holds what only one kind of table has."""

    rows: int
    scored: tuple[Scored, ...]
    refused: tuple[RefusedRow, ...]
    extra: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def mape(self) -> float | None:
        return mape(self.scored)

    @property
    def median_ape(self) -> float | None:
        return median(abs(row.error) for row in self.scored) if self.scored else None

    @property
    def bias(self) -> float | None:
        return fmean(row.error for row in self.scored) if self.scored else None

    @property
    def coverage(self) -> float | None:
        """Share of predicted rows whose measured value lies in the printed band; None where no row has one."""
        return coverage(self.scored)

    @property
    def half_width(self) -> float | None:
        widths = [width for row in self.scored if (width := row.half_width) is not None]
        return fmean(widths) if widths else None

    def by(self) -> tuple[RowGroup, ...]:
        """Every value of every key, keys in the order of the first row, values by number of rows."""
        keys = tuple(dict.fromkeys(key for row in self.scored for key in row.keys))
        return tuple(group for key in keys for group in _groups(key, self.scored))

    def document(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "rows": self.rows,
            "predicted": len(self.scored),
            "refused": [{"id": row.id, "reason": row.reason} for row in self.refused],
            "mape": self.mape,
            "median_ape": self.median_ape,
            "bias": self.bias,
            "coverage": self.coverage,
            "half_width": self.half_width,
            "by": [asdict(group) for group in self.by()],
            **self.extra,
        }


def mape(rows: Sequence[Scored]) -> float | None:
    """Mean absolute error as a fraction of the measured value, None without rows."""
    return fmean(abs(row.error) for row in rows) if rows else None


def memory_mape(rows: Sequence[Scored]) -> float | None:
    """Mean absolute error of the peaks as a fraction of the measured, None where none was measured."""
    found = [abs(row.memory_error) for row in rows if row.memory_error is not None]
    return fmean(found) if found else None


def coverage(rows: Sequence[Scored]) -> float | None:
    """Share of the rows that lie in their band, None without bands."""
    held = [row.held for row in rows if row.held is not None]
    return sum(held) / len(held) if held else None


def _groups(key: str, rows: Iterable[Scored]) -> list[RowGroup]:
    members: dict[str, list[Scored]] = {}
    for row in rows:
        members.setdefault(row.keys.get(key, ""), []).append(row)
    ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        RowGroup(
            key,
            value,
            len(found),
            fmean(abs(row.error) for row in found),
            fmean(row.error for row in found),
            coverage(found),
            memory_mape(found),
        )
        for value, found in ordered
    ]


def report(
    rows: Sequence[Row], score: Callable[[Row], Scored | Problem], extra: Mapping[str, float | None] | None = None
) -> Report:
    """Score every row; a row that cannot be predicted is refused with the reason, never dropped."""
    scored: list[Scored] = []
    refused: list[RefusedRow] = []
    for row in rows:
        found = score(row)
        if isinstance(found, Problem):
            refused.append(RefusedRow(row.get("id", ""), str(found)))
        else:
            scored.append(found)
    return Report(len(rows), tuple(scored), tuple(refused), extra or {})


def banded(prediction: Prediction, value: float) -> tuple[float, float]:
    """The printed band of MFU as a band of a rate that grows with it."""
    return value * prediction.low / prediction.mfu, value * prediction.high / prediction.mfu


def banded_seconds(prediction: Prediction) -> tuple[float, float]:
    """The band as step time: the highest MFU is the shortest step."""
    seconds = prediction.step_seconds
    return seconds * prediction.mfu / prediction.high, seconds * prediction.mfu / prediction.low


def number(row: Row, column: str) -> float | None:
    """A finite number, None for a cell that is blank, missing or no such number."""
    text = (row.get(column) or "").strip()
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class MissingColumn(Exception):
    """A column that a prediction needs is blank or holds no positive number."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def needed(row: Row, column: str) -> float:
    """A positive number; raises Missing where the cell is blank or is none."""
    value = number(row, column)
    if value is None or value <= 0:
        raise MissingColumn(column)
    return value


def whole(row: Row, column: str, default: int | None = None) -> int:
    """A positive integer; the default where the cell holds none, Missing without a default."""
    value = number(row, column)
    if value is not None and value >= 1:
        return int(value)
    if default is None:
        raise MissingColumn(column)
    return default


def size_of(parameters: float) -> str:
    """Size class of a model. `size_of(8.03e9) == "3-13B"`."""
    for limit, label in ((1e9, "<1B"), (3e9, "1-3B"), (13e9, "3-13B"), (50e9, "13-50B"), (150e9, "50-150B")):
        if parameters < limit:
            return label
    return ">150B"
