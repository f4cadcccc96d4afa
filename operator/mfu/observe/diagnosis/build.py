"""Findings from evidence in one line each: share and counter-factual follow from the speed-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import EvidenceItem, Finding
from mfu.observe.diagnosis.situation import Situation

CEILING_MFU = 0.80
"""No counter-factual above the best measured matrix-product rate of a product."""


@dataclass(frozen=True, slots=True)
class Accusation:
    """The judgement of a rule, before figures are worked out."""

    cause: Cause
    explains: Explains
    actor: Actor
    confidence: float
    speedup: float
    action: str
    wasted: bool = True
    message: str = ""
    device: str | None = None
    counterfactual_mfu: float | None = None
    share: float | None = None
    """Where it does not follow from the counter-factual."""


def finding(situation: Situation, accusation: Accusation, *evidence: EvidenceItem) -> Finding:
    """The counter-factual is observed MFU × speed-up unless given; `share` the points of the scale from now to then."""
    mended = accusation.counterfactual_mfu
    if mended is None and situation.mfu is not None:
        mended = min(CEILING_MFU, situation.mfu * accusation.speedup)
    share = _share(situation, accusation, mended) if accusation.share is None else accusation.share
    return Finding(
        cause=accusation.cause,
        confidence=round(max(0.0, min(1.0, accusation.confidence)), 3),
        explains=accusation.explains,
        share=share,
        counterfactual_mfu=mended,
        action=accusation.action,
        actor=accusation.actor,
        wasted=accusation.wasted,
        evidence=evidence,
        speedup=accusation.speedup,
        message=accusation.message,
        device=accusation.device,
    )


def _share(situation: Situation, accusation: Accusation, mended: float | None) -> float | None:
    if situation.decoding and accusation.explains is Explains.RUNTIME and situation.mbu is not None:
        return max(0.0, min(1.0, situation.mbu * accusation.speedup) - situation.mbu)
    return None if mended is None or situation.mfu is None else max(0.0, mended - situation.mfu)


def fraction(name: str, value: float) -> EvidenceItem:
    return EvidenceItem(name, round(float(value), 4), "fraction")


def known(name: str, value: float) -> tuple[EvidenceItem, ...]:
    """The reading if there is one."""
    return (fraction(name, value),) if np.isfinite(value) else ()


def gigabytes_per_s(name: str, value: float) -> EvidenceItem:
    return EvidenceItem(name, round(float(value) / 1e9, 2), "GB/s")


def count(name: str, value: float, unit: str = "") -> EvidenceItem:
    return EvidenceItem(name, round(float(value), 3), unit)


def graded(value: float, start: float, certain: float) -> float:
    """Confidence between 0.55 at the threshold and 0.95 where the evidence is overwhelming."""
    if certain == start:
        return 0.95
    return 0.55 + 0.4 * min(1.0, max(0.0, (value - start) / (certain - start)))
