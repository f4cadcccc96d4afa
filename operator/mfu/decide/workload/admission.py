"""Should it start as declared? Memory first, then whether the declaration reaches a fair share of what is possible."""

from __future__ import annotations

from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Case, Decision, DecisionType, Outcome
from mfu.units import gibibytes, percent


def admission(case: Case) -> Decision:
    """First check that fails is the answer; Admit when none does."""
    for check in (_memory, _floor):
        decision = check(case)
        if decision is not None:
            return decision
    reached, best = _on_scale(case)
    message = f"expected {percent(reached)} of an attainable {percent(best)} {case.expected.scale}; fits in memory"
    return _decision(case, Outcome.ADMIT, "ExpectedNearAttainable", message)


def _memory(case: Case) -> Decision | None:
    memory = case.expected.memory
    if memory.fits:
        return None
    message = (
        f"needs {gibibytes(memory.total_bytes)} per GPU but {case.placement.device.label} has "
        f"{gibibytes(memory.capacity_bytes)}; largest term is {memory.largest_term}"
    )
    return _decision(case, Outcome.HOLD, "OutOfMemory", f"{message}; {memory.advice}" if memory.advice else message)


def _floor(case: Case) -> Decision | None:
    reached, best = _on_scale(case)
    if best is None or reached is None or case.attainable is None:
        return _decision(case, Outcome.ADMIT, "AttainableUnknown", "attainable is not known, so nothing is held back")
    if reached >= case.policy.expected_of_attainable * best:
        return None
    first = next(iter(case.attainable.changes), None)
    advice = f"; change {first.field} {first.before} → {first.after} first" if first else ""
    message = (
        f"expected {percent(reached)} {case.expected.scale} is under {percent(case.policy.expected_of_attainable, 0)} "
        f"of the attainable {percent(best)}{advice}"
    )
    return _decision(case, Outcome.HOLD, "FarBelowAttainable", message)


def _on_scale(case: Case) -> tuple[float | None, float | None]:
    return on_scale(case.expected), attainable_on_scale(case.expected, case.attainable)


def _decision(case: Case, outcome: Outcome, reason: str, message: str) -> Decision:
    return Decision(DecisionType.ADMISSION, outcome, reason, message, case.policy.mode_of(DecisionType.ADMISSION))
