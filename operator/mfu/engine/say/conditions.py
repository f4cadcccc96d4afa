"""Conditions of one workload: small checks over what was found out, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mfu.api.conditions import Condition, ConditionStatus, ConditionType, Reason, merge
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.decide.enforcing import not_carried_out
from mfu.engine.judged import Judged, Refused, Running, measured
from mfu.engine.text import MOST_WORDS, moment
from mfu.observe.assessment import Assessment, TelemetryState
from mfu.predict.types import Memory
from mfu.units import gibibytes

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True, slots=True)
class Aspect:
    """What one condition is about and how it stands, before it gets its times."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


def aspects(judged: Judged) -> list[Aspect]:
    """All of them, in the order in which people read them."""
    assessment = judged.assessment if isinstance(judged, Running) else None
    found = [
        accepted(judged),
        _memory(judged),
        telemetry_available(
            assessment,
            running=judged.holding.gpus > 0,
            waits=_waits(judged),
            refused=judged.refused,
            sharing=judged.holding.sharing,
            counted=all(device.gpu.observable for device in judged.holding.devices),
            missing=not (isinstance(judged, Refused) or judged.holding.matched or judged.holding.claiming),
        ),
        intent_consistent(assessment),
    ]
    return [*found, ready(found), *_enforced(judged)]


def _enforced(judged: Judged) -> list[Aspect]:
    """Said only where its policy says Enforce for what nothing carries out. It makes nothing less ready."""
    policy, spec = judged.policy, judged.view.spec
    serves = spec is not None and spec.inference is not None
    enforced = [kind for kind, mode in policy.modes.items() if mode is DecisionMode.ENFORCE]
    mine = [kind for kind in enforced if serves or kind not in _OF_SERVING]
    lines = not_carried_out(mine, list(policy.actions))
    if not lines:
        return []
    message = f"policy {policy.name or 'of the cluster'}: {'; '.join(lines)}"
    return [Aspect(ConditionType.ENFORCED, FALSE, Reason.IN_NAME_ONLY, message)]


_OF_SERVING = frozenset({DecisionType.MIG, DecisionType.SCALING})


def accepted(judged: Judged) -> Aspect:
    if isinstance(judged, Refused):
        return Aspect(ConditionType.ACCEPTED, FALSE, Reason(judged.problem.reason), judged.message)
    doubt = _other_product(judged) or _newer_than_pods(judged)
    return doubt or Aspect(ConditionType.ACCEPTED, TRUE, Reason.ACCEPTED, "the declaration makes sense")


def _other_product(judged: Judged) -> Aspect | None:
    """It runs on a product that the spec does not allow: what is expected is of the product that it runs on."""
    spec, devices = judged.view.spec, judged.holding.devices
    declared = spec.accelerators.products if spec else ()
    other = sorted({each.gpu.api_name for each in devices} - set(declared)) if declared else []
    if not other:
        return None
    message = (
        f"runs on {', '.join(other)} and declares {', '.join(declared)}: figures are those of {other[0]}; "
        f"correct spec.accelerators.products, or where it is scheduled"
    )
    return Aspect(ConditionType.ACCEPTED, TRUE, Reason.PRODUCT_DIFFERS, message)


def _newer_than_pods(judged: Judged) -> Aspect | None:
    """A spec that was changed under running pods; one that is written once for pods that run already is no change."""
    changed, started = judged.view.declared_at, judged.holding.newest_at
    if judged.view.generation <= 1 or changed is None or started is None or changed <= started:
        return None
    message = (
        "the declaration was changed after its pods started: they may still run what was declared before, and no "
        "advice is judged by them; restart them, or take the change back"
    )
    return Aspect(ConditionType.ACCEPTED, TRUE, Reason.NEWER_THAN_PODS, message)


def _memory(judged: Judged) -> Aspect:
    main = None if isinstance(judged, Refused) else judged.main
    if main is None:
        return fits_memory(None, "")
    candidate, prediction = main
    given, memory = judged.holding.memory_bytes, prediction.memory
    if given is not None and memory.fits and memory.total_bytes > given:
        words = f"needs {gibibytes(memory.total_bytes)} of each GPU and is given {gibibytes(given)}"
        return Aspect(ConditionType.FITS_MEMORY, FALSE, Reason.OUT_OF_MEMORY, f"{words}: {judged.holding.sharing}")
    return fits_memory(memory, candidate.placement.device.label)


def fits_memory(memory: Memory | None, label: str) -> Aspect:
    if memory is None:
        return Aspect(ConditionType.FITS_MEMORY, UNKNOWN, Reason.NOT_PREDICTED, "memory was not predicted")
    used = f"{gibibytes(memory.total_bytes)} of {gibibytes(memory.capacity_bytes)} on {label}"
    if memory.fits:
        return Aspect(ConditionType.FITS_MEMORY, TRUE, Reason.FITS, f"needs {used}")
    advice = f"; {memory.advice}" if memory.advice else ""
    message = f"needs {used}; the largest term is {memory.largest_term}{advice}"
    return Aspect(ConditionType.FITS_MEMORY, FALSE, Reason.OUT_OF_MEMORY, message)


def _waits(judged: Judged) -> str:
    """Why nothing of it runs on a GPU."""
    holding, view = judged.holding, judged.view
    if holding.claiming:
        return "its pods ask for GPUs by resource claims (DRA): which ones they hold is not known"
    if holding.pods:
        return "its pods run and ask for no GPU"
    if holding.matched:
        return f"{holding.matched} of its pods wait for a node"
    fix = f"correct it, or label the pods {WORKLOAD_LABEL}={view.name}"
    return f"no pod that asks for GPUs matches {_target(view.spec)}: {fix}"


