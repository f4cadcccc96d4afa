"""How much of what a workload asks for it holds, and what it makes of that: its three factors."""

from __future__ import annotations

from mfu.account.factors import Factors, workload_factors
from mfu.engine.judged import Accepted, Holder, Running
from mfu.predict.types import Inference


def factors_of(judged: Holder) -> Factors:
    """Of one workload. Nothing is known of what it makes of GPUs that it shares, or that nothing reads."""
    if not isinstance(judged, Accepted):
        return Factors()
    assessment = judged.assessment if isinstance(judged, Running) else None
    best = assessment.best() if assessment else None
    reached = best.reference_mfu if best else None
    return workload_factors(held_share(judged), reached, assessment.progressing if assessment else None)


def held_share(judged: Accepted) -> float | None:
    """GPUs that it holds ÷ GPUs that it asks for; None while it has no pods: then nobody asks for anything.

    A training asks for what it declares, a service for what all its pods take: one of three that waits makes 2 ÷ 3.
    """
    held, spec = judged.holding.gpus, judged.view.spec
    if isinstance(judged.setup, Inference) or spec is None:
        pods = judged.replicas + judged.replicas_pending
        return judged.replicas / pods if pods else None
    if not held and not judged.replicas_pending:
        return None
    return held / max(held, spec.accelerators.count)
