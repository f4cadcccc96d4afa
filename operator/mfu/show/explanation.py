"""One workload explained: waterfall, both meters, causes with evidence, decisions, and other dashboards' figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from mfu.api.causes import Actor
from mfu.api.conditions import NEVER_SILENT, ConditionStatus, ConditionType
from mfu.api.decisions import Decision
from mfu.api.names import PAUSED_ANNOTATION
from mfu.api.recommendations import AdviceVerdict, AnsweredAdvice, Recommendation, RecommendationKind
from mfu.api.workload_status import (
    Change,
    Loss,
    Observed,
    Reading,
    Summary,
    WorkloadStatus,
)
from mfu.show.facts import Fact, head
from mfu.show.figures import UNKNOWN, number, priced, share
from mfu.show.levels import above_attainable
from mfu.show.path import Traces, WayPoint, way
from mfu.show.waterfall import Waterfall, waterfall

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
class Measurement:
    """One window of one meter, or several that tell the same. Fractions; None where unknown."""

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
        facts=head(status, said),
        warnings=(*((_PAUSED,) if paused else ()), *_warnings(status)),
        waterfall=waterfall(status),
        measurements=tuple(_measurements(status.observed)),
        sources=tuple(dict.fromkeys(map(_source, status.observed))),
        dashboards=tuple(map(_dashboard, status.readings)),
        losses=tuple(map(_loss, status.losses)),
        changes=tuple(map(_advised, changes)),
        recommendations=tuple(ranked(each, status) for each in status.recommendations),
        decisions=status.decisions,
        way=way(status.decisions, traces, status.conditions) if traces is not None else (),
    )


def _warnings(status: WorkloadStatus) -> tuple[str, ...]:
    bad = (
        each
        for each in status.conditions
        if (each.status == ConditionStatus.FALSE and each.type != ConditionType.READY) or each.reason in NEVER_SILENT
    )
    return (*(f"{each.type}: {each.message}" for each in bad), *above_attainable(status))


def _measurements(found: Iterable[Observed]) -> Iterator[Measurement]:
    """Windows of one meter that tell the same are one line, `1m to start`: a young run fills them all alike."""
    for _, alike in groupby(map(_measurement, found), key=lambda each: replace(each, window="")):
        first, *others = alike
        yield replace(first, window=f"{first.window} to {others[-1].window}") if others else first


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
    parts = (_faster(each), priced(each.cost_per_million_tokens, currency, "per M tokens"), _hourly(each, currency))
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
    return priced(each.cost_per_hour, currency, "per hour") if each.kind in _CHANGES_COST else ""


_CHANGES_COST: Final = frozenset(
    {
        RecommendationKind.RELEASE,
        RecommendationKind.FIT,
        RecommendationKind.SLICE,
        RecommendationKind.PRODUCT,
        RecommendationKind.REPLICAS,
    }
)


def _advised(change: Change) -> Advised:
    return Advised(change.field, change.from_, change.to, _gain(change))


def _gain(change: Change) -> str:
    points = 100 * (number(change.gain) or 0.0)
    throughput = 100 * (number(change.throughput_gain) or 0.0)
    parts = [f"{points:+.1f} points"] if abs(points) >= LEAST_POINTS else []
    if abs(throughput) >= LEAST_THROUGHPUT_PERCENT:
        parts.append(f"{throughput:+.0f} % tokens/s")
    return ", ".join(parts)
