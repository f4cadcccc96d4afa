"""Too few tokens a step: the host cannot launch fast enough, or the optimizer and thin products dominate."""

from __future__ import annotations

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import EvidenceItem, Finding
from mfu.observe.diagnosis.build import Blame, count, finding, fraction, graded
from mfu.observe.diagnosis.case import WORTH, Case
from mfu.observe.diagnosis.communication import communicates
from mfu.observe.diagnosis.gaps import Gaps, gap_kind
from mfu.observe.diagnosis.ranks import even
from mfu.observe.diagnosis.shape import launch_bound, step_time
from mfu.observe.diagnosis.waiting import IDLE, thin_kernels
from mfu.observe.readings import Metric
from mfu.predict.types import Prediction, Training

SMALL = 1.25
"""Speed-up by a larger micro-batch from which a batch that does fill the GPU is still called small."""
FEW_TOKENS = 4096
"""Tokens per GPU and micro-step above which the batch is not small by any standard."""


def small_batch(case: Case) -> Finding | None:
    """As declared (configuration), or as the kernels look whatever is declared (runtime)."""
    training = case.training
    if case.inference is not None or communicates(case):
        return None
    bound = case.evidence.idle >= IDLE and gap_kind(case) is not Gaps.LONG and even(case.evidence)
    if training is None:
        return _small_undeclared(case) if bound and thin_kernels(case) else None
    launches = bound and (launch_bound(case) or thin_kernels(case))
    if not launches and (_tokens(training) > FEW_TOKENS or not case.allows("micro")):
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
        speedup=speedup if faithful else max(speedup, case.to_expected),
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


def _batch_speedup(case: Case, better: Prediction | None) -> float:
    if better is not None:
        return case.gain(better)
    time = step_time(case)
    return 1.0 if time is None else max(time.host, time.gpu) / max(time.products, 1e-9)


def _batch_action(case: Case, training: Training, size: int, better: Prediction | None) -> str:
    if better is None or case.mfu is None:
        return f"raise micro-batch {training.micro_batch_size} or the sequence length: the GPU is not filled"
    now = case.now_expected
    more = "" if now is None else f", {(better.memory.total_bytes - now.memory.total_bytes) / 2**30:+.0f} GiB"
    points = 100 * (better.mfu - case.mfu)
    return f"raise micro-batch {training.micro_batch_size} → {size}: {points:+.0f} points{more}, fits"
