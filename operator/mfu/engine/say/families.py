"""Model families in the types of the API, from what was planned for their workloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mfu.account.families import FamilySum, Member, by_family
from mfu.api import fleetreport as api
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.engine.plan import WorkloadPlan
from mfu.units import decimal

MOST_FAMILIES = 20


def family_rows(plans: Sequence[WorkloadPlan]) -> tuple[api.FamilyFigures, ...]:
    return tuple(map(_row, families(plans)[:MOST_FAMILIES]))


def families(plans: Sequence[WorkloadPlan]) -> tuple[FamilySum, ...]:
    """All of them, most GPUs first."""
    return by_family(_members(plans))


def _members(plans: Sequence[WorkloadPlan]) -> Iterator[Member]:
    """Those that run."""
    for plan in plans:
        spec = plan.judged[0].spec if plan.judged else None
        if spec is None or plan.assessment is None or plan.expected is None:
            continue
        losses = {(each.cause, each.explains): each.share for each in plan.findings if each.wasted and each.share}
        yield Member(
            spec.model.display_name,
            plan.gpus * plan.gpu_share,
            on_scale(plan.expected),
            observed_on_scale(plan.assessment, plan.expected.scale),
            attainable_on_scale(plan.expected, plan.attainable),
            tuple((*key, share) for key, share in losses.items()),
        )


def _row(each: FamilySum) -> api.FamilyFigures:
    loss = each.structural
    return api.FamilyFigures(
        family=each.family[:64],
        workloads=each.workloads,
        gpus=f"{each.gpus:.2f}".rstrip("0").rstrip("."),
        expected=decimal(each.expected),
        observed=decimal(each.observed),
        attainable=decimal(each.attainable),
        structural=loss.cause if loss else None,
        explains=loss.explains if loss else None,
        affected=loss.workloads if loss else 0,
        share=decimal(loss.share) if loss else None,
    )
