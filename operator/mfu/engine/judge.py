"""One ModelWorkload through all rooms: accept, predict, observe, decide, account, and say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mfu.account import cost as account
from mfu.account.cost import Cost
from mfu.api.acceptance import problems
from mfu.api.conditions import Reason
from mfu.api.workload_status import Basis
from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Decision, EffectivePolicy, NodeView, Subject
from mfu.decide.workload.order import decide
from mfu.engine.demand import load_of
from mfu.engine.history.calibration import LESSON_SECONDS, lesson_of
from mfu.engine.history.remembered import Running, WorkloadMemory, drift_row, history_rows, recalled, remember
from mfu.engine.holdings.workload import Candidate, Held, candidates, held
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say import conditions as judgement
from mfu.engine.say import notes, status
from mfu.engine.say.conditions import Rejection, Verdict
from mfu.engine.say.losses import explained, main_cause
from mfu.engine.say.packed import plain
from mfu.engine.say.text import pruned
from mfu.engine.standings import standing_of
from mfu.engine.views import PodView, WorkloadView
from mfu.hardware.types import GPU
from mfu.observe.assess import Hints, assess
from mfu.observe.assessment import Assessment, Finding
from mfu.observe.drift import Drift
from mfu.observe.readings import WorkloadSeries
from mfu.predict import attainable, model_flops_per_token, predict
from mfu.predict.declared import from_spec
from mfu.predict.learn import Lesson
from mfu.predict.types import Attainable, Corrections, Inference, Prediction, Problem, Setup, Tunable
from mfu.workload.parameters import count


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one workload shares with all others in a cycle."""

    nodes: Mapping[str, NodeView]
    products: tuple[GPU, ...]
    corrections: Corrections
    now: float
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why readings of a node were not believed, by node."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything found out about one workload; None where it could not be."""

    view: WorkloadView
    policy: EffectivePolicy
    holding: Held
    rejection: Rejection | None = None
    setup: Setup | None = None
    predictions: tuple[tuple[Candidate, Prediction], ...] = ()
    best: Attainable | None = None
    assessment: Assessment | None = None
    decided: tuple[Decision, ...] = ()
    spent: Cost = field(default_factory=Cost)
    refused: str | None = None
    """Why readings of one of its nodes were not believed."""

    @property
    def main(self) -> tuple[Candidate, Prediction] | None:
        """The assigned product, or the first declared one."""
        return self.predictions[0] if self.predictions else None


def plan_workload(
    view: WorkloadView,
    pods: Sequence[PodView],
    series: WorkloadSeries | None,
    policy: EffectivePolicy,
    around: Surroundings,
    *,
    conflict: str | None = None,
    before: WorkloadPlan | None = None,
) -> WorkloadPlan:
    """What this workload's status and annotations should say. Paused ones are left exactly as they are.

    `before` is what was planned for it last, None after a start: then the history comes back from status.
    """
    known = _known(view, before)
    if view.paused:
        return replace(unsaid(view), policy=policy, memory=known)
    judged = _judge(view, pods, series, policy, around, conflict)
    standing = standing_of(
        view, pods, around.nodes, policy=policy, predictions=judged.predictions, decided=judged.decided
    )
    why = (f"on {node} {around.refused[node]}" for node in judged.holding.nodes if node in around.refused)
    judged = replace(judged, refused=next(why, None))
    # What was planned last counts as said: a write under way, or one that fails, must not repeat its events.
    plan = _say(*_remembered(judged, known, around), said=before.status if before else view.status)
    return replace(plan, standing=standing)


def _known(view: WorkloadView, before: WorkloadPlan | None) -> WorkloadMemory:
    """After a start, and where it has only been repeated since, the history is what status says."""
    if before is not None and before.judged_at is not None:
        return before.memory
    return recalled(view.status.get("history") or ())


def unsaid(view: WorkloadView) -> WorkloadPlan:
    """Nothing new: status and annotations as they stand."""
    known = tuple((str(each["type"]), str(each["status"])) for each in view.status.get("conditions") or ())
    return WorkloadPlan(view.namespace, view.name, view.uid, view.status, view.annotations, conditions=known)


