"""The head of an explanation: where a workload runs, how fast, what it costs, what is charged and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.api.workload_status import Allocation, Cost, Summary, WorkloadFactors, WorkloadStatus
from mfu.show.figures import UNKNOWN, number, priced
from mfu.show.workloads import ready
from mfu.units import money, percent


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the head."""

    label: str
    value: str


def head(status: WorkloadStatus, said: Summary) -> tuple[Fact, ...]:
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
    told = [priced(amount, symbol, f"per million {word}") for amount, word in kinds if amount is not None]
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
