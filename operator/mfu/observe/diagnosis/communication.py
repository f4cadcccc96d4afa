"""Time that GPUs spend on collectives: which fabric, how fast, which collective, and what a faster one would bring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Blame, finding, fraction, gigabytes_per_s, graded
from mfu.observe.diagnosis.case import Case
from mfu.observe.evidence import mean_or_nan
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Metric
from mfu.predict.types import Placement, Prediction, Sharding, Training

LINK_SHARE = 0.10
"""Share of time on the link from which communication is a loss worth naming: the healthy data-parallel recording spends
2 %, the communication-bound ones 18 and 75 %."""


def communication(case: Case) -> Finding | None:
    """Link traffic takes a good part of the time, at the rate collectives reach on that link."""
    if case.evidence.devices < 2 and (case.placement is None or case.placement.gpus < 2):
        return None
    fabric, share = case.evidence.link_share
    waited = _reported_wait(case)
    lost = max(share, waited or 0.0)
    if lost < LINK_SHARE:
        return None
    traffic = case.evidence.nvlink if fabric == "NVLink" else case.evidence.pcie
    better = _better_fabric(case, fabric)
    speedup = _speedup(case, better, lost)
    slow_fabric = fabric == "PCIe" and _nvlink_product(case)
    blame = Blame(
        cause=Cause.COMMUNICATION,
        explains=Explains.RUNTIME if slow_fabric else Explains.CONFIGURATION,
        actor=Actor.PROVIDER if slow_fabric else Actor.TENANT,
        confidence=graded(lost, LINK_SHARE, 0.4),
        speedup=speedup,
        action=_action(case, fabric, better),
        counterfactual_mfu=None,
        message=f"{_collective(case)} at {traffic / 1e9:.0f} GB/s over {fabric} takes {100 * lost:.0f} % of the time",
    )
    return finding(
        case,
        blame,
        gigabytes_per_s(f"{fabric} traffic per GPU", traffic),
        fraction(f"time on {fabric}", share),
        fraction("GPU active", mean_or_nan(case.evidence.active)),
        fraction("SM activity", case.evidence.average(Metric.SM_ACTIVE)),
    )


def _speedup(case: Case, better: Prediction | None, lost: float) -> float:
    """The model's ratio where it knows both fabrics, else what hiding the traffic would give."""
    hidden = 1 / max(1 - lost, 0.15)
    now = case.expected if case.expected is not None else case.predicted()
    if better is None or now is None or case.mfu is None or case.mfu <= 0:
        return hidden
    return max(1.0, better.mfu / case.mfu)


def _better_fabric(case: Case, fabric: str) -> Prediction | None:
    if fabric != "PCIe" or case.placement is None or not _nvlink_product(case):
        return None
    return case.predicted(placement=replace(case.placement, nvlink=True))


def _nvlink_product(case: Case) -> bool:
    placement: Placement | None = case.placement
    return bool(case.device.gpu.nvlink_bytes_per_s) and (placement is None or placement.gpus <= placement.gpus_per_node)


def _action(case: Case, fabric: str, better: Prediction | None) -> str:
    if fabric == "PCIe" and _nvlink_product(case):
        expected = "" if better is None else f": {100 * better.mfu:.0f} % MFU expected over NVLink"
        return f"put the GPUs in one NVLink domain, or switch peer-to-peer on{expected}"
    if fabric == "PCIe":
        return (
            "use a faster network between nodes, or fewer gradient exchanges: larger micro-batch, gradient accumulation"
        )
    return "exchange gradients less often: larger micro-batch or gradient accumulation, overlap with the backward pass"


def _collective(case: Case) -> str:
    training: Training | None = case.training
    if training is None:
        return "collective"
    if training.parallelism.tensor > 1:
        return "tensor-parallel all-reduce"
    if training.parallelism.expert > 1:
        return "expert all-to-all"
    if training.sharding in (Sharding.ZERO3, Sharding.HSDP):
        return "parameter all-gather and gradient reduce-scatter"
    return "gradient all-reduce"


def _reported_wait(case: Case) -> float | None:
    seconds = rate(case.series.progress, Counter.COMMUNICATION_WAIT_SECONDS, since=case.since, now=case.now)
    if seconds is None or not np.isfinite(seconds.per_second):
        return None
    return min(1.0, seconds.per_second / max(1, case.evidence.devices))