def broken(
    view: WorkloadView, error: Exception, policy: EffectivePolicy, now: float, before: WorkloadPlan | None = None
) -> WorkloadPlan:
    """What to say when judging fails by a defect of ours: the numbers stay, Ready says that they do."""
    memory = _known(view, before)
    words, stands = f"{type(error).__name__}: {error}", plain(view.status)
    verdict = judgement.internal_error(words)
    known = [each for each in stands.get("conditions") or () if each.get("type") != str(verdict.type)]
    made = status.conditions(
        judgement.conditions([verdict], generation=view.generation, now=now), stands.get("conditions") or ()
    )
    said = {**stands, "conditions": [*known, *made]}
    return replace(unsaid(view), status=said, policy=policy, memory=memory, error=words)


def _remembered(judged: Judged, memory: WorkloadMemory, around: Surroundings) -> tuple[Judged, Outcome]:
    """Long windows, drift and history, where something trustworthy runs; and what it teaches."""
    main, setup, assessment = judged.main, judged.setup, judged.assessment
    if main is None or setup is None or assessment is None or judged.view.spec is None:
        return judged, Outcome(around.now, memory)
    placement, expected = main[0].placement, main[1]
    model = judged.view.spec.model
    running = Running(setup, placement, model.display_name, model.version, judged.holding.gpus, expected, judged.best)
    kept, whole, drift = remember(memory, running, assessment, around.now)
    findings = explained(whole, expected, judged.best)
    lesson = None
    if around.now - memory.taught_at >= LESSON_SECONDS:
        lesson = lesson_of(setup, placement, expected, whole, findings, around.corrections)
        kept = replace(kept, taught_at=around.now) if lesson else kept
    return replace(judged, assessment=whole), Outcome(around.now, kept, drift, lesson)


def _judge(
    view: WorkloadView,
    pods: Sequence[PodView],
    series: WorkloadSeries | None,
    policy: EffectivePolicy,
    around: Surroundings,
    conflict: str | None,
) -> Judged:
    holding = held(pods, around.nodes)
    if view.spec is None:
        return Judged(view, policy, holding, Rejection(Reason.INVALID_SPEC, view.invalid or "the spec can not be read"))
    if conflict is not None:
        return Judged(view, policy, holding, Rejection(Reason.PODS_CLAIMED, conflict))
    # What the API server's rules should have refused may come from an older definition, or from a file.
    # Names before layouts: a layout may be impossible only because the name is wrong.
    found = sorted(problems(view.spec), key=lambda each: each.reason == Reason.IMPOSSIBLE_LAYOUT.value)
    contradiction = next(iter(found), None)
    if contradiction is not None:
        rejection = Rejection(Reason(contradiction.reason), f"spec.{contradiction.message}")
        return Judged(view, policy, holding, rejection)
    setup = from_spec(view.spec)
    if isinstance(setup, Problem):
        return Judged(view, policy, holding, Rejection(Reason(setup.reason), f"spec.{setup}"))
    if holding.unknown_products:
        return Judged(view, policy, holding, _unknown(holding), setup)
    where = candidates(view.spec, holding, around.products)
    if isinstance(where, Problem):
        return Judged(view, policy, holding, Rejection(Reason(where.reason), f"spec.{where}"), setup)
    answers = [(each, predict(setup, each.placement, around.corrections)) for each in where]
    predictions = tuple((each, answer) for each, answer in answers if isinstance(answer, Prediction))
    if answers and not predictions:
        refusal = next(answer for _, answer in answers if isinstance(answer, Problem))
        return Judged(view, policy, holding, Rejection(Reason(refusal.reason), f"spec.{refusal}"), setup)
    return _measured(Judged(view, policy, holding, None, setup, predictions), pods, series, around)


