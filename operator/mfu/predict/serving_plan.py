"""The serving side of a plan: the best setting of one placement, and what is declared today."""

from __future__ import annotations

from dataclasses import replace

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.inference import best_within_limits, predict_inference
from mfu.predict.inference.slo import misses
from mfu.predict.plan import Choice, Nothing, Option, priced
from mfu.predict.types import Corrections, Inference, Parallelism, Placement, Precisions, Prediction, Problem, Tunable

_FREE = frozenset({Tunable.LAYOUT, Tunable.CONCURRENCY})


def best_serving(
    setup: Inference, option: Option, price: float | None = None, corrections: Corrections | None = None
) -> Choice | Nothing:
    """The best layout and concurrency within the latency limits, on the GPUs of one replica."""
    job = _at(setup, option)
    declared = predict_inference(job, option.placement, corrections)
    if isinstance(declared, Problem):
        return Nothing(option, str(declared))
    best = best_within_limits(job, option.placement, _FREE)
    if best is None:
        return Nothing(option, _why(job, option.placement, declared))
    found = predict_inference(best, option.placement, corrections)
    if isinstance(found, Problem):
        return Nothing(option, str(found))
    return priced(option, best, found, price)


def _why(job: Inference, placement: Placement, declared: Prediction) -> str:
    """Memory where no layout fits, else the limit that the quietest setting misses."""
    free = replace(job, ttft_limit_seconds=None, tpot_limit_seconds=None)
    if best_within_limits(free, placement, _FREE) is None:
        return f"does not fit: {declared.memory.largest_term} is the largest part"
    alone = predict_inference(replace(job, concurrency=1.0), placement)
    missed = () if isinstance(alone, Problem) else misses(job, alone)
    return f"no setting keeps the limits; one request at a time: {'; '.join(missed) or 'in time, but slower'}"


def _at(setup: Inference, option: Option) -> Inference:
    """The declared layout where it takes as many GPUs, else tensor parallelism over all that the heads allow."""
    cut, gpus = setup.parallelism, option.placement.gpus
    if cut.tensor * cut.pipeline * cut.context * cut.data != gpus:
        tensor = max(each for each in range(1, gpus + 1) if gpus % each == 0 and setup.architecture.heads % each == 0)
        cut = Parallelism(tensor=tensor, data=gpus // tensor)
    return replace(setup, precisions=_stored(setup, option), parallelism=cut)


def _stored(setup: Inference, option: Option) -> Precisions:
    """Weights and cache follow an arithmetic that is narrower than the declared weights, as attainable takes it."""
    declared, compute = setup.precisions, option.precision
    if BYTES_PER_VALUE[compute] < BYTES_PER_VALUE[declared.weights]:
        return Precisions(compute=compute, weights=compute, kv_cache=Precision.FP8)
    return replace(declared, compute=compute)


def serving_today(
    setup: Inference, placement: Placement, price: float | None = None, corrections: Corrections | None = None
) -> Choice | Problem:
    """The declared setting where it runs now."""
    found = predict_inference(setup, placement, corrections)
    if isinstance(found, Problem):
        return found
    return priced(Option(placement, setup.precisions.compute), setup, found, price)
