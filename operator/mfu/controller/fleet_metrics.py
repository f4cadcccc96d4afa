"""The fleet as a whole as metrics: its bill by part, what holders are charged, and model families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Final

from mfu.account.bill import Bill
from mfu.controller.metric_names import BILL, FAMILY, REVENUE, SHADOW, STRUCTURAL, UNPRICED, NamedMetric
from mfu.controller.page import Rows
from mfu.engine.plan import Plan
from mfu.engine.say.families import families

_PARTS: Final = ("useful", "lost", "held_idle", "unallocated", "unknown")


def gauge(named: NamedMetric, samples: Iterable[tuple[Sequence[str], float | None]]) -> Rows:
    """What is unknown is absent, never 0."""
    known = ((labels, value) for labels, value in samples if value is not None and isfinite(value))
    return Rows(named.name, named.help, named.labels, known)


def whole_fleet(plan: Plan) -> Iterator[Rows]:
    summed = plan.summed
    if summed is not None:
        yield gauge(BILL, (row for currency, bill in summed.bills.items() for row in _parts(currency, bill)))
        yield gauge(UNPRICED, (((currency,), bill.unpriced_gpus) for currency, bill in summed.bills.items()))
        charged = (((namespace, currency), each) for (currency, namespace), each in summed.revenue_of.items())
        yield gauge(REVENUE, charged)
    found = families(plan.workloads)
    levels = [((each.family,), (each.gpus, each.expected, each.observed, each.attainable)) for each in found]
    for column, named in enumerate(FAMILY):
        yield gauge(named, ((labels, row[column]) for labels, row in levels))
    structural = [(each.family, each.structural) for each in found if each.structural is not None]
    yield gauge(
        STRUCTURAL, (((family, str(loss.cause), str(loss.explains)), loss.share) for family, loss in structural)
    )
    yield from _shadow(plan)


def _shadow(plan: Plan) -> Iterator[Rows]:
    """What oversubscription would have done, by class."""
    said = plan.summed.report.oversubscription if plan.summed and plan.summed.report else None
    rows = [] if said is None else said.classes
    values = [
        ((each.priority_class,), (float(each.admitted), float(each.exceeded), float(each.gpu_hours_gained)))
        for each in rows
    ]
    for column, named in enumerate(SHADOW):
        yield gauge(named, ((labels, row[column]) for labels, row in values))


def _parts(currency: str, bill: Bill) -> Iterator[tuple[Sequence[str], float]]:
    for part in _PARTS:
        yield (currency, part), getattr(bill, part) / 100
