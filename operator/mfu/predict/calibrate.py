"""What somebody's own runs say of their stack: one factor for each product, engine and mode, shrunk, with its doubt.

The runs of a stack share an error that the prediction gives a standard deviation (`Doubt.shared`) and each has one of
its own (`Doubt.own`, or how far the runs lie apart where that is more). The factor is the mean of log(observed speed /
predicted speed) times the share of it that is likely the stack's (`spread.shrink`), and what stays unknown narrows:
most by several runs that agree, least by one run or by runs that disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Final

from mfu.predict.learnkeys import key_of
from mfu.predict.spread import shrink
from mfu.predict.types import Correction, Corrections, Doubt, Placement, Prediction, Setup

WIDEST: Final = 4.0
"""A factor beyond this, either way, is a mistake in the runs or in what was declared of them, not a stack."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """One measured run: what was declared, where it ran, what was predicted of it, and the seconds of its step."""

    setup: Setup
    placement: Placement
    prediction: Prediction
    step_seconds: float

    @property
    def log_ratio(self) -> float:
        """log(observed speed / predicted speed)."""
        return math.log(self.prediction.step_seconds / self.step_seconds)


def calibrate(runs: Iterable[OwnRun]) -> Corrections:
    """One correction for each stack that the runs have. Four runs 10 % slower than predicted, shared 0.15, own 0.06:
    0.96 of it is the stack's, factor exp(-0.105 · 0.96) = 0.904, doubt 0.029."""
    members: dict[str, list[OwnRun]] = {}
    for run in runs:
        members.setdefault(key_of(run.setup, run.placement), []).append(run)
    return Corrections(MappingProxyType({key: correction(found) for key, found in members.items()}))


def correction(runs: list[OwnRun]) -> Correction:
    """The factor of one stack."""
    ratios = [run.log_ratio for run in runs]
    shared = fmean(run.prediction.doubt.shared for run in runs)
    own = fmean(run.prediction.doubt.own for run in runs)
    apart = stdev(ratios) if len(ratios) > 1 else 0.0
    share = shrink(shared, max(own, apart), len(ratios))
    return Correction(math.exp(share * fmean(ratios)), shared * math.sqrt(1.0 - share), len(ratios))


def narrower(prediction: Prediction, found: Correction) -> tuple[float, float]:
    """Standard deviation of a run of that stack before and after."""
    after = Doubt(min(found.relative_sd, prediction.doubt.shared), prediction.doubt.own)
    return prediction.doubt.total, after.total


def to_stack(corrections: Corrections) -> dict[str, object]:
    """The document that `mfu calibrate` writes and `predict` and `plan` read."""
    stacks = [
        {
            "key": key,
            "factor": round(each.factor, 4),
            "relativeSD": round(each.relative_sd, 4),
            "observations": each.observations,
        }
        for key, each in sorted(corrections.by_key.items())
    ]
    return {"kind": KIND, "stacks": stacks}


KIND: Final = "CalibratedStacks"


def from_stack(document: object) -> Corrections:
    """The corrections of such a document. ValueError names what is wrong with it."""
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        raise ValueError(f"kind: is not {KIND}; write the file with `mfu calibrate`")
    stacks = document.get("stacks")
    if not isinstance(stacks, list):
        raise ValueError("stacks: is no list")
    return Corrections(MappingProxyType(dict(_stack(index, each) for index, each in enumerate(stacks))))


def _stack(index: int, entry: object) -> tuple[str, Correction]:
    where = f"stacks[{index}]"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("key"), str):
        raise ValueError(f"{where}.key: is missing; it reads product/engine/mode")
    numbers = {}
    for name in ("factor", "relativeSD", "observations"):
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{where}.{name}: {value!r} is no number")
        numbers[name] = float(value)
    if not 1.0 / WIDEST <= numbers["factor"] <= WIDEST:
        raise ValueError(f"{where}.factor: {numbers['factor']:g} is no stack's; between {1 / WIDEST:g} and {WIDEST:g}")
    if numbers["relativeSD"] < 0.0 or numbers["observations"] < 1:
        raise ValueError(f"{where}: relativeSD must not be negative, observations at least 1")
    return str(entry["key"]), Correction(numbers["factor"], numbers["relativeSD"], int(numbers["observations"]))
