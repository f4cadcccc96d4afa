"""Losses that the layout brings: pipeline bubbles, and a split of the model that the planner can better."""

from __future__ import annotations

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.situation import WORTH, Situation

CLEARLY = 1.35
"""Speed-up of another layout from which the declared one is called wrong; under it, a hint that accuses nobody: both
predictions may be off by 15 %."""
IMPROVABLE = 1.10
BUBBLE = 0.10
"""Idle share of a pipeline from which its schedule is worth an accusation."""
LAYOUT_WORDS = ("layout", "parallelism", "tensor", "pipeline", "context", "sharding")


def pipeline_bubble(situation: Situation) -> Finding | None:
    """Stages wait for the first and last micro-batches: (p - 1) / (v·m + p - 1) of the step."""
    training = situation.training
    if training is None or training.parallelism.pipeline < 2:
        return None
    parallel = training.parallelism
    micro = max(1.0, training.global_batch_size / (parallel.data * training.micro_batch_size))
    waiting = (parallel.pipeline - 1) / parallel.virtual_pipeline
    bubble = waiting / (micro + waiting)
    if bubble < BUBBLE or not _improvable(situation):
        return None
    accusation = Accusation(
        cause=Cause.PIPELINE_BUBBLE,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=graded(bubble, BUBBLE, 0.3),
        speedup=1 / (1 - bubble),
        action=f"more micro-batches per step (now {micro:.0f} over {parallel.pipeline} stages): smaller micro-batch, "
        f"fewer stages, or interleaving (virtual pipeline)",
    )
    return finding(
        situation,
        accusation,
        fraction("pipeline bubble", bubble),
        count("micro-batches per pipeline", micro),
        count("stages", parallel.pipeline),
    )


def _improvable(situation: Situation) -> bool:
    """A bubble that no allowed layout avoids is the price of the model's size, not a mistake."""
    if situation.attainable is None or situation.expected is None:
        return True
    return situation.attainable.prediction.tokens_per_s_per_gpu > IMPROVABLE * situation.expected.tokens_per_s_per_gpu


def wrong_layout(situation: Situation) -> Finding | None:
    """The same GPUs, model and batch run clearly faster in another split, says the planner."""
    if situation.attainable is None or situation.training is None:
        return None
    changes = [
        each for each in situation.attainable.changes if any(word in each.field.lower() for word in LAYOUT_WORDS)
    ]
    gain = 1.0
    for change in changes:
        gain *= 1 + max(0.0, change.gain)
    gain = min(gain, situation.gain(situation.attainable.prediction))
    if gain < WORTH:
        return None
    text = ", ".join(f"{each.field} {each.before} → {each.after}" for each in changes)
    accusation = Accusation(
        cause=Cause.WRONG_LAYOUT,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=graded(gain, WORTH, 1.6) - 0.05,
        speedup=gain,
        wasted=gain >= CLEARLY,
        action=f"{text}: {100 * (gain - 1):+.0f} % speed",
        counterfactual_mfu=situation.attainable.prediction.mfu,
    )
    return finding(situation, accusation, *(fraction(f"{each.field} → {each.after}", each.gain) for each in changes))
