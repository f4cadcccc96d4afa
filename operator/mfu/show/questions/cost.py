"""Is my cost per token what the expected MFU says? Price at the measured rate beside price at the expected one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mfu.api.causes import Cause, Explains
from mfu.api.workload_status import Scale, WorkloadStatus
from mfu.show.facts import Fact
from mfu.show.figures import number, share
from mfu.show.questions.answer import SAME, Answer, why_unknown
from mfu.show.waterfall import best_observed
from mfu.show.workloads import Listed
from mfu.units import money

QUESTION = "Is my cost per token what the expected MFU says?"


def cost(workloads: Sequence[Listed]) -> Iterator[Answer]:
    return map(_answer, workloads)


def _answer(workload: Listed) -> Answer:
    status = workload.status
    price = number(status.cost.per_hour) if status.cost else None
    gpus = status.allocation.gpus if status.allocation else 0
    if status.cost is None or price is None:
        return _unknown(workload, "its GPUs have no price: set spec.prices in an MFUPolicy")
    best, first = best_observed(status), next(iter(status.expected), None)
    reached = number(best.tokens_per_second_per_gpu) if best else None
    promised = number(first.tokens_per_second_per_gpu) if first else None
    if not reached or not promised or not gpus:
        return _unknown(workload, why_unknown(status) if not reached or not gpus else "its rate can not be predicted")
    paid, due = (per_million(price, each * gpus) for each in (reached, promised))
    return _compared(workload, (paid, due), status.cost.currency)


def per_million(price_per_hour: float, tokens_per_s: float) -> float:
    """`per_million(36.0, 10_000.0) == 1.0`: a dollar for each million tokens."""
    return price_per_hour / 3600 / tokens_per_s * 1e6


def _compared(workload: Listed, costs: tuple[float, float], currency: str) -> Answer:
    paid, due = costs
    more = paid / due - 1
    verdict = "Yes" if abs(more) <= SAME or _in_band(workload.status) else "No"
    figures = f"a million tokens cost {_money(paid, currency)} where the expected MFU says {_money(due, currency)}"
    apart = f", {abs(more):.0%} {'more' if more > 0 else 'less'}"
    why = ", within what the prediction can tell" if verdict == "Yes" else _whose(workload.status, more)
    return Answer(
        QUESTION, workload.key, verdict, f"{verdict}: {figures}{apart}{why}.", tuple(_evidence(workload.status))
    )


def _in_band(status: WorkloadStatus) -> bool:
    """Is what was observed where the prediction said it may be?"""
    best, first = best_observed(status), status.expected[0]
    on_bandwidth = status.summary is not None and status.summary.scale == Scale.MBU
    reached = None if best is None else number(best.mbu if on_bandwidth else best.mfu)
    low, high = number(first.low), number(first.high)
    return reached is not None and low is not None and high is not None and low <= reached <= high


def _money(amount: float, currency: str) -> str:
    """Three digits at least: a million tokens may cost a few cents."""
    return money(amount, currency) if amount >= 10 else f"{currency}{amount:.4f}"


def _whose(status: WorkloadStatus, more: float) -> str:
    """The largest cause at run time, where it costs more than it should."""
    named = (each for each in status.losses if each.cause not in (Cause.UNKNOWN, Cause.NONE))
    runtime = [each for each in named if each.explains is Explains.RUNTIME and each.wasted]
    if more <= 0:
        return ""
    if not runtime:
        return "; no cause is known"
    first = runtime[0]
    whose = f", which the {str(first.actor).lower()} can mend" if first.actor else ""
    return f"; first to {first.cause}{whose}"


def _evidence(status: WorkloadStatus) -> Iterator[Fact]:
    best, first = best_observed(status), status.expected[0]
    if best is not None:
        yield Fact("observed", f"{best.tokens_per_second_per_gpu} tokens/s per GPU, {share(number(best.mfu))} MFU")
    yield Fact("expected", f"{first.tokens_per_second_per_gpu} tokens/s per GPU, {share(number(first.mfu))} MFU")
    if status.cost and status.allocation:
        price = money(number(status.cost.per_hour), status.cost.currency)
        yield Fact("price", f"{price} per hour for {status.allocation.gpus} × {status.allocation.product}")


def _unknown(workload: Listed, why: str) -> Answer:
    return Answer(QUESTION, workload.key, "Unknown", f"Unknown: {why}.")
