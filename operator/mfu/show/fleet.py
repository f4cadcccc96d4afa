"""The fleet on one page: what it does, what that costs, and who could mend what is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mfu.api.causes import Cause, Explains
from mfu.api.fleetreport import (
    Bill,
    Figures,
    FleetStatus,
    FleetSummary,
    LossFigures,
    NodeFigures,
    ThreeFactors,
    Undeclared,
)
from mfu.show.figures import number
from mfu.show.fleet_groups import (
    beside,
    change_sentence,
    day_cells,
    family_cells,
    layout_cells,
    structural_sentence,
)
from mfu.units import money, percent

FACTOR_COLUMNS: Final = ("SCHEDULED", "PROGRESSING", "PROGRAM")
"""They multiply to MFU: of a group's GPUs, or of all that a workload asks for."""
GROUP_COLUMNS: Final = ("GPUS", "ALLOCATED", "MFU", *FACTOR_COLUMNS, "ALLOCATED-MFU", "KNOWN", "$/H")
LOST, CHARGED = "LOST/H", "CHARGED/H"
LOSS_COLUMNS: Final = ("CAUSE", "EXPLAINS", "WHO", "WORKLOADS", "SHARE", "LOST/H")
ALL_MOVE: Final = 0.95
"""Of a full node's GPU-time: above it jobs save and start anew, below it one of sixteen GPUs may stand still."""
LEAST_UNCAUSED: Final = 0.05
"""Of the loss: below it what no cause explains is rounding and overlap."""
_UNALLOCATED: Final = "unallocated"
_PARTS: Final = (
    ("useful", "useful"),
    ("lost", "lost"),
    ("held_idle", "held idle"),
    ("unallocated", _UNALLOCATED),
    ("unknown", "unknown"),
)


@dataclass(frozen=True, slots=True)
class BillPart:
    """One of the five amounts that make up a bill, per hour."""

    words: str
    amount: float


@dataclass(frozen=True, slots=True)
class BillLine:
    """The bill of one currency: every amount, and how they make up the whole."""

    currency: str
    per_hour: float
    parts: tuple[BillPart, ...]
    unpriced_gpus: str
    revenue: float | None = None
    """What holders are charged per hour; None where nothing is."""

    @property
    def earned(self) -> str:
        """`$98.00 per hour are charged for held GPUs that cost $120.30: $22.30 less`; empty where nothing is."""
        if self.revenue is None:
            return ""
        held = self.per_hour - sum(each.amount for each in self.parts if each.words == _UNALLOCATED)
        more = self.revenue - held
        words = f"{money(abs(more), self.currency)} {'more' if more >= 0 else 'less'}"
        charged = f"{money(self.revenue, self.currency)} per hour are charged"
        return f"{charged} for held GPUs that cost {money(held, self.currency)}: {words}"

    @property
    def sentence(self) -> str:
        parts = " + ".join(f"{money(each.amount, self.currency)} {each.words}" for each in self.parts)
        beside = "" if float(self.unpriced_gpus) == 0 else f"; {self.unpriced_gpus} GPUs have no price"
        return f"{money(self.per_hour, self.currency)} per hour = {parts}{beside}"


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Figures of products, namespaces or nodes: a name and a cell for each of `columns`."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = GROUP_COLUMNS


@dataclass(frozen=True, slots=True)
class DraftLine:
    """What pods without a declaration seem to be, and the command that adopts them."""

    sentence: str
    command: str


@dataclass(frozen=True, slots=True)
class FleetView:
    """A FleetReport's status as it is read."""

    headline: str
    factors: str
    """MFU as a product of three; empty where it is not known."""
    held_for_nothing: tuple[str, ...]
    """Nodes that are fully allocated and not at work: free to no scheduler, and idle."""
    main_cause: str
    bills: tuple[BillLine, ...]
    groups: tuple[GroupTable, ...]
    losses: tuple[tuple[str, ...], ...]
    """A cell for each of LOSS_COLUMNS."""
    uncaused: str = ""
    """What of the money lost at run time no cause explains, in a sentence; empty where it is next to nothing."""
    families: tuple[tuple[str, ...], ...] = ()
    """A cell for each of FAMILY_COLUMNS."""
    structural: tuple[str, ...] = ()
    """A sentence for each family that loses to what it is."""
    changes: tuple[str, ...] = ()
    """A sentence for each change of the last day."""
    trend: tuple[tuple[str, ...], ...] = ()
    """A cell for each of TREND_COLUMNS, oldest day first."""
    layouts: tuple[tuple[str, ...], ...] = ()
    """Nodes that are planned to get another MIG layout: a cell for each of LAYOUT_COLUMNS."""
    beside: tuple[str, ...] = ()
    """Usage effectiveness, latency objectives and power, each in a sentence."""
    drafts: tuple[DraftLine, ...] = ()
    """GPU pods that nobody declared."""


