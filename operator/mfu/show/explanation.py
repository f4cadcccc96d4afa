"""One workload explained: waterfall, both meters, causes with evidence, decisions, and other dashboards' figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.api.causes import Actor
from mfu.api.conditions import NEVER_SILENT, ConditionStatus, ConditionType
from mfu.api.decisions import Decision
from mfu.api.names import PAUSED_ANNOTATION
from mfu.api.recommendations import AdviceVerdict, AnsweredAdvice, Recommendation, RecommendationKind
from mfu.api.workload_status import (
    Allocation,
    Change,
    Cost,
    Loss,
    Observed,
    Reading,
    Summary,
    WorkloadFactors,
    WorkloadStatus,
)
from mfu.show.figures import UNKNOWN, number, share
from mfu.show.levels import above_attainable
from mfu.show.path import Traces, WayPoint, way
from mfu.show.waterfall import Waterfall, waterfall
from mfu.show.workloads import ready
from mfu.units import money, percent

_MISLEADING: Final = {
    "GPU utilisation": "a kernel was resident; waiting counts",
    "GPU active": "a context was bound; waiting counts",
    "SM active": "warps were resident; spinning counts",
    "memory active": "bytes moved, useful or not",
    "tensor active": "executed, recomputation and padding included",
}
_PAUSED: Final = f"Paused: nothing of it is judged or changed until the annotation {PAUSED_ANNOTATION} is removed"
LEAST_POINTS, LEAST_THROUGHPUT_PERCENT = 0.05, 0.5
"""Gains below these are not worth their digits."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the head."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One window of one meter. Fractions; None where unknown."""

    window: str
    meter: str
    mfu: float | None
    mbu: float | None
    low: float | None
    high: float | None
    coverage: str


@dataclass(frozen=True, slots=True)
class DashboardFigure:
    """One figure of another dashboard, and what it leaves out."""

    name: str
    value: str
    misleading: str


@dataclass(frozen=True, slots=True)
class ExplainedLoss:
    """One cause. `share` of the peak and `mended_mfu` are fractions; None where unknown."""

    cause: str
    explains: str
    actor: str
    wasted: bool
    share: float | None
    mended_mfu: float | None
    confidence: str
    action: str
    evidence: str

    @property
    def figures(self) -> str:
        """What it costs, what mending it brings, and how sure that is."""
        costs = "" if self.share is None else f"costs {share(self.share)} of peak; "
        mended = "" if self.mended_mfu is None else f"mended: {share(self.mended_mfu)} MFU; "
        return f"{costs}{mended}confidence {self.confidence}"


@dataclass(frozen=True, slots=True)
class Advised:
    """One change on the way from the declared setting to the attainable one."""

    field: str
    before: str
    after: str
    gain: str
    """Such as `+1.9 points, +5 % tokens/s`; empty where it is too small to tell."""


@dataclass(frozen=True, slots=True)
class RankedStep:
    """One line of the list of what to do; each assumes those before it."""

    rank: int
    action: str
    actor: str
    brings: str
    """Such as `+5 % → 19,120 tokens/s, $0.42 per M tokens`; empty where nothing is known."""
    answer: str = ""
    """What its owner said to it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything comes from status; what is not there is said to be unknown, or left out as a whole."""

    namespace: str
    name: str
    model: str
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    waterfall: Waterfall | None
    measurements: tuple[Measurement, ...]
    sources: tuple[str, ...]
    dashboards: tuple[DashboardFigure, ...]
    losses: tuple[ExplainedLoss, ...]
    changes: tuple[Advised, ...]
    recommendations: tuple[RankedStep, ...]
    decisions: tuple[Decision, ...]
    way: tuple[WayPoint, ...]
    """Of its placement, from decided to seen; empty where the cluster was not asked."""


def explanation(
    namespace: str, name: str, status: WorkloadStatus, *, paused: bool = False, traces: Traces | None = None
) -> Explanation:
    """`paused`: its annotation says so, and all that follows is of the time before."""
    said = status.summary or Summary()
    changes = status.attainable.changes if status.attainable else ()
    return Explanation(
        namespace=namespace,
        name=name,
        model=said.model,
        facts=_facts(status, said),
        warnings=(*((_PAUSED,) if paused else ()), *_warnings(status)),
        waterfall=waterfall(status),
        measurements=tuple(map(_measurement, status.observed)),
        sources=tuple(dict.fromkeys(map(_source, status.observed))),
        dashboards=tuple(map(_dashboard, status.readings)),
        losses=tuple(map(_loss, status.losses)),
        changes=tuple(map(_advised, changes)),
        recommendations=tuple(ranked(each, status) for each in status.recommendations),
        decisions=status.decisions,
        way=way(status.decisions, traces, status.conditions) if traces is not None else (),
    )


def _facts(status: WorkloadStatus, said: Summary) -> tuple[Fact, ...]:
    levels = (("expected", said.expected), ("observed", said.observed), ("attainable", said.attainable))
    return (
        Fact("runs on", _where(status.allocation)),
        *(Fact(label, f"{value:>8} {said.scale}") for label, value in levels),
        *_factors(status.factors),
        *_latency(said),
        Fact("cost", f"{said.cost_per_hour} per hour, {said.lost_per_hour} of it lost"),
        *_tokens(status.cost),
        *_worth(status.cost),
        *_whole_run(status.cost),
        *_energy(status.cost),
        Fact("main cause", said.cause),
        Fact("ready", ready(status)),
    )


def _factors(found: WorkloadFactors | None) -> tuple[Fact, ...]:
    """`reference MFU 15.0% = 50.0% held of what it asks for × 75.0% of that making progress × 40.0% program …`."""
    if found is None:
        return ()
    whole, held, moving, program = (
        percent(number(each)) for each in (found.mfu, found.scheduling, found.runtime, found.program)
    )
    parts = f"{held} held of what it asks for × {moving} of that making progress × {program} program efficiency"
    return (Fact("factors", f"reference MFU {whole} = {parts}"),)


def _tokens(cost: Cost | None) -> tuple[Fact, ...]:
    """`$0.3125 per million read, $7.50 per million written` of a service whose engines count both."""
    kinds = ((cost.per_million_input_tokens, "read"), (cost.per_million_output_tokens, "written")) if cost else ()
    symbol = cost.currency if cost else ""
    told = [_money(amount, symbol, f"per million {word}") for amount, word in kinds if amount is not None]
    return (Fact("tokens", ", ".join(told)),) if told else ()


def _worth(cost: Cost | None) -> tuple[Fact, ...]:
    """What useful work costs, and what is charged for it, where those are known."""
    work, charged = (number(cost.per_useful_pflop), number(cost.revenue_per_hour)) if cost else (None, None)
    symbol = cost.currency if cost else ""
    return (
        *(() if work is None else (Fact("useful work", f"{symbol}{work:.6f} per PFLOP (1e15 model operations)"),)),
        *(() if charged is None else (Fact("charged", f"{money(charged, symbol)} per hour"),)),
    )


def _whole_run(cost: Cost | None) -> tuple[Fact, ...]:
    """All of training.totalTokens, as expected and at the present pace."""
    run = cost.whole_run if cost else None
    if cost is None or run is None:
        return ()
    expected = _hours(run.expected_hours, run.expected_cost, cost.currency)
    return (
        Fact("whole run", f"{expected} expected, {_hours(run.hours, run.cost, cost.currency)} at the present pace"),
    )


def _hours(hours: str | None, amount: str | None, currency: str) -> str:
    """`27,127 h for $27,777,000.00`."""
    time, price = number(hours), number(amount)
    if time is None:
        return UNKNOWN
    return f"{time:,.0f} h" if price is None else f"{time:,.0f} h for {money(price, currency)}"


def _energy(cost: Cost | None) -> tuple[Fact, ...]:
    energy = number(cost.watt_hours_per_million_tokens) if cost else None
    return () if energy is None else (Fact("energy", f"{energy:,.0f} Wh per million tokens (GPUs alone)"),)


def _latency(said: Summary) -> tuple[Fact, ...]:
    """What a service should answer in, as declared, and how much it does; nothing of a training."""
    parts = [f"{name} {value}" for name, value in (("TTFT", said.ttft), ("TPOT", said.tpot)) if value]
    kept = f"{said.observed_slo} of the last ten minutes' answers in time; 95% are promised"
    return (
        *((Fact("latency", f"{', '.join(parts)} expected"),) if parts else ()),
        *((Fact("expected SLO", said.expected_slo),) if said.expected_slo else ()),
        *(
            (Fact("observed SLO", kept if ":" in said.observed_slo else said.observed_slo),)
            if said.observed_slo
            else ()
        ),
    )


def _where(held: Allocation | None) -> str:
    if held is None:
        return "waiting"
    return f"{held.gpus} × {held.product} on {held.nodes} node{'' if held.nodes == 1 else 's'}"


def _warnings(status: WorkloadStatus) -> tuple[str, ...]:
    bad = (
        each
        for each in status.conditions
        if (each.status == ConditionStatus.FALSE and each.type != ConditionType.READY) or each.reason in NEVER_SILENT
    )
    return (*(f"{each.type}: {each.message}" for each in bad), *above_attainable(status))


def _measurement(each: Observed) -> Measurement:
    return Measurement(
        window=each.window,
        meter=str(each.meter),
        mfu=number(each.mfu),
        mbu=number(each.mbu),
        low=number(each.low),
        high=number(each.high),
        coverage=each.coverage or UNKNOWN,
    )


def _source(each: Observed) -> str:
    how = "estimated" if each.estimated else "measured"
    return f"{each.meter}: {how}, {each.source or UNKNOWN} at {each.observed_at or UNKNOWN}"


def _dashboard(each: Reading) -> DashboardFigure:
    return DashboardFigure(each.name, _reading(each), _MISLEADING.get(each.name, ""))


def _reading(each: Reading) -> str:
    value = number(each.value)
    if value is None:
        return UNKNOWN
    if each.unit == "fraction":
        return f"{100 * value:.0f} %"
    return f"{value / 1e6:.0f} MHz" if each.unit == "Hz" else f"{value:.4g} {each.unit}"


def _loss(each: Loss) -> ExplainedLoss:
    return ExplainedLoss(
        cause=str(each.cause),
        explains=str(each.explains),
        actor=_actor(each.actor),
        wasted=each.wasted,
        share=number(each.share),
        mended_mfu=number(each.counterfactual_mfu),
        confidence=each.confidence or UNKNOWN,
        action=each.action,
        evidence=each.evidence,
    )


def _actor(actor: Actor | None) -> str:
    return UNKNOWN if actor is None else str(actor)


def ranked(each: Recommendation, status: WorkloadStatus) -> RankedStep:
    """The figures are those of the whole workload with this step and all before it made."""
    currency = status.cost.currency if status.cost else ""
    parts = (_faster(each), _money(each.cost_per_million_tokens, currency, "per M tokens"), _hourly(each, currency))
    answer = next((_answer(reply) for reply in status.answers if reply.field == each.field), "")
    return RankedStep(each.rank, each.action, str(each.actor), ", ".join(filter(None, parts)), answer)


def _answer(reply: AnsweredAdvice) -> str:
    """What its owner did with it. One that is still listed was said to be done, and is not seen."""
    if reply.verdict is AdviceVerdict.DECLINED:
        return f"declined: {reply.reason}"
    return f"said to be done, and not seen yet: {reply.reason}"


def _faster(each: Recommendation) -> str:
    gain, rate = number(each.gain), number(each.tokens_per_second)
    if not rate:
        return ""
    return f"{rate:,.0f} tokens/s" if gain is None else f"{100 * gain:+.1f} % → {rate:,.0f} tokens/s"


def _hourly(each: Recommendation, currency: str) -> str:
    """Where the money that it costs changes, not only what it buys."""
    return _money(each.cost_per_hour, currency, "per hour") if each.kind in _CHANGES_COST else ""


_CHANGES_COST: Final = frozenset(
    {
        RecommendationKind.RELEASE,
        RecommendationKind.FIT,
        RecommendationKind.SLICE,
        RecommendationKind.PRODUCT,
        RecommendationKind.REPLICAS,
    }
)


def _money(amount: str | None, currency: str, per: str) -> str:
    value = number(amount)
    if value is None:
        return ""
    return f"{money(value, currency)} {per}" if value >= 1 or not value else f"{currency}{value:.3g} {per}"


def _advised(change: Change) -> Advised:
    return Advised(change.field, change.from_, change.to, _gain(change))


def _gain(change: Change) -> str:
    points = 100 * (number(change.gain) or 0.0)
    throughput = 100 * (number(change.throughput_gain) or 0.0)
    parts = [f"{points:+.1f} points"] if abs(points) >= LEAST_POINTS else []
    if abs(throughput) >= LEAST_THROUGHPUT_PERCENT:
        parts.append(f"{throughput:+.0f} % tokens/s")
    return ", ".join(parts)