def _unknown(holding: Held) -> Rejection:
    if holding.doubts:
        return Rejection(
            Reason.PRODUCTS_DISAGREE,
            f"{holding.doubts[0]}, so its MFU is unknown: let GPU feature discovery label the node anew, and keep one "
            "GPU product a node",
        )
    names = ", ".join(holding.unknown_products)
    message = (
        f"runs on {names}, which no entry of the GPU catalog matches, so its MFU is unknown: "
        f"run it on a product that `mfu gpus` lists, or ask for this one to be added"
    )
    return Rejection(Reason.UNKNOWN_PRODUCT, message)


def _measured(judged: Judged, pods: Sequence[PodView], series: WorkloadSeries | None, around: Surroundings) -> Judged:
    spec, setup, main = judged.view.spec, judged.setup, judged.main
    if spec is None or setup is None or main is None:
        return judged
    candidate, prediction = main
    tunable = frozenset(Tunable(str(each)) for each in spec.tunable)
    answer = attainable(setup, candidate.placement, tunable, around.corrections)
    best = None if isinstance(answer, Problem) else answer
    running = judged.holding.gpus > 0
    assessment = None
    if running:
        assessment = assess(
            setup,
            candidate.placement,
            expected=prediction,
            attainable=best,
            series=series,
            now=around.now,
            hints=Hints(gpus=judged.holding.gpus),
        )
    spent = _cost(replace(judged, best=best), prediction, assessment)
    subject = Subject(
        key=judged.view.key,
        spec=spec,
        setup=setup,
        placement=candidate.placement,
        expected=prediction,
        attainable=best,
        assessment=assessment,
        policy=judged.policy,
        load=load_of(series, setup),
        replicas_running=sum(1 for pod in pods if pod.bound),
        assigned=candidate.basis is Basis.ASSIGNED,
        trusted=_trusted(assessment),
    )
    return replace(judged, best=best, assessment=assessment, decided=decide(subject), spent=spent)


def _cost(judged: Judged, prediction: Prediction, assessment: Assessment | None) -> Cost:
    spec, holding = judged.view.spec, judged.holding
    if spec is None:
        return Cost()
    device = holding.devices[0] if holding.devices else None
    amount = None if holding.share is None else holding.gpus * holding.share
    per_hour = None if amount is None else account.price_per_hour(judged.policy.prices, device, amount)
    if holding.shared:
        # What a slice could give depends on its neighbours: nothing is accused of it.
        return Cost(per_hour=per_hour)
    scale = prediction.scale
    reached = status.observed_on_scale(assessment, scale)
    promised = on_scale(prediction)
    best = assessment.best() if assessment else None
    measured = best.tokens_per_s_per_gpu if best else None
    rate = measured if measured is not None else prediction.tokens_per_s_per_gpu
    training = judged.setup if not isinstance(judged.setup, Inference) else None
    slowdown = promised / reached if training and promised and reached else 1.0
    return Cost(
        per_hour=per_hour,
        lost_per_hour=account.lost(per_hour, reached, promised),
        improvable_per_hour=account.lost(per_hour, promised, attainable_on_scale(prediction, judged.best)),
        per_million_tokens=account.per_million_tokens(per_hour, rate * holding.gpus),
        per_step=account.per_step(per_hour, prediction.step_seconds * slowdown) if training else None,
    )


