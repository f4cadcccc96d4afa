"""Should it start as declared? Memory first, then whether the declaration reaches a fair share of what is possible."""

from __future__ import annotations

from mfu.decide.reasons import Why
from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.predict.inference.slo import misses
from mfu.predict.types import Inference
from mfu.units import gibibytes, percent


def admission(subject: Subject) -> Decision:
    """First check that fails is the answer; Admit when none does."""
    for check in (_memory, _objective, _floor):
        decision = check(subject)
        if decision is not None:
            return decision
    reached, best = _on_scale(subject)
    message = f"expected {percent(reached)} of an attainable {percent(best)} {subject.expected.scale}; fits in memory"
    late = _late(subject, surely=False)
    message = "; ".join((message, *late)) + ("; within the band it may keep that" if late else "")
    return _decision(subject, Outcome.ADMIT, Why.EXPECTED_NEAR_ATTAINABLE, message)


def _memory(subject: Subject) -> Decision | None:
    memory = subject.expected.memory
    if memory.fits:
        return None
    message = (
        f"needs {gibibytes(memory.total_bytes)} per GPU but {subject.placement.device.label} has "
        f"{gibibytes(memory.capacity_bytes)}; largest term is {memory.largest_term}"
    )
    return _decision(
        subject, Outcome.HOLD, Why.OUT_OF_MEMORY, f"{message}; {memory.advice}" if memory.advice else message
    )


def _objective(subject: Subject) -> Decision | None:
    """A latency that even the fast end of the band does not keep."""
    late = _late(subject, surely=True)
    return _decision(subject, Outcome.HOLD, Why.MISSES_OBJECTIVE, "; ".join(late)) if late else None


def _late(subject: Subject, *, surely: bool) -> tuple[str, ...]:
    setup = subject.setup
    return misses(setup, subject.expected, surely=surely) if isinstance(setup, Inference) else ()


def _floor(subject: Subject) -> Decision | None:
    reached, best = _on_scale(subject)
    if best is None or reached is None or subject.attainable is None:
        return _decision(
            subject,
            Outcome.ADMIT,
            Why.ATTAINABLE_UNKNOWN,
            "attainable is not known, so nothing is held back",
        )
    floor = subject.policy.expected_of_attainable
    if reached >= floor * best:
        return None
    first = next(iter(subject.attainable.changes), None)
    advice = f"; change {first.field} {first.before} → {first.after} first" if first else ""
    message = (
        f"expected {percent(reached)} {subject.expected.scale} is under {percent(floor, 0)} "
        f"of the attainable {percent(best)}{advice}"
    )
    return _decision(subject, Outcome.HOLD, Why.FAR_BELOW_ATTAINABLE, message)


def _on_scale(subject: Subject) -> tuple[float | None, float | None]:
    return on_scale(subject.expected), attainable_on_scale(subject.expected, subject.attainable)


def _decision(subject: Subject, outcome: Outcome, reason: str, message: str) -> Decision:
    return Decision(DecisionType.ADMISSION, outcome, reason, message, subject.policy.mode_of(DecisionType.ADMISSION))
