"""Switch a fault on in a workload that was planned otherwise: it then costs what it cost when it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mfu.sim.recordings import load
from mfu.sim.truth import TROUGH, Fault, InvalidPlan, Truth, TruthMode

_SCENARIO: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.SMALL_BATCH: ("small-batch", "healthy"),
    Fault.SLOW_LINK: ("ddp-comm-pcie", "ddp-healthy-nvlink"),
    Fault.COMMUNICATION: ("ddp-comm-nvlink", "ddp-healthy-nvlink"),
    Fault.STARVED_INPUT: ("ddp-starved-nvlink", "ddp-healthy-nvlink"),
    Fault.STRAGGLER: ("ddp-straggler-nvlink", "ddp-healthy-nvlink"),
    Fault.RECOMPUTE: ("recompute", "healthy"),
    Fault.MEMORY_BOUND: ("naive-attention", "healthy"),
}
_FP32_SHARE: Final = 66.9 / 989.4
"""Peak of the FP32 pipes over the 16-bit tensor peak of the recorded GPU."""
_DEEPEST: Final = 0.6
"""Throttling takes so much of the clock at strength 1, low concurrency so many of the sequences."""


def degraded(truth: Truth, fault: Fault, strength: float = 1.0) -> Truth:
    """The truth with that fault in it.

    `degraded(Truth(0.42), Fault.SLOW_LINK).mfu` is 0.42 · 0.1452 ÷ 0.4957 = 0.123: what the slow link left of a healthy
    run. Raises InvalidPlan for a truth that has a fault already.
    """
    if truth.fault is not Fault.NONE:
        raise InvalidPlan("fault", f"the workload has {truth.fault} already")
    changed = replace(truth, fault=fault, strength=strength, mfu=truth.mfu * _left(fault, strength))
    if fault is Fault.LOW_CONCURRENCY and truth.mode is not TruthMode.TRAINING:
        return replace(changed, concurrency=max(1, round(truth.concurrency * (1 - _DEEPEST * strength))))
    return changed


def parse_fault_flag(text: str) -> tuple[str, Fault, float]:
    """`team-a/llama=slow-link:0.5` → workload, fault, strength. Raises InvalidPlan."""
    workload, _, rest = text.partition("=")
    name, _, strength = rest.partition(":")
    try:
        return workload, Fault(name), float(strength or 1.0)
    except ValueError as error:
        raise InvalidPlan("fault", f"{text!r} is not NAMESPACE/NAME=FAULT[:STRENGTH] ({error})") from error


def _left(fault: Fault, strength: float) -> float:
    if fault is Fault.IDLE:
        return 0.0
    if fault in (Fault.THROTTLED_CLOCK, Fault.LOW_CONCURRENCY):
        return 1 - _DEEPEST * strength
    if fault is Fault.REQUEST_VARIABILITY:
        return 1 - TROUGH * strength / 2
    if fault is Fault.WRONG_PRECISION:
        return load()["fp32"].mfu * _FP32_SHARE / load()["healthy"].mfu
    if fault not in _SCENARIO:
        return 1.0
    faulty, healthy = (load()[name].mfu for name in _SCENARIO[fault])
    return 1 - strength + strength * faulty / healthy