def _trusted(assessment: Assessment | None) -> bool:
    if assessment is None:
        return True
    return judgement.measured(assessment) and assessment.intent_consistent is not False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What memory adds to the judgement."""

    now: float
    memory: WorkloadMemory
    drift: Drift | None = None
    """A change that was found in this cycle."""
    lesson: Lesson | None = None


def _say(judged: Judged, outcome: Outcome, *, said: Mapping[str, Any]) -> WorkloadPlan:
    view, before, now = judged.view, plain(judged.view.status), outcome.now
    main = judged.main
    prediction = main[1] if main else None
    gpus = judged.holding.gpus or (view.spec.accelerators.count if view.spec else 0)
    verdicts = _verdicts(judged)
    findings = explained(judged.assessment, prediction, judged.best)
    frozen = judged.rejection is None and not _trusted(judged.assessment) and bool(before.get("decisions"))
    decided = before.get("decisions") or ()
    made = notes.frozen_decisions(decided, judged.policy) if frozen else status.decisions(judged.decided, decided, now)
    saying: dict[str, Any] = {
        "observedGeneration": view.generation,
        "summary": status.summary(
            model=view.spec.model.display_name if view.spec else status.UNKNOWN,
            gpus=gpus,
            prediction=prediction,
            best=judged.best,
            assessment=judged.assessment,
            cause=main_cause(judged.assessment, findings),
            spent=judged.spent,
            policy=judged.policy,
        ),
        "allocation": status.allocation(judged.holding) if judged.holding.gpus else None,
        "intent": _intent(judged.setup),
        "memory": status.memory(prediction.memory) if prediction else None,
        "expected": [status.expected(*each) for each in judged.predictions] or None,
        "attainable": status.attainable(judged.best) if judged.best else None,
        "observed": _observed(judged.assessment),
        "waterfall": status.waterfall(prediction) if prediction else None,
        "readings": status.readings(judged.assessment) if judged.assessment else None,
        "losses": _losses(findings),
        "cost": status.cost(judged.spent, judged.policy),
        "decisions": made or None,
        "drift": drift_row(outcome.memory.drift) or before.get("drift"),
        "history": history_rows(outcome.memory.history),
        "conditions": status.conditions(
            judgement.conditions(verdicts, generation=view.generation, now=now), before.get("conditions") or ()
        ),
    }
    return WorkloadPlan(
        namespace=view.namespace,
        name=view.name,
        uid=view.uid,
        status=pruned(saying),
        annotations=(
            notes.frozen_annotations(view.annotations, judged.policy) if frozen else notes.annotated(judged.decided)
        ),
        events=(*notes.events(verdicts, plain(said)), *notes.drift_events(outcome.drift)),
        expected=prediction,
        attainable=judged.best,
        conditions=tuple((str(each.type), str(each.status)) for each in verdicts),
        assessment=judged.assessment,
        findings=findings,
        cause=main_cause(judged.assessment, findings),
        decisions=judged.decided,
        product=main[0].placement.device.label if main else None,
        gpus=gpus,
        gpu_share=_share(main) * (judged.holding.share or 1.0),
        cost_per_hour=judged.spent.per_hour,
        lost_per_hour=judged.spent.lost_per_hour,
        policy=judged.policy,
        memory=outcome.memory,
        lesson=outcome.lesson,
        frozen=frozen,
    )


def _share(main: tuple[Candidate, Prediction] | None) -> float:
    slice_ = main[0].placement.device.mig if main else None
    return slice_.sm_fraction if slice_ else 1.0


def _verdicts(judged: Judged) -> list[Verdict]:
    main = judged.main
    memory = main[1].memory if main else None
    found = [
        judgement.accepted(judged.rejection),
        judgement.fits_memory(memory, main[0].placement.device.label if main else ""),
        judgement.telemetry_available(judged.assessment, running=judged.holding.gpus > 0, refused=judged.refused),
        judgement.intent_consistent(judged.assessment),
    ]
    return [*found, judgement.ready(found)]


def _intent(setup: Setup | None) -> dict[str, Any] | None:
    if setup is None:
        return None
    parameters = count(setup.architecture)
    return {
        "parameters": int(parameters.total),
        "activeParameters": int(parameters.active),
        "flopsPerToken": f"{model_flops_per_token(setup):.4e}",
    }


def _observed(assessment: Assessment | None) -> list[dict[str, Any]] | None:
    if assessment is None:
        return None
    return [status.observed(each) for each in assessment.observations][:16] or None


def _losses(findings: Sequence[Finding]) -> list[dict[str, Any]] | None:
    """One entry per cause and loss: the API's list is keyed by both."""
    first = {(each.cause, each.explains): each for each in reversed(findings)}
    ranked = [each for each in findings if first[(each.cause, each.explains)] is each]
    return [status.loss(each) for each in ranked][: status.MOST_LOSSES] or None
