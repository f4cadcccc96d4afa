"""What one namespace holds, what that costs, and what each of its workloads could save. From its own statuses alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    charged_per_hour: float | None = None
    """What is charged for it; None where nothing is."""


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
    """Each is looked at once and none is kept: there may be ten thousand."""
    count = gpus = unpriced = 0
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    charged: dict[str, float] = defaultdict(float)
    taken: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for status in (each.status for each in workloads):
        count += 1
        gpus += status.allocation.gpus if status.allocation else 0
        if status.cost is None:
            unpriced += 1
            continue
        spent[status.cost.currency][0] += number(status.cost.per_hour) or 0.0
        spent[status.cost.currency][1] += number(status.cost.lost_per_hour) or 0.0
        if (revenue := number(status.cost.revenue_per_hour)) is not None:
            charged[status.cost.currency] += revenue
        for loss in status.losses:
            amount = lost_to(status, loss)
            if amount is not None:
                who = str(loss.actor or "Unknown")
                taken[str(loss.cause), str(loss.explains), who, status.cost.currency].append(amount)
    amounts = tuple(Amount(each, both[0], both[1], charged.get(each)) for each, both in sorted(spent.items()))
    return TenantView(count, gpus, unpriced, amounts, _savings(taken))


def _savings(taken: Mapping[tuple[str, str, str, str], Sequence[float]]) -> tuple[Saving, ...]:
    found = [
        Saving(cause, explains, who, len(each), currency, sum(each))
        for (cause, explains, who, currency), each in taken.items()
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
