"""One ModelWorkload through all rooms: judged, decided, remembered, and said where it is news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from mfu.api.conditions import ConditionType
from mfu.api.workload_status import Basis, WorkloadStatus
from mfu.decide.fleet.standing import Standing
from mfu.decide.recommend.agree import agreeing_findings, shown_attainable
from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.types import Decision, EffectivePolicy, Subject
from mfu.decide.workload.order import Alone, decide
from mfu.engine.factors import factors_of
from mfu.engine.history.calibration import LESSON_SECONDS, lesson_of, teaches
from mfu.engine.history.remembered import Current, WorkloadMemory, recalled, remember
from mfu.engine.idling import Idling, idling
from mfu.engine.judge import judge
from mfu.engine.judged import Accepted, Judged, Refused, Running, Surroundings, Waiting, trusted
from mfu.engine.losses import cause_of
from mfu.engine.packed import Packed
from mfu.engine.plan import Event, WorkloadPlan
from mfu.engine.say.annotations import ANNOTATIONS, HINTS, frozen_hints, hints, restated, sentences
from mfu.engine.say.conditions import aspects, conditions, internal_error
from mfu.engine.say.decisions import decisions, in_order
from mfu.engine.say.events import on_drift, on_floor, on_pause, on_turns
from mfu.engine.say.hysteresis import REFRESH_SECONDS, Novelty, novelty
from mfu.engine.say.kept import latency_of
from mfu.engine.say.ladder import recalled_ladder
from mfu.engine.say.standing import YOUNG_SECONDS, unshaken
from mfu.engine.say.status import Beside, status
from mfu.engine.sharers import sharer_of
from mfu.engine.standings import standing_of
from mfu.engine.views import PodView, WorkloadView
from mfu.hardware.problem import Problem
from mfu.observe.drift import Drift
from mfu.observe.readings import WorkloadSeries
from mfu.predict.learn import Lesson


@dataclass(frozen=True, slots=True)
class Asked:
    """One workload's turn: what it declares and holds, what was read of it, and what was planned for it last.

    `conflict` says which pod an older workload keeps; `before` is None after a start.
    """

    view: WorkloadView
    pods: tuple[PodView, ...]
    series: WorkloadSeries | None
    policy: EffectivePolicy
    conflict: Problem | None = None
    before: WorkloadPlan | None = None

    @property
    def memory(self) -> WorkloadMemory:
        """After a start, and where it has only been repeated since, the history is what status says."""
        if self.before is not None and self.before.judged_at is not None:
            return self.before.memory
        stands = self.view.status.read()
        return replace(recalled(stands), reclaim=recalled_ladder(stands.reclaim))

    def first_judged(self, now: float) -> float:
        known = self.before.first_judged_at if self.before else None
        return now if known is None else known


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory adds to the judgement."""

    memory: WorkloadMemory
    drift: Drift | None = None
    """A change that was found in this cycle."""
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was found out about one workload alone, before it is decided what it gets among the others."""

    asked: Asked
    judged: Judged
    alone: Alone
    standing: Standing
    remembered: Remembered
    idle_events: tuple[Event, ...] = ()


def examine(asked: Asked, around: Surroundings) -> Examined:
    judged = judge(asked.view, asked.pods, asked.series, asked.policy, around, conflict=asked.conflict)
    before = asked.memory
    nothing = Alone(scaled=before.scaled)
    alone = nothing if isinstance(judged, Refused) else decided_for(judged, before.scaled, around.now)
    standing = standing_of(
        asked.view,
        asked.pods,
        around.nodes,
        policy=asked.policy,
        predictions=() if isinstance(judged, Refused) else judged.predictions,
        decided=alone.decisions,
        setup=judged.setup,
        corrections=around.corrections,
        queued=around.queued_priority(asked.view),
        held=around.held_owner(asked.view),
    )
    idle = idling(judged, asked.series, before.reclaim, around)
    standing = replace(standing, sharer=sharer_of(judged))
    if idle.memory.suspended_at is not None:
        # What was given back is not asked for again until its owner takes it up.
        standing = replace(standing, ask=None)
    known = replace(before, scaled=alone.scaled, reclaim=idle.memory)
    judged, remembered = _remembered(_agreeing(judged, alone), known, around, asked.series)
    return Examined(asked, judged, _with_reclaim(alone, idle), standing, remembered, idle.events)


def _with_reclaim(alone: Alone, idle: Idling) -> Alone:
    return replace(alone, decisions=(*alone.decisions, idle.decision)) if idle.decision else alone


def _agreeing(judged: Judged, alone: Alone) -> Judged:
    """What is said to be attainable, and of losses, names the changes of the one list."""
    if isinstance(judged, Refused):
        return judged
    agreed = replace(judged, best=shown_attainable(judged.best, alone.recommended))
    if not isinstance(agreed, Running):
        return agreed
    return replace(agreed, findings=agreeing_findings(agreed.findings, alone.recommended))


def paused(asked: Asked) -> WorkloadPlan:
    """Left exactly as it is."""
    events = () if asked.before is not None and asked.before.paused else (on_pause(),)
    return replace(unsaid(asked.view), policy=asked.policy, memory=asked.memory, paused=True, events=events)


def unsaid(view: WorkloadView) -> WorkloadPlan:
    """Nothing new: status and annotations as they stand."""
    known = tuple((intern(each.type), intern(str(each.status))) for each in view.status.read().conditions)
    return WorkloadPlan(view.namespace, view.name, view.uid, view.status, view.annotations, conditions=known)


def broken(asked: Asked, error: Exception, now: float) -> WorkloadPlan:
    """What to say when judging fails by a defect of ours: the numbers stay, Ready says that they do."""
    view, words = asked.view, f"{type(error).__name__}: {error}"
    stands = view.status.read()
    made = conditions([internal_error(words)], stands.conditions, generation=view.generation, now=now)
    kept = tuple(each for each in stands.conditions if each.type != ConditionType.READY)
    said = stands.model_copy(update={"conditions": (*kept, *made)})
    settled = Packed.of(said) if novelty(stands, said) else view.status
    return replace(unsaid(view), status=settled, policy=asked.policy, memory=asked.memory, error=words)


def decided_for(judged: Waiting | Running, scaled: ScalingMemory, now: float) -> Alone:
    """Of it alone. Nothing is decided where nothing could be predicted."""
    spec, main = judged.view.spec, judged.main
    if spec is None or main is None:
        return Alone(scaled=scaled)
    candidate, expected = main
    subject = Subject(
        key=judged.view.key,
        spec=spec,
        setup=judged.setup,
        placement=candidate.placement,
        expected=expected,
        attainable=judged.best,
        assessment=judged.assessment if isinstance(judged, Running) else None,
        policy=judged.policy,
        alternatives=tuple(
            (each.placement.device.label, answer)
            for each, answer in judged.predictions
            if each.placement.device != candidate.placement.device
        ),
        load=judged.load,
        replicas_running=judged.replicas,
        replicas_pending=judged.replicas_pending,
        scaled=scaled,
        now=now,
        assigned=candidate.basis is Basis.ASSIGNED,
        trusted=trusted(judged),
        findings=judged.findings if isinstance(judged, Running) and trusted(judged) else (),
    )
    return decide(subject)


def _remembered(
    judged: Judged, memory: WorkloadMemory, around: Surroundings, series: WorkloadSeries | None
) -> tuple[Judged, Remembered]:
    """Long windows, drift and history, where something trustworthy runs; and what it teaches."""
    spec, main = judged.view.spec, judged.main if isinstance(judged, Running) else None
    if not isinstance(judged, Running) or spec is None or main is None:
        return judged, Remembered(memory)
    placement, expected = main[0].placement, main[1]
    name, version = spec.model.display_name, spec.model.version
    current = Current(judged.setup, placement, name, version, judged.holding.gpus, expected, judged.best)
    kept, whole, drift = remember(memory, current, judged.assessment, around.now, series)
    lesson = None
    due = judged.policy.learns and around.now - memory.taught_at >= LESSON_SECONDS
    ages = {"declared_at": judged.view.declared_at, "oldest_pod_at": judged.holding.oldest_at}
    if due and teaches(judged.setup, **ages):
        lesson = lesson_of(judged.view.namespace, current, whole, judged.findings)
        kept = replace(kept, taught_at=around.now) if lesson else kept
    return replace(judged, assessment=whole), Remembered(kept, drift, lesson)


def planned(found: Examined, among_all: Sequence[Decision], now: float) -> WorkloadPlan:
    """What its status and annotations should say, `among_all` being what was decided over all workloads."""
    asked, judged, remembered = found.asked, found.judged, found.remembered
    view, stands, said_of, cause = asked.view, asked.view.status.read(), aspects(judged), cause_of(judged)
    frozen = not trusted(judged) and bool(stands.decisions)
    decided = found.alone.decisions if frozen else in_order(found.alone.decisions, among_all)
    listed = found.alone.recommended
    said = status(judged, Beside(said_of, decided, remembered.memory, cause, now, listed), stands)
    first = asked.first_judged(now)
    if now - first < YOUNG_SECONDS:
        said = unshaken(stands, said)
    # What was planned last counts as said: a write under way, or one that fails, must not repeat its events.
    before = stands if asked.before is None else _read(asked.before.status, view.status, stands)
    plan = WorkloadPlan(
        namespace=view.namespace,
        name=view.name,
        uid=view.uid,
        status=view.status,
        annotations=view.annotations,
        events=(
            *on_turns(said_of, before),
            *on_drift(remembered.drift),
            *on_floor(before, said, judged.policy.observed_of_expected),
            *found.idle_events,
        ),
        conditions=tuple((each.type.value, each.status.value) for each in said_of),
        cause=cause,
        decisions=decided,
        together=tuple(among_all),
        standing=found.standing,
        frozen=frozen,
        gpus=judged.holding.gpus or (view.spec.accelerators.count if view.spec else 0),
        policy=judged.policy,
        memory=remembered.memory,
        lesson=remembered.lesson,
        first_judged_at=first,
    )
    hinted = frozen_hints(view.annotations, judged.policy) if frozen else hints(decided)
    return _settled(_with_figures(plan, judged), _Saying(stands, said, hinted), asked, now)


def _read(planned: Packed[WorkloadStatus], stands: Packed[WorkloadStatus], read: WorkloadStatus) -> WorkloadStatus:
    """What was planned; mostly that stands, and to read it once more would be a sixth of the judgement."""
    return read if planned == stands else planned.read()


def spoken_up(plan: WorkloadPlan, among_all: Sequence[Decision], now: float) -> WorkloadPlan:
    """One that is not judged now says what was decided over all, where that is something else than before."""
    if plan.standing is None or plan.frozen or among_all == plan.together:
        return plan
    if _gists(among_all) == _gists(plan.together):
        return plan
    kinds = {each.type for each in among_all}
    stands = plan.status.read()
    fresh = decisions(among_all, stands.decisions, now)
    rows = in_order([each for each in stands.decisions if each.type not in kinds], fresh)
    others = {name: text for name, text in plan.annotations.items() if ANNOTATIONS.get(name) not in kinds}
    return replace(
        plan,
        status=Packed.of(stands.model_copy(update={"decisions": rows})),
        annotations={**others, **sentences(fresh, among_all), **hints(among_all)},
        decisions=in_order(plan.decisions, among_all),
        together=tuple(among_all),
        said_at=now,
    )


def _gists(decided: Sequence[Decision]) -> list[tuple[Any, ...]]:
    """Without the words: those alone can wait."""
    return [(each.type, each.outcome, each.reason, each.mode, each.hint) for each in decided]


def _with_figures(plan: WorkloadPlan, judged: Judged) -> WorkloadPlan:
    if not isinstance(judged, Accepted) or judged.main is None:
        return plan
    candidate, _ = judged.main
    slice_ = candidate.placement.device.mig
    return replace(
        plan,
        expected=judged.expected,
        attainable=judged.best,
        product=candidate.placement.device.label,
        gpu_share=(slice_.sm_fraction if slice_ else 1.0) * (judged.holding.share or 1.0),
        cost_per_hour=judged.cost.per_hour,
        lost_per_hour=judged.cost.lost_per_hour,
        revenue_per_hour=judged.cost.revenue_per_hour,
        cost_per_useful_pflop=judged.cost.per_useful_pflop,
        factors=factors_of(judged),
        token_costs=judged.cost.tokens,
        latency=latency_of(judged),
        assessment=judged.assessment if isinstance(judged, Running) else None,
        findings=judged.findings if isinstance(judged, Running) else (),
    )


@dataclass(frozen=True, slots=True)
class _Saying:
    """What stands, what would be said now, and the hints beside it."""

    stands: WorkloadStatus
    said: WorkloadStatus
    hints: Mapping[str, str]


def _settled(plan: WorkloadPlan, saying: _Saying, asked: Asked, now: float) -> WorkloadPlan:
    """What stands already where the new status brings no news; sentences alone are said again now and then.

    Annotations repeat the decisions of whichever status holds, but for figures that hardly moved: compared are the
    values that decisions were made from.
    """
    since = asked.before.said_at if asked.before else None
    since = plan.first_judged_at if since is None else since
    due = since is None or now - since >= REFRESH_SECONDS or _names_another(plan, saying, asked)
    found = novelty(saying.stands, saying.said)
    fresh = found is Novelty.NEWS or (found is Novelty.WORDS and due)
    told = sentences((saying.said if fresh else saying.stands).decisions, plan.decisions)
    if asked.before is not None:
        # As it was planned last, never as it stands: anybody may write an annotation.
        waits = (plan.frozen or not fresh) and asked.before.status == asked.view.status
        told = restated(asked.before.annotations, told, waits=waits)
    return replace(
        plan,
        status=Packed.of(saying.said) if fresh else asked.view.status,
        annotations={**told, **saying.hints},
        said_at=now if fresh else since,
    )


def _names_another(plan: WorkloadPlan, saying: _Saying, asked: Asked) -> bool:
    """Whether sentences name another node, profile or device than before: that can not wait."""
    hinted = {name: text for name, text in asked.view.annotations.items() if name in HINTS}
    if hinted != saying.hints:
        return True
    return asked.before is not None and _devices(plan) != _devices(asked.before)


def _devices(plan: WorkloadPlan) -> list[str | None]:
    return [each.device for each in plan.findings]
