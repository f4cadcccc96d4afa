"""What runs on the GPU is the wrong kind of kernel: not fused, off the tensor cores, or wider than it needs to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.types import Precision
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, finding, fraction, graded, known
from mfu.observe.diagnosis.situation import WORTH, Situation
from mfu.observe.diagnosis.traffic import explains_traffic
from mfu.observe.readings import Metric
from mfu.observe.traits import DRAM_BUSY, DRAM_OVER_TENSOR, FULLY_ACTIVE, element_wise_share, starved_for_memory
from mfu.predict.types import AttentionKernel, Prediction

HALF_BELOW, HALF_DRAM, HALF_ELEMENT_WISE = 0.90, 0.30, 0.25
"""Below the band, memory busier than in fused training, twice its element-wise share: enough together."""
USUAL_GAIN = 0.7
"""Share of the ratio of peaks that a narrower format brings: memory and launches do not shrink as products do."""


def memory_bound(situation: Situation) -> Finding | None:
    """Training or prefill whose kernels wait for memory while the tensor cores idle: operators that are not fused."""
    fused = _if_fused(situation)
    if situation.decoding or not (fused or starved_for_memory(situation.evidence) or _half_starved(situation)):
        return None
    if fused is None and explains_traffic(situation):
        return None
    evidence = situation.evidence
    dram, tensor = evidence.busy(Metric.DRAM_ACTIVE), evidence.busy(Metric.TENSOR_ACTIVE)
    expected = fused or situation.now_expected
    speedup = (
        1 / max(0.15, 1 - dram) if expected is None or not situation.mfu else max(1.0, expected.mfu / situation.mfu)
    )
    accusation = Accusation(
        cause=Cause.MEMORY_BOUND,
        explains=Explains.CONFIGURATION if _declared_unfused(situation) else Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(dram / max(tensor, 0.01), DRAM_OVER_TENSOR, 5.0),
        speedup=max(speedup, 1.2),
        action="fuse: flash attention instead of a materialised score matrix, torch.compile for element-wise chains",
    )
    return finding(
        situation,
        accusation,
        fraction("memory activity while active", dram),
        fraction("tensor activity while active", tensor),
        fraction("SM activity", evidence.average(Metric.SM_ACTIVE)),
        fraction("SM occupancy", evidence.average(Metric.SM_OCCUPANCY)),
    )


def _if_fused(situation: Situation) -> Prediction | None:
    """What fused attention promises where written scores are declared and memory is busy; None if not worth it."""
    training, now = situation.training, situation.now_expected
    if training is None or now is None or not _declared_unfused(situation):
        return None
    if not situation.evidence.busy(Metric.DRAM_ACTIVE) >= DRAM_BUSY:
        return None
    fused = situation.predicted(replace(training, attention=AttentionKernel.SDPA))
    return fused if fused is not None and fused.mfu >= WORTH * now.mfu else None


def _declared_unfused(situation: Situation) -> bool:
    return situation.training is not None and situation.training.attention is AttentionKernel.EAGER


def _half_starved(situation: Situation) -> bool:
    """Element-wise kernels take a good part of the time, and the run is below its band for it."""
    expected, dram = situation.expected, situation.evidence.busy(Metric.DRAM_ACTIVE)
    if expected is None or situation.mfu is None or situation.mfu >= HALF_BELOW * expected.low:
        return False
    if situation.evidence.working < FULLY_ACTIVE:
        return False
    return bool(dram >= HALF_DRAM) and element_wise_share(situation.evidence) >= HALF_ELEMENT_WISE


def precision(situation: Situation) -> Finding | None:
    """Products off the tensor cores, or on them in a wider format than the product is built for."""
    evidence = situation.evidence
    declared = None if situation.setup is None else situation.setup.precisions.compute
    unused = not situation.traits.tensor_cores
    wide = declared in (Precision.FP32, Precision.TF32)
    if not unused and not wide:
        return None
    speedup, mended = _narrower(situation, declared, ran=Precision.FP32 if unused else declared)
    if speedup < WORTH:
        return None
    as_declared = declared is None or wide
    accusation = Accusation(
        cause=Cause.PRECISION,
        explains=Explains.CONFIGURATION if as_declared else Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=0.8 if not unused else 0.95 if np.isfinite(evidence.average(Metric.FP32_ACTIVE)) else 0.65,
        speedup=speedup,
        action=f"compute in BF16 (autocast): {speedup:.1f} × the tokens per second",
        counterfactual_mfu=mended,
        share=_reference_points(situation, declared, mended),
        message=_why_wide(declared, as_declared=as_declared),
    )
    return finding(
        situation,
        accusation,
        *known("FP32 pipe activity", evidence.average(Metric.FP32_ACTIVE)),
        fraction("tensor activity", evidence.average(Metric.TENSOR_ACTIVE)),
        fraction("GPU active", evidence.working),
    )


def _reference_points(situation: Situation, declared: Precision | None, mended: float | None) -> float | None:
    """Both MFUs over the 16-bit peak: over its own one FP32 looks better than what would replace it."""
    own, reference = (
        situation.device.gpu.peaks.get(declared or Precision.BF16),
        situation.device.gpu.reference_peak_flops_per_s,
    )
    if mended is None or situation.mfu is None or not own or not reference:
        return None
    return max(0.0, mended - situation.mfu * own / reference)


def _why_wide(declared: Precision | None, *, as_declared: bool) -> str:
    if not as_declared:
        return f"{declared} is declared, yet the products run on the FP32 pipe"
    return "the MFU that BF16 would reach is of its own, higher peak"


def _narrower(situation: Situation, declared: Precision | None, ran: Precision | None) -> tuple[float, float | None]:
    """Speed-up of BF16 over what runs, and the MFU (of the BF16 peak) that it reaches."""
    gpu = situation.device.gpu
    wide, narrow = gpu.peaks.get(ran or Precision.FP32), gpu.reference_peak_flops_per_s
    if not wide or not narrow:
        return 1.0, None
    if declared is not ran:
        return max(
            situation.to_expected, USUAL_GAIN * narrow / wide
        ), None if situation.expected is None else situation.expected.mfu
    if situation.setup is not None:
        better = situation.predicted(
            replace(situation.setup, precisions=replace(situation.setup.precisions, compute=Precision.BF16))
        )
        now = situation.now_expected
        if better is not None and now is not None:
            return max(1.0, better.tokens_per_s_per_gpu / now.tokens_per_s_per_gpu), better.mfu
    return USUAL_GAIN * narrow / wide, None
