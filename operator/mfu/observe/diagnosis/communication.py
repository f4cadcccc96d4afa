"""Time that GPUs spend on collectives: which fabric, how fast, which collective, and what a faster one would bring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Blame, finding, fraction, gigabytes_per_s, graded
from mfu.observe.diagnosis.case import WORTH, Case
from mfu.observe.evidence import NVLINK_YIELD, PCIE_YIELD, mean_or_nan
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Metric
from mfu.predict.names import COMMUNICATION_TERMS
from mfu.predict.types import Sharding

LINK_SHARE = 0.08
"""Share of time on the link from which communication is a loss worth naming: the healthy data-parallel recording spends
2 %, the communication-bound ones 18 and 75 %."""
SPINNING = 0.25
"""Share of active time with empty SMs from which ranks spin in collectives: 0.04 healthy, 0.69 over PCIe."""
SPINNING_BELOW = 0.10
"""The same where the run is also below its expected band."""
MODEL_WEIGHT = 1 / 3
"""Weight of the prediction in a counter-factual that readings also give (geometric mean)."""
TRICKLE_BYTES_PER_S = 2e8
"""Less than this is no collective traffic."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would help, how much, and whose move it is."""

    speedup: float
    action: str
    explains: Explains
    actor: Actor
    mfu: float | None = None


def communication(case: Case) -> Finding | None:
    """Link traffic, or spinning for it, takes a good part of the time, and something would help."""
    if case.evidence.devices < 2 and (case.placement is None or case.placement.gpus < 2):
        return None
    fabric, on_link = case.evidence.link_share
    lost = max(on_link, _spinning(case), _reported_wait(case) or 0.0)
    remedy = _remedy(case, fabric, lost) if lost >= LINK_SHARE else None
    if remedy is None:
        return None
    traffic = case.evidence.nvlink if fabric == "NVLink" else case.evidence.pcie
    rate_text = f" at {traffic / 1e9:.0f} GB/s" if np.isfinite(traffic) else ""
    blame = Blame(
        cause=Cause.COMMUNICATION,
        explains=remedy.explains,
        actor=remedy.actor,
        confidence=graded(lost, LINK_SHARE, 0.4),
        speedup=remedy.speedup,
        action=remedy.action,
        counterfactual_mfu=remedy.mfu,
        message=f"{_collective(case)}{rate_text} over {fabric} takes about {100 * lost:.0f} % of the time",
    )
    return finding(
        case,
        blame,
        gigabytes_per_s(f"{fabric} traffic per GPU", traffic),
        fraction(f"time on {fabric} at the rate collectives reach", on_link),
        fraction("GPU active", mean_or_nan(case.evidence.active)),
        fraction("SM activity", case.evidence.average(Metric.SM_ACTIVE)),
    )


def communicates(case: Case) -> bool:
    """Behind a busy link the batch is not what one sees: communication speaks for both."""
    multi = case.evidence.devices > 1 or (case.placement is not None and case.placement.gpus > 1)
    return multi and max(case.evidence.link_share[1], _spinning(case)) >= LINK_SHARE


def _spinning(case: Case) -> float:
    """Active GPUs with empty SMs on every rank, while something trickles over a link: waiting for a slow one."""
    evidence = case.evidence
    empty, active = evidence.unfilled, evidence.active
    if evidence.devices < 2 or not np.isfinite(empty).all() or active.min() < 0.9:
        return 0.0
    moving = np.fmax(evidence.nvlink, evidence.pcie)
    lost = float(empty.min())
    enough = SPINNING_BELOW if case.below_expected else SPINNING
    return lost if lost >= enough and moving > TRICKLE_BYTES_PER_S else 0.0


def _remedy(case: Case, fabric: str, lost: float) -> Remedy | None:
    """A faster fabric first, then a link that gives what was expected of it, then fewer exchanges."""
    found = (_faster_fabric(case, fabric, lost), _as_expected(case, lost), _fewer_exchanges(case))
    worth = next((each for each in found if each is not None and each.speedup >= 1 / (1 - LINK_SHARE)), None)
    if worth is not None:
        return worth
    return None if case.knows_expected else _unmodelled(case, fabric, lost)


