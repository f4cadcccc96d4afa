"""The best setting that the tunable fields allow on the same GPUs, inside memory and the SLO; never below expected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.inference.candidates import Floats, Scores, score
from mfu.predict.inference.prediction import predicted
from mfu.predict.learnkeys import correction_of
from mfu.predict.types import (
    Attainable,
    Change,
    Correction,
    Corrections,
    Inference,
    Parallelism,
    Placement,
    Precisions,
    Prediction,
    Problem,
    Scale,
    Tunable,
)

_CONCURRENCIES = np.unique(np.concatenate([2.0 ** np.arange(0, 13), 3 * 2.0 ** np.arange(0, 12)]))
_NARROWER = (Precision.FP8, Precision.FP4)


def attainable_inference(
    setup: Inference, placement: Placement, tunable: frozenset[Tunable], corrections: Corrections | None = None
) -> Attainable | Problem:
    """Highest tokens/s over concurrency, precision and layout as far as `tunable` allows; the changes with their gains.

    Limits on TTFT and TPOT hold for every candidate but the declared setting itself, which always stays one.
    """
    return _attainable(setup, placement, tunable, correction_of(setup, placement, corrections))


@lru_cache(maxsize=16384)
def _attainable(
    setup: Inference, placement: Placement, tunable: frozenset[Tunable], correction: Correction
) -> Attainable | Problem:
    declared = predicted(setup, placement, correction)
    if isinstance(declared, Problem):
        return declared
    best = _search(setup, placement, tunable)
    found = predicted(best, placement, correction)
    if isinstance(found, Problem) or found.tokens_per_s_per_gpu <= declared.tokens_per_s_per_gpu:
        return Attainable(declared, setup)
    return Attainable(found, best, _changes(setup, best, placement, correction))


def _search(setup: Inference, placement: Placement, tunable: frozenset[Tunable]) -> Inference:
    variants = list(_variants(setup, placement, tunable))
    concurrencies = _concurrencies(setup, tunable)
    scores = score(variants, placement, concurrencies)
    if scores is None:
        return setup
    rates = np.where(_allowed(setup, scores), scores.tokens_per_s, 0.0)
    if not rates.any():
        return setup
    row, column = divmod(int(np.argmax(rates)), len(concurrencies))
    if Tunable.CONCURRENCY not in tunable:
        return variants[row]
    return replace(variants[row], concurrency=float(concurrencies[column]))


def _allowed(setup: Inference, scores: Scores) -> npt.NDArray[np.bool_]:
    slow = (setup.input_tokens_p95 or setup.input_tokens) / setup.input_tokens
    ttft, tpot = setup.ttft_limit_seconds or math.inf, setup.tpot_limit_seconds or math.inf
    return scores.fits & (scores.ttft_seconds * slow <= ttft) & (scores.tpot_seconds <= tpot)


def _concurrencies(setup: Inference, tunable: frozenset[Tunable]) -> Floats:
    declared = np.array([setup.concurrency or math.inf])
    if Tunable.CONCURRENCY not in tunable:
        return declared
    return np.unique(np.concatenate([_CONCURRENCIES, declared[np.isfinite(declared)]]))


def _variants(setup: Inference, placement: Placement, tunable: frozenset[Tunable]) -> Iterator[Inference]:
    layouts = _layouts(setup, placement) if Tunable.LAYOUT in tunable else [setup.parallelism]
    precisions = _precisions(setup, placement) if Tunable.PRECISION in tunable else [setup.precisions]
    for layout, precision in product(layouts, precisions):
        yield replace(setup, parallelism=layout, precisions=precision)


def _layouts(setup: Inference, placement: Placement) -> list[Parallelism]:
    """Every tensor · pipeline · attention-group split of the same GPUs; experts spread where there are any."""
    declared = setup.parallelism
    gpus = declared.tensor * declared.pipeline * declared.data
    moe = setup.architecture.moe
    splits = [
        (tensor, pipeline, gpus // (tensor * pipeline))
        for tensor, pipeline in product(_divisors(gpus), _divisors(gpus))
        if gpus % (tensor * pipeline) == 0 and setup.architecture.heads % tensor == 0
    ]
    return [
        replace(declared, tensor=tensor, pipeline=pipeline, data=groups, expert=groups * tensor if groups > 1 else 1)
        for tensor, pipeline, groups in splits
        if groups == 1 or moe is not None
    ] or [declared]


def _divisors(count: int) -> list[int]:
    return [each for each in range(1, count + 1) if count % each == 0]


def _precisions(setup: Inference, placement: Placement) -> list[Precisions]:
    """The declared one, and every narrower arithmetic that the product has, weights and cache along."""
    declared = setup.precisions
    narrower = [
        Precisions(compute=each, weights=each, kv_cache=Precision.FP8)
        for each in _NARROWER
        if each in placement.device.gpu.peaks and BYTES_PER_VALUE[each] < BYTES_PER_VALUE[declared.weights]
    ]
    return [declared, *narrower]


def _changes(setup: Inference, best: Inference, placement: Placement, correction: Correction) -> tuple[Change, ...]:
    """One field at a time, the one that brings most first; gains are shares of the declared tokens/s."""
    remaining = {name for name in ("precisions", "parallelism", "concurrency") if _differs(setup, best, name)}
    current, changes = setup, []
    base = before = predicted(setup, placement, correction)
    while remaining and not isinstance(base, Problem) and not isinstance(before, Problem):
        trials = {name: predicted(_take(current, best, name), placement, correction) for name in sorted(remaining)}
        name = max(trials, key=lambda each: _rate(trials[each]))
        after = trials[name]
        if isinstance(after, Problem):
            break
        changes.append(_change(name, current, best, (before, after, base)))
        current, before = _take(current, best, name), after
        remaining.remove(name)
    return tuple(changes)


def _change(
    name: str, current: Inference, best: Inference, predictions: tuple[Prediction, Prediction, Prediction]
) -> Change:
    before, after, base = predictions
    gain = (after.tokens_per_s_per_gpu - before.tokens_per_s_per_gpu) / base.tokens_per_s_per_gpu
    return Change(_FIELDS[name], _words(current, name), _words(best, name), gain, _value(after) - _value(before))


_FIELDS = {"precisions": "precision", "parallelism": "parallelism", "concurrency": "concurrency"}


def _words(setup: Inference, name: str) -> str:
    if name == "precisions":
        return f"{setup.precisions.compute} weights {setup.precisions.weights} cache {setup.precisions.kv_cache}"
    if name == "parallelism":
        layout = setup.parallelism
        return f"tensor {layout.tensor} pipeline {layout.pipeline} data {layout.data}"
    return "as fits" if setup.concurrency is None else f"{setup.concurrency:g}"


def _value(prediction: Prediction) -> float:
    return (prediction.mbu or 0.0) if prediction.scale is Scale.MBU else prediction.mfu


def _rate(prediction: Prediction | Problem) -> float:
    return -1.0 if isinstance(prediction, Problem) else prediction.tokens_per_s_per_gpu


def _differs(setup: Inference, best: Inference, name: str) -> bool:
    return bool(getattr(setup, name) != getattr(best, name))


def _take(setup: Inference, best: Inference, name: str) -> Inference:
    if name == "precisions":
        return replace(setup, precisions=best.precisions)
    if name == "parallelism":
        return replace(setup, parallelism=best.parallelism)
    return replace(setup, concurrency=best.concurrency)
