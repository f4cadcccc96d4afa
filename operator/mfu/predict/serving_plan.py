"""The serving side of a plan: the best setting of one placement, and what is declared today."""

from __future__ import annotations

from dataclasses import replace

from mfu.predict.inference import attainable_inference, predict_inference
from mfu.predict.plan import Choice, Nothing, Option, priced
from mfu.predict.types import (
    Attainable,
    Corrections,
    Inference,
    Parallelism,
    Placement,
    Prediction,
    Problem,
    Tunable,
)

_FREE = frozenset({Tunable.LAYOUT, Tunable.CONCURRENCY})


def best_serving(
    setup: Inference, option: Option, price: float | None = None, corrections: Corrections | None = None
) -> Choice | Nothing:
    """The best layout and concurrency within the latency limits, on the GPUs of one replica."""
    job = _at(setup, option)
    found = attainable_inference(job, option.placement, _FREE, corrections)
    if isinstance(found, Problem):
        return Nothing(option, str(found))
    if not isinstance(found, Attainable) or not found.prediction.memory.fits:
        return Nothing(option, f"does not fit: {found.prediction.memory.largest_term} is the largest part")
    if not isinstance(found.setup, Inference) or _late(found.setup, found.prediction):
        return Nothing(option, "no setting meets the latency objectives")
    return priced(option, found.setup, found.prediction, price)


def _at(setup: Inference, option: Option) -> Inference:
    """The declared layout where it takes as many GPUs, else tensor parallelism over all that the heads allow."""
    cut, gpus = setup.parallelism, option.placement.gpus
    if cut.tensor * cut.pipeline * cut.context * cut.data != gpus:
        tensor = max(each for each in range(1, gpus + 1) if gpus % each == 0 and setup.architecture.heads % each == 0)
        cut = Parallelism(tensor=tensor, data=gpus // tensor)
    return replace(setup, precisions=replace(setup.precisions, compute=option.precision), parallelism=cut)


def _late(setup: Inference, found: Prediction) -> bool:
    limits = ((setup.ttft_limit_seconds, found.ttft_seconds), (setup.tpot_limit_seconds, found.tpot_seconds))
    return any(limit is not None and value is not None and value > limit for limit, value in limits)


def serving_today(setup: Inference, placement: Placement, price: float | None = None) -> Choice | Problem:
    """The declared setting where it runs now."""
    found = predict_inference(setup, placement)
    if isinstance(found, Problem):
        return found
    return priced(Option(placement, setup.precisions.compute), setup, found, price)
