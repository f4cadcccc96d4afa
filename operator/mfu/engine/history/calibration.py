"""Online calibration: lessons from workloads that run as they should, kept in the FleetReport across restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt

from mfu.api.causes import Explains
from mfu.api.fleetreport import Calibration
from mfu.api.workload_status import Meter
from mfu.engine.history.remembered import Current
from mfu.observe.assessment import Assessment, Finding, TelemetryState
from mfu.predict import key_of
from mfu.predict.learn import Lesson, acceptable, from_document, learn
from mfu.predict.learnkeys import known_engine
from mfu.predict.types import Correction, Corrections, Setup

LESSON_SECONDS = 600.0
"""One lesson a window: overlapping windows would count the same evidence again."""
MOST_KEYS = 128
MOST_OF_ONE = 8
"""Stacks that one namespace may teach of."""
LEAST_TEACHERS = 3
"""Namespaces that must agree before anybody else is told."""
MOST_DISAGREEMENT = log(1.15)
"""Between two of them: twice the noise of one stack's published repeats, with the doubt about intents."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What others agree on, and whose word it is."""

    correction: Correction
    evidence: str


def teaches(setup: Setup, *, declared_at: float | None, oldest_pod_at: float | None) -> bool:
    """Only what was declared before its pods were there, of an engine that others may have as well.

    A declaration that came later may have been fitted to what it should explain.
    """
    if declared_at is None or oldest_pod_at is None:
        return False
    return declared_at <= oldest_pod_at and known_engine(setup)


def lesson_of(namespace: str, current: Current, assessment: Assessment, findings: Sequence[Finding]) -> Lesson | None:
    """Observed against what shipped constants say. Only progress teaches: counters rest on the intent.

    It is kept under the namespace that taught it, so that no tenant alone moves what others are told.
    """
    best = assessment.best()
    if best is None or best.meter is not Meter.PROGRESS or best.tokens_per_s_per_gpu is None:
        return None
    suspect = (
        assessment.state is not TelemetryState.OK
        or assessment.intent_consistent is False
        or any(each.explains is Explains.RUNTIME and each.wasted for each in findings)
    )
    key = f"{namespace}/{key_of(current.setup, current.placement)}"
    shipped, seen = current.expected.tokens_per_s_per_gpu, best.tokens_per_s_per_gpu
    return Lesson(key, shipped, seen, best.confidence, best.coverage, suspect)


def taught(known: Corrections, lesson: Lesson) -> Corrections:
    """What is known after a lesson. A namespace knows of `MOST_OF_ONE` stacks, all of them together of `MOST_KEYS`.

    Where there is no more room, a namespace that has taught of more stacks than this one gives one up.
    """
    if lesson.key in known.by_key:
        return learn(known, lesson)
    mine, by_namespace = _namespace(lesson.key), Counter(map(_namespace, known.by_key))
    if by_namespace[mine] >= MOST_OF_ONE:
        return known
    if len(known.by_key) < MOST_KEYS:
        return learn(known, lesson)
    greediest = max(sorted(by_namespace), key=by_namespace.__getitem__)
    if by_namespace[greediest] <= by_namespace[mine] + 1 or not acceptable(lesson):
        return known
    theirs = (key for key in sorted(known.by_key) if _namespace(key) == greediest)
    least = min(theirs, key=lambda key: known.by_key[key].observations)
    return learn(Corrections({key: each for key, each in known.by_key.items() if key != least}), lesson)


def _namespace(key: str) -> str:
    return key.partition("/")[0]


def learned_elsewhere(known: Corrections, key: str, namespace: str) -> Taught | None:
    """What other namespaces agree on for this stack, each weighing once; None where too few speak, or they disagree."""
    found = {
        teacher: each
        for name, each in known.by_key.items()
        if (teacher := _namespace(name)) != namespace and name.partition("/")[2] == key
    }
    logs = [log(each.factor) for each in found.values()]
    if len(logs) < LEAST_TEACHERS or max(logs) - min(logs) > MOST_DISAGREEMENT:
        return None
    doubt = sqrt(fsum(each.relative_sd**2 for each in found.values())) / len(found)
    observations = sum(each.observations for each in found.values())
    factor = exp(fsum(logs) / len(logs))
    evidence = f"{factor:.2f} x, {observations} windows of {len(found)} namespaces"
    return Taught(Correction(factor, max(doubt, (max(logs) - min(logs)) / 2), observations), evidence)


def calibration_rows(corrections: Corrections) -> tuple[Calibration, ...]:
    """`status.calibration` of the FleetReport."""
    return tuple(
        Calibration(
            key=key,
            factor=f"{each.factor:.4f}",
            relative_sd=f"{each.relative_sd:.4f}",
            observations=each.observations,
        )
        for key, each in sorted(_bounded(corrections).items())
    )


def _bounded(corrections: Corrections) -> dict[str, Correction]:
    """Namespaces in turn, so that no name comes first that holds many."""
    ranks: Counter[str] = Counter()
    order: list[tuple[int, str]] = []
    for key in sorted(corrections.by_key):
        ranks[_namespace(key)] += 1
        order.append((ranks[_namespace(key)], key))
    kept = (key for rank, key in sorted(order)[:MOST_KEYS] if rank <= MOST_OF_ONE)
    return {key: corrections.by_key[key] for key in kept}


def restored(rows: Sequence[Calibration]) -> Corrections:
    """What a former operator learned; damaged or out-of-bounds entries are forgotten."""
    return from_document({row.key: _numbers(row) for row in rows if row.key})


def _numbers(row: Calibration) -> dict[str, float]:
    return {"factor": float(row.factor), "relativeSD": float(row.relative_sd), "observations": float(row.observations)}
