"""The best setting that the tunable fields allow on the same GPUs, inside memory and the SLO; never below expected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.memo import memo
from mfu.predict.inference.candidates import Floats, Scores, score
from mfu.predict.inference.prediction import predicted
from mfu.predict.inference.slo import keeps, misses
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
    Tunable,
)

_CONCURRENCIES = np.unique(np.concatenate([2.0 ** np.arange(0, 13), 3 * 2.0 ** np.arange(0, 12)]))
NOTABLE = 0.005
"""Gains below it are no advice."""
_NARROWER = (Precision.FP8, Precision.FP4)


def attainable_inference(
    setup: Inference, placement: Placement, tunable: frozenset[Tunable], corrections: Corrections | None = None
) -> Attainable | Problem:
    """Highest tokens/s over concurrency, precision and layout as far as `tunable` allows; the changes with their gains.

    Limits on TTFT and TPOT hold for every candidate but the declared setting itself, which always stays one. A field
    that brings less than half a percent is not changed.
    """
    return _attainable(setup, placement, tunable, correction_of(setup, placement, corrections))


@memo(most=16384)
def _attainable(
    setup: Inference, placement: Placement, tunable: frozenset[Tunable], correction: Correction
) -> Attainable | Problem:
    declared = predicted(setup, placement, correction)
    if isinstance(declared, Problem):
        return declared
    best = best_within_limits(setup, placement, tunable)
    if best is None:
        return Attainable(declared, setup)
    found = predicted(best, placement, correction)
    if isinstance(found, Problem) or found.tokens_per_s_per_gpu <= (1.0 + NOTABLE) * declared.tokens_per_s_per_gpu:
        return Attainable(declared, setup)
    return Attainable(found, best, changes(setup, best, placement, correction))


def more_concurrency(
    setup: Inference, placement: Placement, corrections: Corrections | None = None
) -> tuple[Inference, Prediction] | None:
    """What more requests at once would bring, inside memory and the limits; None where it brings nothing notable."""
    found = attainable_inference(setup, placement, frozenset({Tunable.CONCURRENCY}), corrections)
    if isinstance(found, Problem) or not found.changes or not isinstance(found.setup, Inference):
        return None
    return found.setup, found.prediction


def within_limits(setup: Inference, placement: Placement, tunable: frozenset[Tunable]) -> Attainable | None:
    """The fastest setting that fits and keeps the latency limits, be it slower than the declared one, in one change."""
    best, uncorrected = best_within_limits(setup, placement, tunable), Correction()
    found = None if best is None else predicted(best, placement, uncorrected)
    if best is None or best == setup or isinstance(found, Problem) or found is None or not _possible(best, found):
        return None
    return Attainable(found, best, (_whole(setup, best, placement, uncorrected),))


def best_within_limits(setup: Inference, placement: Placement, tunable: frozenset[Tunable]) -> Inference | None:
    """The fastest setting that fits and keeps the latency limits, declared or not; fields that bring nothing stay as
    declared. None where no setting does."""
    variants = list(_variants(setup, placement, tunable))
    concurrencies = _concurrencies(setup, tunable)
    scores = score(variants, placement, concurrencies)
    if scores is None:
        return None
    rates = np.where(_allowed(setup, scores, concurrencies), scores.tokens_per_s, 0.0)
    if not rates.any():
        return None
    row, column = divmod(int(np.argmax(rates)), len(concurrencies))
    best = variants[row]
    if Tunable.CONCURRENCY in tunable:
        best = replace(best, concurrency=float(concurrencies[column]))
    return _plainest(setup, best, placement)


def _allowed(setup: Inference, scores: Scores, concurrencies: Floats) -> npt.NDArray[np.bool_]:
    """Fits, in time, and no more requests than run at once, unless so many were declared."""
    declared = setup.concurrency or math.inf
    runs = (scores.batch >= concurrencies[None, :] - 0.5) | (concurrencies[None, :] == declared)
    return np.asarray(scores.fits & runs & keeps(setup, scores.ttft_seconds, scores.tpot_seconds))


def _plainest(setup: Inference, best: Inference, placement: Placement) -> Inference:
    """The best setting with every field put back that brings nothing notable."""
    for name in _FIELDS:
        back = _take(best, setup, name)
        kept, without = (predicted(each, placement, Correction()) for each in (best, back))
        if isinstance(kept, Problem) or isinstance(without, Problem) or not _possible(back, without):
            continue
        if without.tokens_per_s_per_gpu * (1.0 + NOTABLE) >= kept.tokens_per_s_per_gpu:
            best = back
    return best


def _possible(setup: Inference, found: Prediction) -> bool:
    return found.memory.fits and not misses(setup, found)


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


def changes(setup: Inference, best: Inference, placement: Placement, correction: Correction) -> tuple[Change, ...]:
    """The steps to the best setting, each predicted on top of the earlier ones; gains are shares of the declared
    tokens/s and add up. Of all orders, the one whose every step is possible and whose least step brings most; one step
    of all fields where in every order some step would not fit, be late or be no faster."""
    differing = [name for name in _FIELDS if _differs(setup, best, name)]
    found = max((_steps(setup, best, order, placement, correction) for order in permutations(differing)), key=_merit)
    sound = found.possible and all(each.gain > 0.0 for each in found.changes)
    return found.changes if sound else (_whole(setup, best, placement, correction),)


@dataclass(frozen=True, slots=True)
class _Order:
    changes: tuple[Change, ...]
    possible: bool


def _merit(order: _Order) -> tuple[bool, float, float]:
    gains = [each.gain for each in order.changes]
    return order.possible, min(*gains, NOTABLE), gains[0]


def _steps(
    setup: Inference, best: Inference, order: tuple[str, ...], placement: Placement, correction: Correction
) -> _Order:
    base = before = predicted(setup, placement, correction)
    current, found, possible = setup, [], True
    for name in order:
        after = predicted(_take(current, best, name), placement, correction)
        if isinstance(after, Problem) or isinstance(before, Problem) or isinstance(base, Problem):
            return _Order((_whole(setup, best, placement, correction),), False)
        found.append(_change(name, current, best, (before, after, base)))
        current, before = _take(current, best, name), after
        possible = possible and _possible(current, after)
    return _Order(tuple(found), possible)


def _whole(setup: Inference, best: Inference, placement: Placement, correction: Correction) -> Change:
    """All fields at once, where no order of single steps can run."""
    base, after = predicted(setup, placement, correction), predicted(best, placement, correction)
    assert isinstance(base, Prediction) and isinstance(after, Prediction)
    differing = [name for name in _FIELDS if _differs(setup, best, name)]
    was, becomes = (", ".join(_words(each, name) for name in differing) for each in (setup, best))
    gain = after.tokens_per_s_per_gpu / base.tokens_per_s_per_gpu - 1.0
    names = " and ".join(_FIELDS[name] for name in differing)
    return Change(names, was, becomes, gain, _value(after) - _value(base), best)


def _change(
    name: str, current: Inference, best: Inference, predictions: tuple[Prediction, Prediction, Prediction]
) -> Change:
    before, after, base = predictions
    gain = (after.tokens_per_s_per_gpu - before.tokens_per_s_per_gpu) / base.tokens_per_s_per_gpu
    points, setting = _value(after) - _value(before), _take(current, best, name)
    return Change(_FIELDS[name], _words(current, name), _words(best, name), gain, points, setting)


_FIELDS = {"precisions": "precision", "parallelism": "parallelism", "concurrency": "concurrency"}


def _words(setup: Inference, name: str) -> str:
    if name == "precisions":
        return f"{setup.precisions.compute} weights {setup.precisions.weights} cache {setup.precisions.kv_cache}"
    if name == "parallelism":
        layout = setup.parallelism
        return f"tensor {layout.tensor} pipeline {layout.pipeline} data {layout.data}"
    return "as fits" if setup.concurrency is None else f"{setup.concurrency:g}"


def _value(prediction: Prediction) -> float:
    return prediction.judged or 0.0


def _differs(setup: Inference, best: Inference, name: str) -> bool:
    return bool(getattr(setup, name) != getattr(best, name))


def _take(setup: Inference, best: Inference, name: str) -> Inference:
    if name == "precisions":
        return replace(setup, precisions=best.precisions)
    if name == "parallelism":
        return replace(setup, parallelism=best.parallelism)
    return replace(setup, concurrency=best.concurrency)