def _target(spec: WorkloadSpec | None) -> str:
    if spec is None or (spec.target_ref is None and spec.pod_selector is None):
        return "this workload"
    return "podSelector" if spec.target_ref is None else f"targetRef {spec.target_ref.kind} {spec.target_ref.name}"


def telemetry_available(
    assessment: Assessment | None,
    *,
    running: bool,
    waits: str = "no pod of this workload runs on a GPU",
    refused: str | None = None,
    sharing: str = "",
    counted: bool = True,
    missing: bool = False,
) -> Aspect:
    """`waits` is why nothing of it runs, `refused` why readings of its node were not believed.

    `counted`: counters of GPUs of its vendor are read at all. `missing`: it has no pod, waiting ones included.
    """
    kind = ConditionType.TELEMETRY_AVAILABLE
    if not running:
        return Aspect(kind, UNKNOWN, Reason.TARGET_MISSING if missing else Reason.NO_PODS, waits)
    if assessment is None:
        return Aspect(kind, UNKNOWN, Reason.NOT_PREDICTED, "not accepted, so nothing is read")
    reason, words = _TELEMETRY[assessment.state]
    if not counted and assessment.state in _UNCOUNTED:
        reason, words = Reason.PROFILING_UNAVAILABLE, "predicted only, no counters: none of AMD GPUs are read"
    if assessment.state is TelemetryState.OK:
        return Aspect(kind, TRUE, reason, words)
    if sharing and assessment.state is TelemetryState.SHARED:
        words = f"{sharing}, others the rest: readings belong to no single pod, so its MFU is unknown"
    if measured(assessment):
        return Aspect(kind, TRUE, Reason.READINGS_FRESH, f"reported progress is fresh; of counters: {words}")
    if refused is not None and assessment.state in _SILENT:
        reason, words = Reason.READINGS_REFUSED, f"readings are not believed: {refused}"
    return Aspect(kind, FALSE, reason, words)


_UNCOUNTED = frozenset({TelemetryState.MISSING, TelemetryState.NO_PROFILING})
_SILENT = frozenset({TelemetryState.MISSING, TelemetryState.STALE})


_TELEMETRY = {
    TelemetryState.OK: (Reason.READINGS_FRESH, "readings are fresh"),
    TelemetryState.MISSING: (Reason.NO_READINGS, "no exporter or agent gives readings of its devices"),
    TelemetryState.STALE: (Reason.READINGS_STALE, "readings stopped; MFU is unknown and decisions stay"),
    TelemetryState.NO_PROFILING: (Reason.PROFILING_UNAVAILABLE, "the exporter gives no profiling metrics"),
    TelemetryState.UNKNOWN_PRODUCT: (Reason.UNKNOWN_PRODUCT, "telemetry names a GPU product that is not known"),
    TelemetryState.SHARED: (
        Reason.NO_READINGS,
        "it holds slices of GPUs that other pods use too: readings belong to no single pod, so its MFU is unknown",
    ),
}


def intent_consistent(assessment: Assessment | None) -> Aspect:
    kind = ConditionType.INTENT_CONSISTENT
    if assessment is None or assessment.intent_consistent is None:
        if assessment is not None and assessment.unread:
            message = f"progress is declared and can not be read: {assessment.unread}"
            return Aspect(kind, UNKNOWN, Reason.PROGRESS_UNREAD, message)
        why = f"; {assessment.message}" if assessment is not None and assessment.message else ""
        return Aspect(kind, UNKNOWN, Reason.ONE_METER, f"only one meter speaks, so nothing can be compared{why}")
    if assessment.intent_consistent:
        why = f"; {assessment.message}" if assessment.message else ""
        return Aspect(kind, TRUE, Reason.METERS_AGREE, f"progress and counters agree within their bands{why}")
    return Aspect(kind, FALSE, Reason.METERS_DISAGREE, assessment.message)


def ready(others: list[Aspect]) -> Aspect:
    """Everything above holds; one meter alone is enough, disagreeing meters are not."""
    failing = next((each for each in others if each.status is FALSE), None)
    if failing is not None:
        return Aspect(ConditionType.READY, FALSE, Reason.NOT_READY, f"{failing.type}: {failing.message}")
    waiting = [each for each in others if each.status is UNKNOWN and each.type is not ConditionType.INTENT_CONSISTENT]
    if waiting:
        return Aspect(ConditionType.READY, UNKNOWN, Reason.NOT_READY, f"{waiting[0].type}: {waiting[0].message}")
    return Aspect(ConditionType.READY, TRUE, Reason.READY, "predicted, measured and consistent")


def internal_error(words: str) -> Aspect:
    """Judging failed by a defect of ours."""
    message = f"the operator failed on this workload and leaves it as it is; please report: {words}"
    return Aspect(ConditionType.READY, FALSE, Reason.INTERNAL_ERROR, message)


def conditions(
    found: Iterable[Aspect], before: Iterable[Condition], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """With the times at which they last turned."""
    return merge(before, (_condition(each, generation, now) for each in found))


def _condition(aspect: Aspect, generation: int, now: float) -> Condition:
    return Condition(
        type=aspect.type,
        status=aspect.status,
        reason=aspect.reason,
        message=aspect.message[:MOST_WORDS],
        last_transition_time=moment(now),
        observed_generation=generation,
    )
