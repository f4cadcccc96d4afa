"""How many replicas, as a decision: the rule's number with its reason, within the declared and the policy's bounds."""

from __future__ import annotations

from typing import Final

from mfu.decide.reasons import Why
from mfu.decide.replicas.demand import LoadReading, Typical
from mfu.decide.replicas.law import Law, predicted
from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.replicas.rule import Course, Sizing, Terms, size
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.memo import memo
from mfu.predict.types import Inference, Phase, Placement
from mfu.sentence import Sentence, amount, sentence

_REASONS: Final = {
    Course.GROW: Why.LOAD_ABOVE_CAPACITY,
    Course.SHRINK: Why.LOAD_BELOW_CAPACITY,
    Course.KEEP: Why.RIGHT_SIZED,
}


def scaling(subject: Subject) -> tuple[Decision | None, ScalingMemory]:
    """None for training. What is not read, or can not be believed, changes nothing: neither replicas nor memory."""
    setup = subject.setup
    if not isinstance(setup, Inference) or subject.spec.inference is None:
        return None, subject.scaled
    if not subject.trusted or subject.replicas_running == 0:
        return _stays(subject, "no trusted load is measured"), subject.scaled
    law = _law(setup, subject.placement)
    if law is None:
        return _stays(subject, "what one replica carries can not be predicted"), subject.scaled
    sizing, memory = size(subject.scaled, _reading(subject, setup), _terms(subject, setup, law))
    if sizing.course is Course.FREEZE:
        return _stays(subject, sizing.why), memory
    outcome = Outcome.KEEP if sizing.course is Course.KEEP else Outcome.SCALE
    return _decision(subject, outcome, _REASONS[sizing.course], _words(sizing, subject), sizing.replicas), memory


@memo(most=8192)
def _law(setup: Inference, placement: Placement) -> Law | None:
    return predicted(setup, placement)


def _reading(subject: Subject, setup: Inference) -> LoadReading:
    """A half of a disaggregated deployment has no tokens of the other half; else what is missing is as declared."""
    load, bound = subject.load, subject.replicas_running
    inputs, outputs = load.input_tokens_per_s, load.output_tokens_per_s
    if setup.phase is Phase.PREFILL:
        outputs = 0.0
    elif setup.phase is Phase.DECODE:
        inputs = 0.0
    elif inputs is None and outputs is not None:
        inputs = outputs * setup.input_tokens / setup.output_tokens
    serving = bound if load.serving is None else min(load.serving, bound)
    return LoadReading(
        at=subject.now,
        ready=serving,
        pending=bound - serving + subject.replicas_pending,
        input_tokens_per_s=inputs,
        output_tokens_per_s=outputs,
        running=load.running_requests,
        waiting=load.waiting_requests,
        cache_use=load.cache_use,
    )


def _terms(subject: Subject, setup: Inference, law: Law) -> Terms:
    policy, declared = subject.policy, subject.spec.inference
    assert declared is not None, "scaling asks only where it is"
    return Terms(
        law=law,
        typical=Typical(setup.input_tokens, setup.output_tokens),
        # Nothing runs that could tell of the first request, so that the last replica stays.
        low=max(1, declared.replicas.min, policy.scaling_min_replicas or 0),
        high=_least(declared.replicas.max, policy.scaling_max_replicas),
        max_step=policy.scaling_max_step,
        cooldown_seconds=policy.scaling_cooldown_seconds,
        headroom=policy.scaling_headroom,
        ttft_seconds=setup.ttft_limit_seconds,
        tpot_seconds=None if setup.phase is Phase.PREFILL else setup.tpot_limit_seconds,
        places=setup.concurrency,
        chunk_tokens=setup.max_batch_tokens,
    )


def _least(declared: int, limit: int | None) -> int:
    return max(1, declared if limit is None else min(declared, limit))


def _words(sizing: Sizing, subject: Subject) -> Sentence:
    """Work in replicas, what one carries, the number, and why it is not another."""
    have = subject.replicas_running + subject.replicas_pending
    pending = f", {subject.replicas_pending} of them wait for a node" if subject.replicas_pending else ""
    work, each = sizing.work or 0.0, sizing.each or 0.0
    return sentence(
        "{} replicas' time of work arrives{}; one carries {} within its promise: {} replicas (now {}{}), {}",
        amount(work, f"{work:.1f}"),
        _soon(sizing.soon) if sizing.soon and sizing.soon > work else "",
        amount(each, f"{each:.2f}"),
        sizing.replicas,
        have,
        pending,
        sizing.why,
    )


def _soon(work: float) -> Sentence:
    return sentence(", up to {} when new ones would serve", amount(work, f"{work:.1f}"))


def _stays(subject: Subject, why: str) -> Decision:
    return _decision(subject, Outcome.NONE, Why.NOT_MEASURED, sentence("{}, replicas stay", why), None)


def _decision(subject: Subject, outcome: Outcome, reason: str, message: str, replicas: int | None) -> Decision:
    hint = None if replicas is None else {"replicas": replicas}
    mode = subject.policy.mode_of(DecisionType.SCALING)
    return Decision(DecisionType.SCALING, outcome, reason, message, mode, hint)
