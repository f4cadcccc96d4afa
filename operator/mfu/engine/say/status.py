"""What was found out about one workload as the API's own status. What is unknown is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mfu.account.cost import Cost, RunTotals
from mfu.api import workload_status as api
from mfu.api.causes import Cause
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.factors import factors_of
from mfu.engine.history.remembered import WorkloadMemory
from mfu.engine.holdings.workload import Held
from mfu.engine.judged import Accepted, Judged, Running, reachable, trusted
from mfu.engine.say.conditions import Aspect, conditions
from mfu.engine.say.decisions import decisions, frozen
from mfu.engine.say.figures import attainable, expected, factors, intent, loss, memory, observed, readings, waterfall
from mfu.engine.say.history import drift_row, history_rows, watch_row
from mfu.engine.say.ladder import ladder_status
from mfu.engine.say.latency import attainment_rows, latency_columns
from mfu.engine.say.recommendations import answered, recommendations
from mfu.predict.types import Scale
from mfu.units import decimal, money, percent, points

UNKNOWN = "Unknown"
MOST_LOSSES, MOST_OBSERVED = 32, 16


@dataclass(frozen=True, slots=True)
class Beside:
    """What a status is made from, besides the judgement itself."""

    aspects: Sequence[Aspect]
    decided: Sequence[Decision]
    memory: WorkloadMemory
    cause: Cause
    now: float
    recommended: Sequence[Recommended] = ()


def status(judged: Judged, told: Beside, before: api.WorkloadStatus) -> api.WorkloadStatus:
    """`before` is what stands: times stay with their answers, and decisions while nothing is trusted."""
    view = judged.view
    said = api.WorkloadStatus(
        observed_generation=view.generation,
        summary=summary(judged, told.cause),
        allocation=allocation(judged.holding),
        drift=drift_row(told.memory.drift) or before.drift,
        watch=watch_row(told.memory.drift_state, told.memory.sampled_at),
        reclaim=ladder_status(told.memory.reclaim),
        history=history_rows(told.memory.history),
        conditions=conditions(told.aspects, before.conditions, generation=view.generation, now=told.now),
    )
    if not isinstance(judged, Accepted):
        return said.model_copy(update={"intent": intent(judged.setup)})
    kept = not trusted(judged) and bool(before.decisions)
    made = frozen(before.decisions, judged.policy) if kept else decisions(told.decided, before.decisions, told.now)
    listed = before.recommendations if kept else recommendations(told.recommended, judged.policy)
    spec = view.spec
    # What was said before is what was read when the answer came: by the next cycle it may be followed.
    offered = before.recommendations or listed
    replies = answered(spec.answers, offered, before.answers, told.now) if spec else ()
    rows = {"decisions": made, "recommendations": listed, "answers": replies}
    return _with_figures(said, judged).model_copy(update=rows)


def _with_figures(said: api.WorkloadStatus, judged: Accepted) -> api.WorkloadStatus:
    main, running = judged.main, judged if isinstance(judged, Running) else None
    return said.model_copy(
        update={
            "intent": intent(judged.setup),
            "memory": memory(main[1].memory) if main else None,
            "expected": tuple(_expectations(judged)),
            "attainable": attainable(judged.best) if judged.best else None,
            "waterfall": waterfall(judged.expected) if judged.expected else (),
            "factors": factors(factors_of(judged)),
            "attainment": attainment_rows(judged.attained),
            "cost": cost(judged.cost, judged.policy),
            "observed": tuple(map(observed, running.assessment.observations[:MOST_OBSERVED])) if running else (),
            "readings": readings(running.assessment) if running else (),
            "losses": losses(running) if running else (),
        }
    )


def _expectations(judged: Accepted) -> Iterator[api.Expected]:
    for candidate, prediction in judged.predictions:
        device = candidate.placement.device
        yield expected(device, candidate.basis, prediction if reachable(candidate, prediction) else None)
    if isinstance(judged, Running) and judged.learned is not None:
        told = expected(judged.predictions[0][0].placement.device, api.Basis.LEARNED, judged.learned.prediction)
        yield told.model_copy(update={"evidence": judged.learned.evidence})


def losses(judged: Running) -> tuple[api.Loss, ...]:
    """One entry per cause and loss: the API's list is keyed by both."""
    first = {(each.cause, each.explains): each for each in reversed(judged.findings)}
    ranked = [each for each in judged.findings if first[(each.cause, each.explains)] is each]
    return tuple(map(loss, ranked[:MOST_LOSSES]))


def allocation(holding: Held) -> api.Allocation | None:
    if not holding.gpus:
        return None
    product = ",".join([*(device.label for device in holding.devices), *holding.unknown_products])
    return api.Allocation(pods=holding.pods, nodes=len(holding.nodes), gpus=holding.gpus, product=product[:64])


def cost(spent: Cost, policy: EffectivePolicy) -> api.Cost | None:
    if spent.per_hour is None:
        return None
    return api.Cost(
        currency=policy.currency,
        per_hour=decimal(spent.per_hour, 2),
        lost_per_hour=decimal(spent.lost_per_hour, 2),
        per_million_tokens=decimal(spent.per_million_tokens, 4),
        per_million_input_tokens=decimal(spent.tokens.read, 4) if spent.tokens else None,
        per_million_output_tokens=decimal(spent.tokens.written, 4) if spent.tokens else None,
        per_step=decimal(spent.per_step, 6),
        per_useful_pflop=decimal(spent.per_useful_pflop, 7),
        revenue_per_hour=decimal(spent.revenue_per_hour, 2),
        watt_hours_per_million_tokens=decimal(spent.watt_hours_per_million_tokens, 2),
        whole_run=_whole_run(spent.whole_run) if spent.whole_run else None,
    )


def _whole_run(run: RunTotals) -> api.WholeRun:
    return api.WholeRun(
        expected_hours=decimal(run.expected_hours, 1),
        expected_cost=decimal(run.expected_cost, 2),
        hours=decimal(run.hours, 1),
        cost=decimal(run.cost, 2),
    )


def summary(judged: Judged, cause: Cause) -> api.Summary:
    """Strings for the columns of `kubectl get`."""
    spec, accepted = judged.view.spec, judged if isinstance(judged, Accepted) else None
    gpus = judged.holding.gpus or (spec.accelerators.count if spec else 0)
    known = api.Summary(
        model=spec.model.display_name[:256] if spec else UNKNOWN,
        gpus=str(gpus),
        cause=str(cause),
    )
    if accepted is None or not accepted.predictions:
        return known
    return known.model_copy(update=_columns(accepted, accepted.predictions[0][1].scale))


def _columns(judged: Accepted, scale: Scale) -> dict[str, str]:
    prediction, spent, currency = judged.expected, judged.cost, judged.policy.currency
    reached = observed_on_scale(judged.assessment, scale) if isinstance(judged, Running) else None
    promised = on_scale(prediction)
    return {
        "expected": percent(promised),
        "observed": percent(reached),
        "attainable": percent(_possible(judged)),
        "gap": points(None if reached is None or promised is None else promised - reached),
        "scale": str(scale),
        **latency_columns(judged),
        "cost_per_hour": money(spent.per_hour, currency),
        "lost_per_hour": money(spent.lost_per_hour, currency),
    }


def _possible(judged: Accepted) -> float | None:
    """Where what is declared does not fit, what a change would reach stands for itself."""
    if judged.expected is not None:
        return attainable_on_scale(judged.expected, judged.best)
    return on_scale(judged.best.prediction) if judged.best and judged.best.prediction.memory.fits else None
