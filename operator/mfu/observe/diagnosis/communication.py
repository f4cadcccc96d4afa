"""Time that GPUs spend on collectives: which fabric, how fast, which collective, and what a faster one would bring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, finding, fraction, gigabytes_per_s, graded
from mfu.observe.diagnosis.situation import WORTH, Situation
from mfu.observe.evidence import NVLINK_YIELD, PCIE_YIELD, mean_or_nan
from mfu.observe.executed import from_trainer
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Metric
from mfu.predict.names import COMMUNICATION_TERMS
from mfu.predict.types import Prediction, Sharding

LINK_SHARE = 0.08
"""Share of time on the link from which communication is a loss worth naming: the healthy data-parallel recording spends
2 %, the communication-bound ones 18 and 75 %."""
USUAL_EMPTY, TRAINER_EMPTY = 0.03, 0.07
"""Share of active time with empty SMs without any communication: 0.04 to 0.05 in plain models, 0.04 to 0.11 in eager
transformers ones."""
SPINNING = 0.25
"""Share of active time with empty SMs from which ranks spin in collectives: 0.04 healthy, 0.69 over PCIe."""
SPINNING_BELOW = 0.10
"""The same where the run is also below its expected band."""
MOST_DOUBT = 0.15
MODEL_WEIGHT = 1 / 3
"""Weight of the prediction in a counter-factual that readings also give (geometric mean)."""
_PEER_TO_PEER = "switch GPU peer-to-peer on: these GPUs share an NVLink domain and talk over PCIe"
"""Where they lie is right, and Placement keeps it."""
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


def communication(situation: Situation) -> Finding | None:
    """Link traffic, or spinning for it, takes a good part of the time, and something would help."""
    if situation.evidence.devices < 2 and (situation.placement is None or situation.placement.gpus < 2):
        return None
    fabric, on_link = situation.evidence.link_share
    lost = max(_exposed(situation, on_link), _spinning(situation), _reported_wait(situation) or 0.0)
    remedy = _remedy(situation, fabric, lost) if lost >= LINK_SHARE else None
    if remedy is None:
        return None
    traffic = situation.evidence.nvlink if fabric == "NVLink" else situation.evidence.pcie
    rate_text = f" at {traffic / 1e9:.0f} GB/s" if np.isfinite(traffic) else ""
    accusation = Accusation(
        cause=Cause.COMMUNICATION,
        explains=remedy.explains,
        actor=remedy.actor,
        confidence=graded(lost, LINK_SHARE, 0.4),
        speedup=remedy.speedup,
        action=remedy.action,
        counterfactual_mfu=remedy.mfu,
        message=f"{_collective(situation)}{rate_text} over {fabric} takes about {100 * lost:.0f} % of the time",
    )
    return finding(
        situation,
        accusation,
        gigabytes_per_s(f"{fabric} traffic per GPU", traffic),
        fraction(f"time on {fabric} at the rate collectives reach", on_link),
        fraction("GPU active", mean_or_nan(situation.evidence.active)),
        fraction("SM activity", situation.evidence.average(Metric.SM_ACTIVE)),
    )


def _exposed(situation: Situation, on_link: float) -> float:
    """Time on the link that no computing hides: never more than SMs stand empty beyond what kernels leave empty anyway.

    A link busy for 20 % of the time under SMs that are 95 % full costs next to nothing.
    """
    empty = situation.evidence.unfilled
    if not np.isfinite(empty).all() or not empty.size:
        return on_link
    training = situation.training
    usual = TRAINER_EMPTY if training is not None and from_trainer(training) else USUAL_EMPTY
    return min(on_link, max(0.0, float(empty.min()) - usual))


def communicates(situation: Situation) -> bool:
    """Behind a busy link the batch is not what one sees: communication speaks for both."""
    multi = situation.evidence.devices > 1 or (situation.placement is not None and situation.placement.gpus > 1)
    return multi and max(_exposed(situation, situation.evidence.link_share[1]), _spinning(situation)) >= LINK_SHARE


def _spinning(situation: Situation) -> float:
    """Active GPUs with empty SMs on every rank, while something trickles over a link: waiting for a slow one."""
    evidence = situation.evidence
    empty, active = evidence.unfilled, evidence.active
    if evidence.devices < 2 or not np.isfinite(empty).all() or active.min() < 0.9:
        return 0.0
    moving = np.fmax(evidence.nvlink, evidence.pcie)
    lost = float(empty.min())
    enough = SPINNING_BELOW if situation.below_expected else SPINNING
    return lost if lost >= enough and moving > TRICKLE_BYTES_PER_S else 0.0


def _remedy(situation: Situation, fabric: str, lost: float) -> Remedy | None:
    """A faster fabric first, then a link that gives what was expected of it, then fewer exchanges."""
    found = (_faster_fabric(situation, fabric, lost), _as_expected(situation, lost), _fewer_exchanges(situation, lost))
    least = 1 + max(LINK_SHARE, _doubt(situation))
    worth = next((each for each in found if each is not None and each.speedup >= least), None)
    if worth is not None:
        return worth
    return None if situation.knows_expected else _unmodelled(situation, fabric, lost)


def _doubt(situation: Situation) -> float:
    """Half the band of what was expected, relative: what brings less cannot be told from chance."""
    expected = situation.expected
    if expected is None or not expected.mfu:
        return 0.0
    return min(MOST_DOUBT, (expected.high - expected.low) / (2 * expected.mfu))


def _faster_fabric(situation: Situation, fabric: str, lost: float) -> Remedy | None:
    """What readings and model say together: their errors are unrelated, and the readings saw this very run."""
    if fabric != "PCIe" or situation.placement is None or not _one_nvlink_domain(situation):
        return None
    speedup = _over_nvlink(situation, lost)
    if speedup is None or not situation.mfu:
        return None
    better = situation.predicted(placement=replace(situation.placement, nvlink=True))
    mended = situation.mfu * speedup
    if better is not None:
        mended = max(situation.mfu, mended ** (1 - MODEL_WEIGHT) * better.mfu**MODEL_WEIGHT)
    action = f"{_PEER_TO_PEER}: {100 * mended:.0f} % MFU expected over NVLink"
    return Remedy(max(speedup, mended / situation.mfu), action, Explains.RUNTIME, Actor.PROVIDER, mended)


def _over_nvlink(situation: Situation, lost: float) -> float | None:
    """By the readings alone: the exposed time shrinks as the rates that collectives reach on both fabrics.

    69 % exposed over PCIe at 39 GB/s, NVLink at 315: 1 / (0.31 + 0.69 · 39 / 315) = 2.5 ×.
    """
    slow, fast = situation.device.gpu.pcie_bytes_per_s, situation.device.gpu.nvlink_bytes_per_s
    if not slow or not fast:
        return None
    exposed = _spinning(situation) or lost
    return 1 / (1 - exposed + exposed * slow * PCIE_YIELD / (fast * NVLINK_YIELD))


def _fewer_exchanges(situation: Situation, lost: float) -> Remedy | None:
    """A larger micro-batch of the data-parallel ranks: one exchange carries more work."""
    training = situation.training
    if training is None or training.parallelism.data < 2:
        return None
    size, better = situation.best_micro_batch()
    gain = 0.0 if better is None else _gain_of_exchanges(situation, better, lost)
    if better is None or situation.mfu is None or gain < WORTH:
        return None
    action = (
        f"exchange gradients less often: micro-batch {training.micro_batch_size} → {size}, or gradient accumulation"
    )
    reached = max(better.mfu, situation.mfu * gain)
    return Remedy(gain, action, Explains.CONFIGURATION, Actor.TENANT, reached)


def _gain_of_exchanges(situation: Situation, better: Prediction, lost: float) -> float:
    """What the change brings by the model. A run that is faster than the model says makes of it what the model says of
    the change itself, and at most the time that the readings see lost.

    MFU 0.35 observed where 0.24 was expected, 0.38 with the change, 18 % lost: min(0.38 / 0.24, 1 / 0.82) = 1.22.
    """
    by_model, expected = situation.gain(better), situation.expected
    if expected is None or not expected.mfu or not situation.mfu or situation.mfu <= expected.mfu:
        return by_model
    return max(by_model, min(better.mfu / expected.mfu, 1 / (1 - lost)))


def _as_expected(situation: Situation, lost: float) -> Remedy | None:
    """More time on the link than the model gives it: the link is slower than its kind."""
    expected = situation.expected
    if expected is None or not situation.mfu or situation.mfu >= expected.mfu:
        return None
    planned = sum(each.seconds for each in expected.waterfall if each.name in COMMUNICATION_TERMS)
    excess = lost - planned / expected.step_seconds
    if excess < LINK_SHARE and not (situation.below_expected and _spinning(situation)):
        return None
    excess = max(excess, LINK_SHARE)
    action = "check the links between these GPUs: cables, NICs and switches give less than their nominal rate"
    mended = min(expected.mfu, situation.mfu / (1 - excess))
    return Remedy(max(mended / situation.mfu, WORTH), action, Explains.RUNTIME, Actor.PROVIDER, expected.mfu)


def _unmodelled(situation: Situation, fabric: str, lost: float) -> Remedy:
    hidden = 1 / max(1 - lost, 0.15)
    slow = fabric == "PCIe" and _one_nvlink_domain(situation)
    if slow:
        action = "put the GPUs in one NVLink domain, or switch peer-to-peer on"
        if situation.placement is not None:
            action = _PEER_TO_PEER
        return Remedy(hidden, action, Explains.RUNTIME, Actor.PROVIDER)
    action = "exchange less often or over a faster link: larger micro-batch, gradient accumulation, overlap"
    return Remedy(hidden, action, Explains.CONFIGURATION, Actor.TENANT)


def _one_nvlink_domain(situation: Situation) -> bool:
    placement = situation.placement
    return bool(situation.device.gpu.nvlink_bytes_per_s) and (
        placement is None or placement.gpus <= placement.gpus_per_node
    )


def _collective(situation: Situation) -> str:
    training = situation.training
    if training is None:
        return "collective"
    if training.parallelism.tensor > 1:
        return "tensor-parallel all-reduce"
    if training.parallelism.expert > 1:
        return "expert all-to-all"
    if training.sharding in (Sharding.ZERO3, Sharding.HSDP):
        return "parameter all-gather and gradient reduce-scatter"
    return "gradient all-reduce"


def _reported_wait(situation: Situation) -> float | None:
    seconds = rate(
        situation.series.progress, Counter.COMMUNICATION_WAIT_SECONDS, since=situation.since, now=situation.now
    )
    return None if seconds is None else min(1.0, seconds.per_second / max(1, seconds.pods))