def fleet_view(status: FleetStatus) -> FleetView:
    said, currency = status.summary or FleetSummary(), status.currency or "$"
    return FleetView(
        headline=_headline(status, said),
        factors=_factors(status.totals),
        held_for_nothing=tuple(map(_nothing, filter(_held_for_nothing, status.nodes))),
        main_cause=said.cause,
        bills=tuple(map(_bill, status.bills)),
        groups=tuple(_groups(status, currency)),
        losses=tuple(_loss(each, currency) for each in status.losses),
        uncaused=_uncaused(status, currency),
        families=tuple(map(family_cells, status.families)),
        structural=tuple(filter(None, map(structural_sentence, status.families))),
        changes=tuple(map(change_sentence, status.changes)),
        trend=tuple(day_cells(each, currency) for each in status.trend),
        layouts=tuple(map(layout_cells, status.layouts)),
        beside=tuple(beside(status)),
        drafts=tuple(map(_draft, status.drafts)),
    )


def _headline(status: FleetStatus, said: FleetSummary) -> str:
    if {said.gpus, said.mfu} == {"Unknown"} and not status.nodes:
        return "No node that offers GPUs is known"
    held = said.gpus.replace("/", " of ")
    slices = ", a MIG slice as its part of one" if "." in held else ""
    return f"Fleet MFU {said.mfu}; {held} GPUs allocated{slices}; {said.coverage} of GPU-time known"


def _draft(each: Undeclared) -> DraftLine:
    """`team/deployment/llm: 8 GPUs in 2 pods, seems to be vLLM 0.11.0 serves llama-3.3-70b`."""
    pods = f"{each.pods} pod{'' if each.pods == 1 else 's'}"
    held = f"{each.gpus} GPU{'' if each.gpus == 1 else 's'} in {pods}" if each.gpus else f"claims of {pods}"
    seems = f": {each.seems}" if each.seems else ": its images and arguments do not tell what it runs"
    return DraftLine(f"{each.namespace}/{each.target}, {held}{seems}", each.command)


def _factors(totals: Figures | None) -> str:
    """`22.9% = 63.9% held by somebody × 100.0% of that making progress × 35.8% program efficiency`."""
    if totals is None or totals.factors is None:
        return ""
    held, moving, program = _three(totals)
    parts = f"{held} held by somebody × {moving} of that making progress × {program} program efficiency"
    return f"{percent(number(totals.mfu))} = {parts}"


def _held_for_nothing(node: NodeFigures) -> bool:
    """Every GPU has a holder, and some of them do nothing, or all do so for some of the time."""
    moving = number(node.factors.runtime) if node.factors else None
    return node.gpus == node.allocated_gpus and moving is not None and moving < ALL_MOVE


def _nothing(node: NodeFigures) -> str:
    moving = percent(number(node.factors.runtime) if node.factors else None)
    return f"{node.node}: all {node.gpus} GPUs are held, {moving} of their time makes progress"


def _three(each: Figures) -> tuple[str, str, str]:
    found = each.factors or ThreeFactors()
    return percent(number(found.scheduling)), percent(number(found.runtime)), percent(number(found.program))


def _bill(bill: Bill) -> BillLine:
    parts = tuple(BillPart(words, float(getattr(bill, name))) for name, words in _PARTS)
    return BillLine(bill.currency, float(bill.per_hour), parts, bill.unpriced_gpus, number(bill.revenue))


def _groups(status: FleetStatus, currency: str) -> Iterator[GroupTable]:
    yield GroupTable("PRODUCT", tuple((each.product, *_cells(each, currency)) for each in status.products))
    yield _namespaces(status, currency)
    yield GroupTable("NODE", tuple((each.node, *_cells(each, currency)) for each in status.nodes))


def _namespaces(status: FleetStatus, currency: str) -> GroupTable:
    """What each could save, and what it is charged where anybody is, stand beside what it costs."""
    sold = any(number(each.revenue_per_hour) is not None for each in status.namespaces)
    rows = []
    for each in status.namespaces:
        beside = [number(each.lost_per_hour), *([number(each.revenue_per_hour)] if sold else [])]
        rows.append((each.namespace, *_cells(each, currency), *(money(amount, currency) for amount in beside)))
    return GroupTable("NAMESPACE", tuple(rows), (*GROUP_COLUMNS, LOST, *((CHARGED,) if sold else ())))


def _cells(each: Figures, currency: str) -> tuple[str, ...]:
    unknown = number(each.coverage.unknown) if each.coverage else None
    return (
        each.gpus,
        each.allocated_gpus,
        percent(number(each.mfu)),
        *_three(each),
        percent(number(each.allocated_mfu)),
        percent(None if unknown is None else 1 - unknown, 0),
        money(number(each.cost_per_hour), currency),
    )


def _uncaused(status: FleetStatus, currency: str) -> str:
    """`$24.81 per hour are lost at run time to no known cause`: the bill's loss less what the causes below take."""
    lost = sum(float(each.lost) for each in status.bills if each.currency == currency)
    named = [
        number(each.lost_per_hour) or 0.0
        for each in status.losses
        if each.explains is Explains.RUNTIME and each.cause not in (Cause.UNKNOWN, Cause.IDLE_ALLOCATION)
    ]
    rest = lost - sum(named)
    if rest <= LEAST_UNCAUSED * lost:
        return ""
    return f"{money(rest, currency)} per hour of the loss at run time have no known cause"


def _loss(each: LossFigures, currency: str) -> tuple[str, ...]:
    return (
        str(each.cause),
        str(each.explains),
        str(each.actor or ""),
        str(each.workloads),
        percent(number(each.share)),
        money(number(each.lost_per_hour), currency),
    )
