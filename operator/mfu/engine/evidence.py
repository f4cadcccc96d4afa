"""How sure a decision is, and how old the newest reading behind it."""

from __future__ import annotations

from typing import Final

from mfu.api.quantities import size_bytes
from mfu.decide.scale import on_scale
from mfu.decide.types import DecisionType
from mfu.engine.plan import WorkloadPlan

MEMORY_ERROR: Final = 0.1
"""Of a predicted size; `mfu validate` shows 8 to 9 % on the sweep."""
_MEASURED: Final = frozenset({DecisionType.SCALING})
"""Decisions that rest on readings of the workload itself; the others rest on the prediction."""


def evidence(plan: WorkloadPlan, kind: DecisionType) -> tuple[float | None, float | None]:
    """Confidence (0–1) and the moment of the newest reading behind a decision."""
    if kind is DecisionType.RECLAIM:
        return plan.memory.reclaim.known_share, plan.memory.reclaim.known_at
    if kind in _MEASURED:
        best = plan.assessment.best() if plan.assessment else None
        return (best.confidence, best.observed_at) if best else (None, None)
    sure = _sureness(plan)
    if sure is None and kind is DecisionType.ADMISSION:
        sure = _unfit_sureness(plan)
    return sure, None


def _unfit_sureness(plan: WorkloadPlan) -> float | None:
    """Of what fits nowhere nothing but its memory is predicted: the farther from fitting, the surer.

    Needing 100 GiB of 80 with sizes predicted to 10 %: 1 - 0.1 / 0.25 = 0.6. None where it fits, or is not known.
    """
    memory = plan.status.read().memory
    if memory is None or memory.per_gpu is None or memory.capacity is None:
        return None
    over = size_bytes(memory.per_gpu) / size_bytes(memory.capacity) - 1.0
    return max(0.0, 1.0 - MEMORY_ERROR / over) if over > 0 else None


def _sureness(plan: WorkloadPlan) -> float | None:
    """Of a prediction: 1 less half of its band's width relative to its value. 0.40 in 0.36–0.44 gives 0.9."""
    value = on_scale(plan.expected)
    if plan.expected is None or not value:
        return None
    return max(0.0, 1.0 - (plan.expected.high - plan.expected.low) / (2.0 * value))
