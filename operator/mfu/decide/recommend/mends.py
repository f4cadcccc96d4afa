"""What runs slower than it should: each cause mended on top of those before it, never beyond what is expected."""

from __future__ import annotations

from collections.abc import Sequence

from mfu.api.causes import Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend.recommended import NextStep
from mfu.decide.scale import observed_on_scale, on_scale
from mfu.decide.types import Subject
from mfu.observe.assessment import Finding


def idle(findings: Sequence[Finding]) -> Finding | None:
    """Nothing runs on its GPUs: whatever else could be said of them waits for that."""
    return next((each for each in findings if each.cause is Cause.IDLE_ALLOCATION and each.wasted), None)


def observed_share(subject: Subject) -> float:
    """Observed ÷ expected on the workload's scale; 1 where either is unknown or not to be believed."""
    seen, aim = observed_on_scale(subject.assessment, subject.expected.scale), on_scale(subject.expected)
    return seen / aim if subject.trusted and seen and aim else 1.0


def mends(subject: Subject, share: float) -> tuple[NextStep, ...]:
    """The largest first. Findings share the gap to expected, so all of them together end there."""
    aim, found = on_scale(subject.expected), []
    if not aim or share >= 1.0:
        return ()
    for each in sorted(_runtime(subject), key=lambda finding: -(finding.share or 0.0)):
        share = min(1.0, share + (each.share or 0.0) / aim)
        words = each.action or f"mend {each.cause}"
        found.append(NextStep(Kind.MEND, str(each.cause), actor=each.actor, words=words, share=share))
    return tuple(found)


def _runtime(subject: Subject) -> list[Finding]:
    """Too few requests for what runs is no answer to a load that asks for more replicas."""
    grows = (subject.desired_replicas or 0) > subject.replicas_running
    return [
        each
        for each in subject.findings
        if each.explains is Explains.RUNTIME
        and each.wasted
        and each.share
        and not (grows and each.cause is Cause.LOW_CONCURRENCY)
    ]
