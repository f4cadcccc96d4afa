"""Online calibration: what confident observations teach about one (product, engine, mode), as pure state to state.

The logarithm of observed over predicted speed is tracked by a Kalman filter with a drift (West, Harrison, "Bayesian
Forecasting and Dynamic Models", chapter 2: the local-level model). The factor stays within bounds, an outlier moves it
only as far as a plausible one would, and a suspect reading not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mfu.predict.types import Correction, Corrections

LOWEST: Final = 0.7
HIGHEST: Final = 1.3
PRIOR_SD: Final = 0.10
"""How far the shipped constants are off for a stack never seen: the cross-validated error by source."""
OBSERVATION_SD: Final = 0.05
"""One window of one workload against the truth of its stack: noise floor of published repeats is 1-3 %, plus intent."""
DRIFT_SD: Final = 0.005
"""Per observation: software that changes under a stack (published drift: 27 % in 17 months)."""
OUTLIER: Final = 2.5
"""Surprises beyond so many standard deviations count as this many."""
LEAST_CONFIDENCE: Final = 0.7
LEAST_COVERAGE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Lesson:
    """One window of one workload: what was predicted with shipped constants only, and what was seen.

    `suspect` is any reason not to trust it: doubted intent, stale or partial readings, a named runtime cause.
    """

    key: str
    predicted: float
    observed: float
    confidence: float
    coverage: float
    suspect: bool = False


def acceptable(lesson: Lesson) -> bool:
    """A lesson teaches only when nothing about it is doubtful and the ratio is one that a stack can have.

    A workload far below prediction has a fault, not a slow stack: ratios outside half the bounds' reach are left out.
    """
    if lesson.suspect or lesson.confidence < LEAST_CONFIDENCE or lesson.coverage < LEAST_COVERAGE:
        return False
    if not (math.isfinite(lesson.predicted) and math.isfinite(lesson.observed)):
        return False
    if lesson.predicted <= 0.0 or lesson.observed <= 0.0:
        return False
    return LOWEST / _BEYOND <= lesson.observed / lesson.predicted <= HIGHEST * _BEYOND


_BEYOND = 1.1


def learn(state: Corrections, lesson: Lesson) -> Corrections:
    """The state after one lesson; the same state object where the lesson is not acceptable.

    From nothing, observed 10 % above predicted: gain = 0.1² / (0.1² + 0.05²) = 0.8, factor = exp(0.8 · ln 1.1) = 1.079,
    sd = 0.1 · sqrt(1 - 0.8) = 0.0447.
    """
    if not acceptable(lesson):
        return state
    before = state.by_key.get(lesson.key)
    after = updated(before, math.log(lesson.observed / lesson.predicted))
    return Corrections(MappingProxyType({**state.by_key, lesson.key: after}))


def updated(before: Correction | None, log_ratio: float) -> Correction:
    """One filter step."""
    known = before is not None and before.observations > 0
    mean = math.log(before.factor) if known and before is not None else 0.0
    sd = math.hypot(before.relative_sd, DRIFT_SD) if known and before is not None else PRIOR_SD
    surprise_sd = math.hypot(sd, OBSERVATION_SD)
    surprise = min(max(log_ratio - mean, -OUTLIER * surprise_sd), OUTLIER * surprise_sd)
    gain = sd**2 / surprise_sd**2
    factor = min(max(math.exp(mean + gain * surprise), LOWEST), HIGHEST)
    observations = (before.observations if before is not None else 0) + 1
    return Correction(factor, sd * math.sqrt(1.0 - gain), observations)


def from_document(document: object) -> Corrections:
    """The state that was kept; entries that are damaged or out of bounds are forgotten, never trusted."""
    found: dict[str, Correction] = {}
    entries = document.items() if isinstance(document, dict) else ()
    for key, entry in entries:
        correction = _correction(entry)
        if isinstance(key, str) and correction is not None:
            found[key] = correction
    return Corrections(MappingProxyType(found))


def _correction(entry: object) -> Correction | None:
    if not isinstance(entry, dict):
        return None
    values = [entry.get(name) for name in ("factor", "relativeSD", "observations")]
    numbers = [float(each) for each in values if isinstance(each, int | float) and math.isfinite(each)]
    if len(numbers) != len(values):
        return None
    factor, sd, observations = numbers
    if not LOWEST <= factor <= HIGHEST or not 0.0 < sd <= PRIOR_SD or observations < 1:
        return None
    return Correction(factor, sd, int(observations))
