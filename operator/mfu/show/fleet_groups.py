"""What the fleet's report tells besides GPUs and money: families, changes, days, objectives, power. As sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mfu.api.fleetreport import (
    Bill,
    ChangeFigures,
    DayFigures,
    FamilyFigures,
    FleetStatus,
    LayoutState,
    PlannedLayout,
    PowerFigures,
    ServiceFigures,
    ShadowClass,
)
from mfu.show.figures import number
from mfu.units import money, percent

FAMILY_COLUMNS: Final = ("WORKLOADS", "GPUS", "EXPECTED", "OBSERVED", "ATTAINABLE", "STRUCTURAL LOSS")
TREND_COLUMNS: Final = ("MFU", "SCHEDULED", "$/H", "LOST/H")
LAYOUT_COLUMNS: Final = ("MIG LAYOUT", "OFFERS", "WAITING", "MOVED", "STATE")
_LAYOUT_STATES: Final = {
    LayoutState.PLANNED: "planned",
    LayoutState.NOT_CONSENTED: "planned; a policy there lets no pod be moved",
    LayoutState.UNDER_WAY: "under way",
    LayoutState.ON_ALLOCATION: "nothing to lay out: cut when claimed (mfu place --claim)",
}


def family_cells(each: FamilyFigures) -> tuple[str, ...]:
    """Name first, then a cell for each of FAMILY_COLUMNS."""
    levels = (percent(number(level)) for level in (each.expected, each.observed, each.attainable))
    loss = f"{each.structural} {percent(number(each.share))}" if each.structural else ""
    return (each.family, str(each.workloads), each.gpus, *levels, loss)


def layout_cells(each: PlannedLayout) -> tuple[str, ...]:
    """Node first, then a cell for each of LAYOUT_COLUMNS; who waits and what is moved is not told of one under way."""
    figures = ("", "") if each.state is LayoutState.UNDER_WAY else (str(each.waiting), str(each.moved))
    return (each.node, each.layout, each.slices, *figures, _LAYOUT_STATES[each.state])


def structural_sentence(each: FamilyFigures) -> str:
    """`mixtral: 3 of 3 workloads lose to Communication, 12.0% of the family's peak (runtime)`; empty without one."""
    if each.structural is None:
        return ""
    where = f"{percent(number(each.share))} of the family's peak ({str(each.explains).lower()})"
    return f"{each.family}: {each.affected} of {each.workloads} workloads lose to {each.structural}, {where}"


def change_sentence(each: ChangeFigures) -> str:
    """`Infrastructure: 3 workloads on H200-SXM fell by 8.0% (2 others on that product did not)`."""
    relative = number(each.relative)
    size = percent(None if relative is None else abs(relative))
    node = f", node {each.node}" if each.node else ""
    many = f"{each.workloads} workload{'' if each.workloads == 1 else 's'}"
    others = f"{each.others} others on that product did not" if each.others else "all on that product"
    return f"{each.kind}: {many} on {each.product or 'Unknown'}{node} {each.direction.lower()} by {size} ({others})"


def day_cells(each: DayFigures, currency: str) -> tuple[str, ...]:
    """Day first, then a cell for each of TREND_COLUMNS."""
    amounts = (money(number(amount), currency) for amount in (each.cost_per_hour, each.lost_per_hour))
    return (each.day, percent(number(each.mfu)), percent(number(each.scheduling)), *amounts)


def beside(status: FleetStatus) -> Iterator[str]:
    yield from filter(None, map(_effectiveness, status.bills))
    if status.totals is not None and status.totals.cost_per_useful_pflop is not None:
        price = f"{status.currency or '$'}{float(status.totals.cost_per_useful_pflop):.6f}"
        yield f"A useful PFLOP (1e15 model operations) costs {price}, idle GPUs included"
    if status.services is not None:
        yield _services(status.services)
    if status.power is not None:
        yield _power(status.power)
    if status.oversubscription is not None:
        yield from map(shadow_sentence, status.oversubscription.classes)


def shadow_sentence(each: ShadowClass) -> str:
    """`Oversubscription, dry run: class batch would have had 1 request let in (0 found no room later), 8 GPU-hours`."""
    later = f"{each.exceeded} found no room later"
    asked = f"{each.admitted} request{'' if each.admitted == 1 else 's'} let in ({later})"
    gained = f"{float(each.gpu_hours_gained):,.0f} GPU-hours"
    return f"Oversubscription, dry run: class {each.priority_class} would have had {asked}, {gained}"


def usage_effectiveness(bill: Bill) -> float | None:
    """Money of known use ÷ money that becomes what was expected, at least 1, as PUE is for energy; None without any.

    $188.97 in all, nothing unknown, $106.35 useful: 1.78.
    """
    useful = float(bill.useful)
    return (float(bill.per_hour) - float(bill.unknown)) / useful if useful > 0 else None


def _effectiveness(bill: Bill) -> str:
    value = usage_effectiveness(bill)
    if value is None:
        return ""
    paid = f"{money(value, bill.currency)} are paid for each {money(1.0, bill.currency)} that becomes what was expected"
    return f"Usage effectiveness {value:.2f}: {paid}"


def _services(each: ServiceFigures) -> str:
    """`Latency objectives: 3 of 4 services keep theirs (75%); TTFT in time 99.2%, TPOT Unknown`."""
    timed = f"TTFT in time {percent(number(each.ttft_share))}, TPOT {percent(number(each.tpot_share))}"
    if not each.known:
        have = "1 service has one" if each.with_objective == 1 else f"{each.with_objective} services have one"
        return f"Latency objectives: {have}, and no engine tells what it takes; {timed}"
    share = percent(each.kept / each.known, 0)
    return f"Latency objectives: {each.kept} of {each.known} services keep theirs ({share}){_unknown(each)}; {timed}"


def _unknown(each: ServiceFigures) -> str:
    more = each.with_objective - each.known
    return "" if not more else f", {more} more {'is' if more == 1 else 'are'} not known"


def _power(each: PowerFigures) -> str:
    """`Power: 5.6 kW of 8 GPUs, 0.2 kW of it held by nobody; 134 kWh a day`."""
    watts, idle = float(each.watts), float(each.idle_watts)
    held = f"{idle / 1e3:.1f} kW of it held by nobody"
    return f"Power: {watts / 1e3:.1f} kW of {each.gpus} GPUs, {held}; {watts * 24 / 1e3:,.0f} kWh a day"
