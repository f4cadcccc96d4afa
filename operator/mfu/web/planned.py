"""A plan as the page shows it: what the operator knows now, without asking the API server for what it wrote itself."""

from __future__ import annotations

from mfu.engine.plan import Plan, WorkloadPlan
from mfu.show.figures import UNKNOWN
from mfu.show.recent import recent
from mfu.web.seen import Known, Seen


def seen_of(plan: Plan, now: float) -> Seen:
    return Seen(now, tuple(map(_known, plan.workloads)), plan.report)


def _known(plan: WorkloadPlan) -> Known:
    spec = plan.judged[0].spec if plan.judged else None
    mode = str(spec.mode) if spec else UNKNOWN
    return Known(plan.namespace, plan.name, mode, plan.status, recent(plan.memory))
