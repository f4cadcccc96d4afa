"""What could be declared better: steps that are predicted one on top of the other, and keep memory and latencies."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend.recommended import NextStep
from mfu.decide.workload.remedy import remedy
from mfu.hardware.products import usual_node_gpus
from mfu.memo import memo
from mfu.predict import attainable, predict
from mfu.predict.inference import within_limits
from mfu.predict.inference.slo import misses
from mfu.predict.types import Attainable, Inference, Placement, Prediction, Setup, Tunable


@memo(most=16384)
def changes(setup: Setup, placement: Placement, tunable: frozenset[Tunable]) -> tuple[NextStep, ...]:
    """Steps to the attainable setting; none where one of them would not fit or come too late."""
    best = attainable(setup, placement, tunable)
    steps = []
    for each in best.changes if isinstance(best, Attainable) else ():
        found = predict(each.setting, placement)
        if not isinstance(found, Prediction) or not possible(each.setting, found):
            return ()
        steps.append(NextStep(Kind.SETTING, each.field, each.before, each.after, setup=each.setting, prediction=found))
    return tuple(steps)


def possible(setup: Setup, found: Prediction) -> bool:
    """Fits, and keeps every declared latency."""
    return found.memory.fits and not late(setup, found)


def late(setup: Setup, found: Prediction, *, surely: bool = False) -> tuple[str, ...]:
    """Declared latencies that are not kept, in words; `surely` those that even the fast end of the band misses."""
    return misses(setup, found, surely=surely) if isinstance(setup, Inference) else ()


@memo(most=8192)
def fitting(setup: Setup, placement: Placement) -> NextStep | None:
    """What makes it fit on the fewest GPUs, as admission names it; None where nothing does and keeps the latencies."""
    found = remedy(setup, placement)
    if found is None:
        return None
    where = replace(placement, gpus=found.gpus, gpus_per_node=min(found.gpus, _node(placement, found.gpus)))
    answer = predict(found.setup, where)
    if not isinstance(answer, Prediction) or not possible(found.setup, answer):
        return None
    words = f"run on {found.gpus} GPUs with {found.layout}, which fits"
    return NextStep(Kind.FIT, words=words, setup=found.setup, placement=where, prediction=answer)


def _node(placement: Placement, gpus: int) -> int:
    return max(placement.gpus_per_node, usual_node_gpus(placement.device.gpu, gpus))


@memo(most=8192)
def in_time(setup: Setup, placement: Placement, tunable: frozenset[Tunable]) -> NextStep | None:
    """The fastest setting that keeps the declared latencies, be it slower than the declared one; None without."""
    found = within_limits(setup, placement, tunable) if isinstance(setup, Inference) else None
    if found is None:
        return None
    change = found.changes[0]
    words = f"{change.field} {change.before} → {change.after}, to keep inference.slo"
    return NextStep(
        Kind.OBJECTIVE,
        change.field,
        change.before,
        change.after,
        words=words,
        setup=found.setup,
        prediction=found.prediction,
    )
