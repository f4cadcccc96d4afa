"""One workload whose every text says something that a browser must not believe."""

from __future__ import annotations

from mfu.api.conditions import Condition, ConditionStatus
from mfu.api.decisions import Decision, DecisionMode, DecisionType
from mfu.api.workload_status import Drift, History, Summary, WorkloadStatus
from mfu.engine.packed import Packed
from mfu.web.seen import Known

HOSTILE = "<script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;"


def hostile() -> Known:
    """Every free text of a status says something that a browser must not believe."""
    status = WorkloadStatus(
        summary=Summary(model=HOSTILE, cause=HOSTILE[:60]),
        decisions=(
            Decision(
                type=DecisionType.SCALING,
                outcome="Scale",
                mode=DecisionMode.RECOMMEND,
                reason=HOSTILE[:60],
                message=HOSTILE,
            ),
        ),
        drift=Drift(kind=HOSTILE[:60], evidence=HOSTILE[:200], before="0.4", after="0.3", at="2026-11-22T06:00:00Z"),
        history=(
            History(
                setting=HOSTILE, product=HOSTILE[:60], after="0.3", promised="0.1", changed_at="2026-11-22T06:00:00Z"
            ),
        ),
        conditions=(
            Condition(
                type="Accepted",
                status=ConditionStatus.FALSE,
                reason="R",
                message=HOSTILE,
                last_transition_time="2026-11-22T06:00:00Z",
            ),
        ),
    )
    return Known(HOSTILE, HOSTILE, HOSTILE, Packed.of(status))
