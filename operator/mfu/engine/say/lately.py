"""What changed lately over the whole fleet: changes that have a place in common, and the means of the last days."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from mfu.account.rollup import Figure
from mfu.api import fleetreport as api
from mfu.engine.plan import WorkloadPlan
from mfu.engine.text import epoch, moment
from mfu.observe.drift import Drift
from mfu.units import decimal

DAY_SECONDS: Final = 86_400.0
MOST_CHANGES, MOST_DAYS = 20, 31
SAMPLE_SECONDS: Final = 300.0


def change_rows(plans: Sequence[WorkloadPlan], now: float) -> tuple[api.ChangeFigures, ...]:
    """One product of two that fell is one row, with how many others on it did not."""
    on_product = Counter(plan.product for plan in plans if plan.product)
    groups: dict[tuple[str, str, str, str], list[Drift]] = defaultdict(list)
    for plan in plans:
        drift = plan.memory.drift
        if drift is not None and 0 <= now - drift.at <= DAY_SECONDS:
            groups[_key(drift)].append(drift)
    rows = [_change(key, found, on_product[key[2]]) for key, found in groups.items()]
    rows.sort(key=lambda row: (-row.workloads, row.kind, row.product, row.node, row.direction))
    return tuple(rows[:MOST_CHANGES])


def _key(drift: Drift) -> tuple[str, str, str, str]:
    node = drift.where.node if drift.where else ""
    return str(drift.kind), "Fell" if drift.after < drift.before else "Rose", drift.product[:64], node[:256]


def _change(key: tuple[str, str, str, str], found: Sequence[Drift], on_product: int) -> api.ChangeFigures:
    kind, direction, product, node = key
    return api.ChangeFigures(
        kind=kind,
        direction=direction,
        product=product,
        node=node,
        workloads=len(found),
        others=max(0, on_product - len(found)),
        relative=decimal(median(each.relative for each in found)),
        newest_at=moment(max(each.at for each in found)),
    )


@dataclass(frozen=True, slots=True)
class Today:
    """The fleet at one moment. None is unknown."""

    figure: Figure
    lost_per_hour: float | None


def trend_rows(before: Sequence[api.DayFigures], today: Today, now: float) -> tuple[api.DayFigures, ...]:
    """One more figure for the day that it is, at most one every five minutes; days without one are not there."""
    day = moment(now)[:10]
    known = {row.day: row for row in before}
    mine = known.get(day)
    if today.figure.mfu is None or (mine is not None and now - _taken(mine) < SAMPLE_SECONDS):
        return tuple(before)
    known[day] = _with(mine or api.DayFigures(day=day), today, now)
    return tuple(known[each] for each in sorted(known))[-MOST_DAYS:]


def _taken(row: api.DayFigures) -> float:
    """A time that does not read is long ago."""
    try:
        return epoch(row.updated_at) if row.updated_at else 0.0
    except ValueError:
        return 0.0


def _with(row: api.DayFigures, today: Today, now: float) -> api.DayFigures:
    figure, count = today.figure, row.samples

    def mean(before: str | None, value: float | None, digits: int) -> str | None:
        if value is None:
            return before
        return decimal((float(before) * count + value) / (count + 1) if before is not None else value, digits)

    return api.DayFigures(
        day=row.day,
        mfu=mean(row.mfu, figure.mfu, 4),
        scheduling=mean(row.scheduling, figure.factors.scheduling, 4),
        cost_per_hour=mean(row.cost_per_hour, figure.cost_per_hour, 2),
        lost_per_hour=mean(row.lost_per_hour, today.lost_per_hour, 2),
        samples=count + 1,
        updated_at=moment(now),
    )
