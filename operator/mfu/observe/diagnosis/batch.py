"""Too few tokens a step: the host cannot launch fast enough, or the optimizer and thin products dominate."""

from __future__ import annotations

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import EvidenceItem, Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.communication import communicates
from mfu.observe.diagnosis.gaps import Gaps, gap_kind
from mfu.observe.diagnosis.ranks import even
from mfu.observe.diagnosis.shape import launch_bound, outlasts_launches, step_time
from mfu.observe.diagnosis.situation import WORTH, Situation
from mfu.observe.diagnosis.waiting import IDLE, thin_kernels
from mfu.observe.readings import Metric
from mfu.predict.types import Prediction, Training

SMALL = 1.25
"""Speed-up by a larger micro-batch from which a batch that does fill the GPU is still called small."""
FEW_TOKENS = 4096
"""Tokens per GPU and micro-step above which the batch is not small by any standard."""


def small_batch(situation: Situation) -> Finding | None:
    """As declared (configuration), or as the kernels look whatever is declared (runtime)."""
    training = situation.training
    if situation.inference is not None or communicates(situation):
        return None
    gaps = gap_kind(situation)
    late = gaps is Gaps.LONG or (gaps is Gaps.UNCLEAR and outlasts_launches(situation))
    bound = situation.evidence.idle >= IDLE and not late and even(situation.evidence)
    if training is None:
        return _small_undeclared(situation) if bound and thin_kernels(situation) else None
    launches = bound and (launch_bound(situation) or thin_kernels(situation))
    if not launches and (_tokens(training) > FEW_TOKENS or not situation.allows("micro")):
        return None
    size, better = situation.best_micro_batch()
    speedup = _batch_speedup(situation, better)
    if not launches and speedup < SMALL:
        return None
    faithful = launch_bound(situation) or not launches
    accusation = Accusation(
        cause=Cause.SMALL_BATCH,
        explains=Explains.CONFIGURATION if faithful else Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(speedup, WORTH, 2.5) if faithful else 0.75,
        speedup=speedup if faithful else max(speedup, situation.to_expected),
        action=_batch_action(situation, training, size, better),
        counterfactual_mfu=None if better is None else better.mfu,
    )
    return finding(
        situation,
        accusation,
        count("tokens per GPU and micro-step", _tokens(training), "tokens"),
        *_small_evidence(situation),
    )


def _small_undeclared(situation: Situation) -> Finding:
    """Nothing is declared, and what runs are kernels too small for the GPU with gaps between them."""
    idle = situation.evidence.idle
    accusation = Accusation(
        cause=Cause.SMALL_BATCH,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(idle, IDLE, 0.6) - 0.1,
        speedup=1 / max(1 - idle, 0.1),
        action="give each step more tokens: kernels do not fill the GPU, and it waits between them",
    )
    return finding(situation, accusation, *_small_evidence(situation))


def _small_evidence(situation: Situation) -> tuple[EvidenceItem, ...]:
    return (
        fraction("SM activity while active", situation.evidence.busy(Metric.SM_ACTIVE)),
        fraction("tensor activity", situation.evidence.average(Metric.TENSOR_ACTIVE)),
        fraction("GPU active", situation.evidence.working),
    )


def _tokens(training: Training) -> float:
    return training.micro_batch_size * training.sequence_length / training.parallelism.context


def _batch_speedup(situation: Situation, better: Prediction | None) -> float:
    if better is not None:
        return situation.gain(better)
    time = step_time(situation)
    return 1.0 if time is None else max(time.host, time.gpu) / max(time.products, 1e-9)


def _batch_action(situation: Situation, training: Training, size: int, better: Prediction | None) -> str:
    if better is None or situation.mfu is None:
        return f"raise micro-batch {training.micro_batch_size} or the sequence length: the GPU is not filled"
    now = situation.now_expected
    more = "" if now is None else f", {(better.memory.total_bytes - now.memory.total_bytes) / 2**30:+.0f} GiB"
    points = 100 * (better.mfu - situation.mfu)
    return f"raise micro-batch {training.micro_batch_size} → {size}: {points:+.0f} points{more}, fits"