def _faster_fabric(case: Case, fabric: str, lost: float) -> Remedy | None:
    """What readings and model say together: their errors are unrelated, and the readings saw this very run."""
    if fabric != "PCIe" or case.placement is None or not _one_nvlink_domain(case):
        return None
    speedup = _over_nvlink(case, lost)
    if speedup is None or not case.mfu:
        return None
    better = case.predicted(placement=replace(case.placement, nvlink=True))
    mended = case.mfu * speedup
    if better is not None:
        mended = max(case.mfu, mended ** (1 - MODEL_WEIGHT) * better.mfu**MODEL_WEIGHT)
    action = "put the GPUs in one NVLink domain, or switch peer-to-peer on: "
    action += f"{100 * mended:.0f} % MFU expected over NVLink"
    return Remedy(max(speedup, mended / case.mfu), action, Explains.RUNTIME, Actor.PROVIDER, mended)


def _over_nvlink(case: Case, lost: float) -> float | None:
    """By the readings alone: the exposed time shrinks as the rates that collectives reach on both fabrics.

    69 % exposed over PCIe at 39 GB/s, NVLink at 315: 1 / (0.31 + 0.69 · 39 / 315) = 2.5 ×.
    """
    slow, fast = case.device.gpu.pcie_bytes_per_s, case.device.gpu.nvlink_bytes_per_s
    if not slow or not fast:
        return None
    exposed = _spinning(case) or lost
    return 1 / (1 - exposed + exposed * slow * PCIE_YIELD / (fast * NVLINK_YIELD))


def _fewer_exchanges(case: Case) -> Remedy | None:
    """A larger micro-batch of the data-parallel ranks: one exchange carries more work."""
    training = case.training
    if training is None or training.parallelism.data < 2:
        return None
    size, better = case.best_micro_batch()
    if better is None or case.gain(better) < WORTH:
        return None
    action = (
        f"exchange gradients less often: micro-batch {training.micro_batch_size} → {size}, or gradient accumulation"
    )
    return Remedy(case.gain(better), action, Explains.CONFIGURATION, Actor.TENANT, better.mfu)


def _as_expected(case: Case, lost: float) -> Remedy | None:
    """More time on the link than the model gives it: the link is slower than its kind."""
    expected = case.expected
    if expected is None or not case.mfu or case.mfu >= expected.mfu:
        return None
    planned = sum(each.seconds for each in expected.waterfall if each.name in COMMUNICATION_TERMS)
    excess = lost - planned / expected.step_seconds
    if excess < LINK_SHARE and not (case.below_expected and _spinning(case)):
        return None
    excess = max(excess, LINK_SHARE)
    action = "check the links between these GPUs: cables, NICs and switches give less than their nominal rate"
    mended = min(expected.mfu, case.mfu / (1 - excess))
    return Remedy(max(mended / case.mfu, WORTH), action, Explains.RUNTIME, Actor.PROVIDER, expected.mfu)


def _unmodelled(case: Case, fabric: str, lost: float) -> Remedy:
    hidden = 1 / max(1 - lost, 0.15)
    slow = fabric == "PCIe" and _one_nvlink_domain(case)
    if slow:
        action = "put the GPUs in one NVLink domain, or switch peer-to-peer on"
        return Remedy(hidden, action, Explains.RUNTIME, Actor.PROVIDER)
    action = "exchange less often or over a faster link: larger micro-batch, gradient accumulation, overlap"
    return Remedy(hidden, action, Explains.CONFIGURATION, Actor.TENANT)


def _one_nvlink_domain(case: Case) -> bool:
    placement = case.placement
    return bool(case.device.gpu.nvlink_bytes_per_s) and (placement is None or placement.gpus <= placement.gpus_per_node)


def _collective(case: Case) -> str:
    training = case.training
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
    return None if seconds is None else min(1.0, seconds.per_second / max(1, seconds.pods))
