"""What was decided among all, put into what a workload says: it is known only after each was judged alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mfu.api.decisions import DecisionType
from mfu.decide.types import Decision
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say import notes, status

_ORDER: Final = {str(kind): place for place, kind in enumerate(DecisionType)}


def with_together(plan: WorkloadPlan, made: Sequence[Decision], before: Mapping[str, Any], now: float) -> WorkloadPlan:
    """The plan with `made` in place of what stood for the same types; `before` is the status as it was said last."""
    if not made or plan.frozen:
        return plan
    types = {each.type for each in made}
    said = status.decisions(made, before.get("decisions") or (), now)
    kept = [each for each in plan.status.get("decisions") or () if each.get("type") not in types]
    rows = sorted((*kept, *said), key=lambda each: _ORDER.get(str(each["type"]), len(_ORDER)))
    alone = tuple(each for each in plan.decisions if each.type not in types)
    ours = {name for name, kind in notes.ANNOTATIONS.items() if kind in types}
    annotations = {name: text for name, text in plan.annotations.items() if name not in ours}
    return replace(
        plan,
        status={**plan.status, "decisions": rows},
        annotations=annotations | notes.annotated(made),
        decisions=tuple(sorted((*alone, *made), key=lambda each: _ORDER[str(each.type)])),
        together=tuple(made),
    )


def news(plan: WorkloadPlan, made: Sequence[Decision]) -> bool:
    """Whether a workload that is not judged now has to say something else than before: words alone can wait."""
    return not plan.frozen and [_gist(each) for each in made] != [_gist(each) for each in plan.together]


def _gist(decision: Decision) -> tuple[Any, ...]:
    return decision.type, decision.outcome, decision.reason, decision.mode, decision.hint
