"""Losses inside the step: small batches, unfused kernels, wrong precision, work done twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.catalog import device_memory
from mfu.hardware.types import Precision
from mfu.observe.assessment import EvidenceItem, Finding
from mfu.observe.diagnosis.build import Blame, count, finding, fraction, graded, known
from mfu.observe.diagnosis.case import WORTH, Case
from mfu.observe.diagnosis.communication import communicates
from mfu.observe.diagnosis.gaps import Gaps, gap_kind
from mfu.observe.diagnosis.ranks import even
from mfu.observe.diagnosis.shape import launch_bound, step_time
from mfu.observe.diagnosis.waiting import IDLE, thin_kernels
from mfu.observe.executed import executed
from mfu.observe.inferred import (
    DRAM_OVER_TENSOR,
    KEPT,
    element_wise_share,
    kept_activations,
    memory_terms,
    starved_for_memory,
)
from mfu.observe.readings import Metric
from mfu.predict.types import Prediction, Recompute, Training

HALF_BELOW, HALF_DRAM, HALF_ELEMENT_WISE = 0.90, 0.30, 0.25
"""Below the band, memory busier than in fused training, twice its element-wise share: enough together."""
USABLE = 0.92
"""Share of memory that a training job can fill before fragmentation stops it."""
SMALL = 1.25
"""Speed-up by a larger micro-batch from which a batch that does fill the GPU is still called small."""
FEW_TOKENS = 4096
"""Tokens per GPU and micro-step above which the batch is not small by any standard."""


def small_batch(case: Case) -> Finding | None:
    """Too few tokens a step: the host cannot launch fast enough, or the optimizer and thin products dominate."""
    training = case.training
    if case.inference is not None or communicates(case):
        return None
    bound = case.evidence.idle >= IDLE and gap_kind(case) is not Gaps.LONG and even(case.evidence)
    if training is None:
        return _small_undeclared(case) if bound and thin_kernels(case) else None
    launches = bound and (launch_bound(case) or thin_kernels(case))
    if not launches and (_tokens(training) > FEW_TOKENS or not _allowed(case)):
        return None
    size, better = case.best_micro_batch()
    speedup = _batch_speedup(case, better)
    if not launches and speedup < SMALL:
        return None
    faithful = launch_bound(case) or not launches
    blame = Blame(
        cause=Cause.SMALL_BATCH,
        explains=Explains.CONFIGURATION if faithful else Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(speedup, WORTH, 2.5) if faithful else 0.75,
        speedup=speedup if faithful else max(speedup, _to_expected(case)),
        action=_batch_action(case, training, size, better),
        counterfactual_mfu=None if better is None else better.mfu,
    )
    return finding(
        case,
        blame,
        count("tokens per GPU and micro-step", _tokens(training), "tokens"),
        *_small_evidence(case),
    )


def _small_undeclared(case: Case) -> Finding:
    """Nothing is declared, and what runs are kernels too small for the GPU with gaps between them."""
    idle = case.evidence.idle
    blame = Blame(
        cause=Cause.SMALL_BATCH,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(idle, IDLE, 0.6) - 0.1,
        speedup=1 / max(1 - idle, 0.1),
        action="give each step more tokens: kernels do not fill the GPU, and it waits between them",
    )
    return finding(case, blame, *_small_evidence(case))


def _small_evidence(case: Case) -> tuple[EvidenceItem, ...]:
    return (
        fraction("SM activity while active", case.evidence.busy(Metric.SM_ACTIVE)),
        fraction("tensor activity", case.evidence.average(Metric.TENSOR_ACTIVE)),
        fraction("GPU active", case.evidence.working),
    )


def _tokens(training: Training) -> float:
    return training.micro_batch_size * training.sequence_length / training.parallelism.context


def _allowed(case: Case) -> bool:
    """Where the planner was asked, it must have found a larger micro-batch among the changes that the spec allows."""
    if case.attainable is None:
        return True
    return any("micro" in each.field.lower() for each in case.attainable.changes)


def _batch_speedup(case: Case, better: Prediction | None) -> float:
    now = case.now_expected
    if better is not None and now is not None and now.mfu > 0:
        return max(1.0, better.mfu / now.mfu)
    time = step_time(case)
    return 1.0 if time is None else max(time.host, time.gpu) / max(time.products, 1e-9)


def _to_expected(case: Case) -> float:
    return case.expected.mfu / case.mfu if case.expected is not None and case.mfu else 1.0


def _batch_action(case: Case, training: Training, size: int, better: Prediction | None) -> str:
    if better is None or case.mfu is None:
        return f"raise micro-batch {training.micro_batch_size} or the sequence length: the GPU is not filled"
    now = case.now_expected
    more = "" if now is None else f", {(better.memory.total_bytes - now.memory.total_bytes) / 2**30:+.0f} GiB"
    points = 100 * (better.mfu - case.mfu)
    return f"raise micro-batch {training.micro_batch_size} → {size}: {points:+.0f} points{more}, fits"


def memory_bound(case: Case) -> Finding | None:
    """Training or prefill whose kernels wait for memory while the tensor cores idle: operators that are not fused."""
    if case.decoding or not (starved_for_memory(case.evidence) or _half_starved(case)):
        return None
    evidence = case.evidence
    dram, tensor = evidence.busy(Metric.DRAM_ACTIVE), evidence.busy(Metric.TENSOR_ACTIVE)
    expected = case.now_expected
    speedup = 1 / max(0.15, 1 - dram) if expected is None or not case.mfu else max(1.0, expected.mfu / case.mfu)
    blame = Blame(
        cause=Cause.MEMORY_BOUND,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(dram / max(tensor, 0.01), DRAM_OVER_TENSOR, 5.0),
        speedup=max(speedup, 1.2),
        action="fuse: flash attention instead of a materialised score matrix, torch.compile for element-wise chains",
    )
    return finding(
        case,
        blame,
        fraction("memory activity while active", dram),
        fraction("tensor activity while active", tensor),
        fraction("SM activity", evidence.average(Metric.SM_ACTIVE)),
        fraction("SM occupancy", evidence.average(Metric.SM_OCCUPANCY)),
    )


def _half_starved(case: Case) -> bool:
    """Element-wise kernels take a good part of the time, and the run is below its band for it."""
    expected, dram = case.expected, case.evidence.busy(Metric.DRAM_ACTIVE)
    if expected is None or case.mfu is None or case.mfu >= HALF_BELOW * expected.low:
        return False
    return bool(dram >= HALF_DRAM) and element_wise_share(case.evidence) >= HALF_ELEMENT_WISE


def precision(case: Case) -> Finding | None:
    """Products off the tensor cores, or on them in a wider format than the product is built for."""
    evidence = case.evidence
    declared = None if case.setup is None else case.setup.precisions.compute
    unused = not case.inferred.tensor_cores
    wide = declared in (Precision.FP32, Precision.TF32)
    if not unused and not wide:
        return None
    speedup, mended = _narrower(case, declared, ran=Precision.FP32 if unused else declared)
    if speedup < WORTH:
        return None
    as_declared = declared is None or wide
    blame = Blame(
        cause=Cause.PRECISION,
        explains=Explains.CONFIGURATION if as_declared else Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=0.8 if not unused else 0.95 if np.isfinite(evidence.average(Metric.FP32_ACTIVE)) else 0.65,
        speedup=speedup,
        action=f"compute in BF16 (autocast): {speedup:.1f} × the tokens per second",
        counterfactual_mfu=mended,
        message=_why_wide(declared, as_declared=as_declared),
    )
    return finding(
        case,
        blame,
        *known("FP32 pipe activity", evidence.average(Metric.FP32_ACTIVE)),
        fraction("tensor activity", evidence.average(Metric.TENSOR_ACTIVE)),
        fraction("GPU active", evidence.working),
    )


def _why_wide(declared: Precision | None, *, as_declared: bool) -> str:
    if not as_declared:
        return f"{declared} is declared, yet the products run on the FP32 pipe"
    return "the MFU that BF16 would reach is of its own, higher peak"


def _narrower(case: Case, declared: Precision | None, ran: Precision | None) -> tuple[float, float | None]:
    """Speed-up of BF16 over what runs, and the MFU (of the BF16 peak) that it reaches."""
    gpu = case.device.gpu
    wide, narrow = gpu.peaks.get(ran or Precision.FP32), gpu.reference_peak_flops_per_s
    if not wide or not narrow:
        return 1.0, None
    if declared is not ran:
        return max(_to_expected(case), 0.7 * narrow / wide), None if case.expected is None else case.expected.mfu
    if case.setup is not None:
        better = case.predicted(replace(case.setup, precisions=replace(case.setup.precisions, compute=Precision.BF16)))
        now = case.now_expected
        if better is not None and now is not None:
            return max(1.0, better.tokens_per_s_per_gpu / now.tokens_per_s_per_gpu), better.mfu
    return 0.7 * narrow / wide, None


def recompute(case: Case) -> Finding | None:
    """Layers run twice though their activations would fit: declared so, or given away by too little memory in use."""
    training = case.training
    if training is None:
        return None
    kept = kept_activations(case.evidence, training)
    hidden = case.inferred.recompute is Recompute.FULL
    declared = training.recompute is Recompute.FULL
    if not hidden and not declared:
        return None
    capacity = USABLE * device_memory(case.device)
    size, needed = _fits_without_recompute(case, training, capacity)
    if needed is None:
        return None
    speedup = executed(training, recompute=Recompute.FULL).recompute
    smaller = "" if size == training.micro_batch_size else f" at micro-batch {size}"
    blame = Blame(
        cause=Cause.RECOMPUTE,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=0.85 if declared or kept is None else graded(KEPT - kept, 0.0, 0.3),
        speedup=speedup,
        action=f"switch recomputation off{smaller}: {100 * (speedup - 1):+.0f} % speed, {needed / 2**30:.0f} of "
        f"{device_memory(case.device) / 2**30:.0f} GiB, fits",
    )
    shown = () if kept is None else (fraction("activations kept, given away by memory in use", kept),)
    return finding(
        case,
        blame,
        count("memory in use", case.evidence.average(Metric.FB_USED) / 2**30, "GiB"),
        count("memory without recomputation", needed / 2**30, "GiB"),
        *shown,
    )


def _fits_without_recompute(case: Case, training: Training, capacity: float) -> tuple[int, float | None]:
    """The declared micro-batch, or the nearest half of it, that leaves room for all activations; None if none does."""
    size = training.micro_batch_size
    while size >= 1:
        needed = _without_recompute_bytes(case, replace(training, micro_batch_size=size))
        if needed <= capacity:
            return size, needed
        size //= 2
    return 0, None


def _without_recompute_bytes(case: Case, training: Training) -> float:
    predicted = case.predicted(replace(training, recompute=Recompute.NONE))
    if predicted is not None:
        return predicted.memory.total_bytes
    activations, static, logits = memory_terms(training)
    return 1.1 * (activations + static + logits)
