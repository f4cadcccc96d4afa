"""The one list: what has to come first, then whatever brings most next, then where and how often it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mfu.api.causes import Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend.mends import idle, mends, observed_share
from mfu.decide.recommend.places import fits_elsewhere, other_product, packed, replica_bounds, sliced
from mfu.decide.recommend.recommended import NextStep, Reach, Recommended
from mfu.decide.recommend.settings import changes, fitting, in_time, late
from mfu.decide.types import Subject
from mfu.predict.declared import tunable_of
from mfu.predict.types import Inference, Tunable

MOST = 16


def recommend(subject: Subject) -> tuple[Recommended, ...]:
    """What to do, each on top of those before it. Empty where nothing lawful would help, or nobody can say.

    What shares its GPU with others is told nothing: what it could reach depends on them.
    """
    if subject.placement.device.shared:
        return ()
    start = reach_of(subject)
    if (nothing := idle(subject.findings)) is not None:
        words = nothing.action or "release the idle GPUs"
        return _ranked(
            start, [NextStep(Kind.RELEASE, str(nothing.cause), actor=nothing.actor, words=words, replicas=0)]
        )
    course = _course(subject, start)
    repairs = mends(subject, start.share) if start.runs else ()
    settings = () if _beats(start, course) else course.settings
    steps = [*course.first, *_merged(start, repairs, settings)]
    return _ranked(start, [*steps, *_at_last(subject, _end(start, steps))])


def reach_of(subject: Subject) -> Reach:
    """The workload as it is: observed where it is measured, else as expected."""
    replicas = max(1, subject.replicas_running) if isinstance(subject.setup, Inference) else 1
    runs = subject.assigned or subject.expected.memory.fits
    return Reach(subject.setup, subject.placement, subject.expected, replicas, observed_share(subject), runs)


@dataclass(frozen=True, slots=True)
class _Course:
    """`first` has to come before everything else; `settings` follow in this order."""

    first: tuple[NextStep, ...] = ()
    settings: tuple[NextStep, ...] = ()


def _course(subject: Subject, start: Reach) -> _Course:
    """Memory, then latency, then speed: nothing is recommended that does not fit or comes later than declared."""
    tunable = allowed(subject)
    if not start.runs:
        found = fits_elsewhere(subject, start) or fitting(start.setup, start.placement)
        return _Course() if found is None else _after(found, start, tunable)
    if late(start.setup, start.prediction, surely=True):
        found = in_time(start.setup, start.placement, tunable)
        return _Course() if found is None else _Course((found,))
    if not late(start.setup, start.prediction):
        found = packed(subject, start, tunable) or sliced(subject, start, tunable)
        if found is not None:
            return _after(found, start, tunable)
    return _Course(settings=changes(start.setup, start.placement, tunable))


def _after(first: NextStep, start: Reach, tunable: frozenset[Tunable]) -> _Course:
    there = first.on(start)
    return _Course((first,), changes(there.setup, there.placement, tunable))


def allowed(subject: Subject) -> frozenset[Tunable]:
    """What the spec lets advice change, less what was measured to be of no use: more requests where the cache is full,
    or where the engine waits for requests as it is."""
    useless = any(
        each.cause is Cause.KV_CACHE_PRESSURE
        or (each.cause is Cause.LOW_CONCURRENCY and each.explains is Explains.RUNTIME)
        for each in subject.findings
    )
    return tunable_of(subject.spec) - ({Tunable.CONCURRENCY} if useless else set())


def _beats(start: Reach, course: _Course) -> bool:
    """It runs faster than the best that is predicted: then the prediction is too low to advise it."""
    best = course.settings[-1].prediction if course.settings else None
    made = start.share * start.prediction.tokens_per_s_per_gpu
    return not course.first and best is not None and made >= best.tokens_per_s_per_gpu


def _merged(start: Reach, repairs: Sequence[NextStep], settings: Sequence[NextStep]) -> list[NextStep]:
    """Both in their own order, at each place the one that brings more: their gains multiply, whichever comes first."""
    waiting, reach, found = [list(repairs), list(settings)], start, []
    while any(waiting):
        queue = max(filter(None, waiting), key=lambda each: _rate(each[0].on(reach)))
        step = queue.pop(0)
        reach = step.on(reach)
        found.append(step)
    return found


def _rate(reach: Reach) -> float:
    return reach.tokens_per_s or 0.0


def _at_last(subject: Subject, end: Reach) -> Iterable[NextStep]:
    """Another product, then the replicas that the measured load needs once all that is done."""
    if not end.runs or not possible_end(end):
        return
    product = other_product(subject, end)
    if product is not None:
        yield product
        end = product.on(end)
    wanted = subject.desired_replicas
    if wanted is None:
        return
    work = wanted * subject.expected.tokens_per_s_per_gpu * subject.placement.gpus
    needed = replica_bounds(subject).around(work / end.rate) if end.rate > 0 else end.replicas
    if needed != end.replicas:
        yield NextStep(Kind.REPLICAS, "inference.replicas", str(end.replicas), str(needed), replicas=needed)


def possible_end(end: Reach) -> bool:
    """Nothing more is built on a setting that comes too late."""
    return not late(end.setup, end.prediction, surely=True)


def _end(start: Reach, steps: Iterable[NextStep]) -> Reach:
    for step in steps:
        start = step.on(start)
    return start


def _ranked(start: Reach, steps: Sequence[NextStep]) -> tuple[Recommended, ...]:
    found = []
    for step in steps[:MOST]:
        after = step.on(start)
        before, now = start.tokens_per_s, after.tokens_per_s
        found.append(Recommended(step, after, now / before - 1.0 if before and now else None))
        start = after
    return tuple(found)
