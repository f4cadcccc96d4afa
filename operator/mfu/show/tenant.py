"""What one namespace holds, what that costs, and what each of its workloads could save. From its own statuses alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mfu.api.workload_status import Loss, Scale, WorkloadStatus
from mfu.show.figures import number
from mfu.show.workloads import Listed


@dataclass(frozen=True, slots=True)
class Amount:
    """Money per hour in one currency."""

    currency: str
    per_hour: float
    lost_per_hour: float


@dataclass(frozen=True, slots=True)
class Saving:
    """Money per hour that one cause takes, and whose it is to mend. `workloads` lose to it."""

    cause: str
    explains: str
    actor: str
    workloads: int
    currency: str
    per_hour: float


@dataclass(frozen=True, slots=True)
class TenantView:
    """Totals of what is known; workloads without a price or a figure are counted as such."""

    workloads: int
    gpus: int
    unpriced: int
    amounts: tuple[Amount, ...]
    savings: tuple[Saving, ...]
    """Most money first."""


def tenant_view(workloads: Iterable[Listed]) -> TenantView:
    statuses = [each.status for each in workloads]
    return TenantView(
        workloads=len(statuses),
        gpus=sum(each.allocation.gpus for each in statuses if each.allocation),
        unpriced=sum(each.cost is None for each in statuses),
        amounts=_amounts(statuses),
        savings=_savings(statuses),
    )


def _amounts(statuses: Sequence[WorkloadStatus]) -> tuple[Amount, ...]:
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for cost in filter(None, (each.cost for each in statuses)):
        spent[cost.currency][0] += number(cost.per_hour) or 0.0
        spent[cost.currency][1] += number(cost.lost_per_hour) or 0.0
    return tuple(Amount(currency, *both) for currency, both in sorted(spent.items()))


def _savings(statuses: Sequence[WorkloadStatus]) -> tuple[Saving, ...]:
    total: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for status in statuses:
        for loss in status.losses:
            amount = lost_to(status, loss)
            if amount is not None and status.cost:
                who = str(loss.actor or "Unknown")
                total[str(loss.cause), str(loss.explains), who, status.cost.currency].append(amount)
    found = [
        Saving(cause, explains, who, len(each), currency, sum(each))
        for (cause, explains, who, currency), each in total.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.per_hour, each.cause, each.explains)))


def lost_to(status: WorkloadStatus, loss: Loss) -> float | None:
    """Money per hour that one cause takes: price × its share ÷ what is expected. None where any of them is unknown.

    A workload of $20 an hour that is expected at 40 % and loses 10 % of the peak to a cause loses $5 to it.
    """
    price = number(status.cost.per_hour) if status.cost else None
    taken, promised = number(loss.share), _promised(status)
    if price is None or taken is None or not promised or not loss.wasted:
        return None
    return price * min(1.0, taken / promised)


def _promised(status: WorkloadStatus) -> float | None:
    """Expected on the scale that the workload is judged on."""
    if not status.expected:
        return None
    first, on = status.expected[0], status.summary.scale if status.summary else ""
    return number(first.mbu if on == Scale.MBU else first.mfu)
