"""Replicas as a decision: what it says, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.types import EffectivePolicy, Load, Outcome, Subject
from mfu.decide.workload.order import decide
from mfu.decide.workload.scaling import scaling
from tests.builders.cases import SERVING, case

EAGER = EffectivePolicy(scaling_max_step=10.0, scaling_cooldown_seconds=0.0)
BUSY = Load(output_tokens_per_s=30_000.0, input_tokens_per_s=130_000.0)


def served(load: Load, *, running: int, **fields: Any) -> Subject:
    return replace(case(SERVING, gpus_per_node=1, replicas_running=running, now=1e6, load=load), **fields)


def test_training_does_not_scale_by_replicas() -> None:
    assert scaling(case()) == (None, ScalingMemory())


@pytest.mark.parametrize(
    ("load", "fields", "words"),
    [
        (Load(), {}, "token rates are not reported"),
        (BUSY, {"trusted": False}, "no trusted load"),
        (Load(1e9, input_tokens_per_s=1e9), {}, "times the time that the replicas have"),
        (Load(0.0, 40.0, input_tokens_per_s=0.0), {}, "not one token comes"),
        (replace(BUSY, serving=0), {}, "no replica serves yet"),
    ],
)
def test_what_is_not_read_or_can_not_be_scales_nothing(load: Load, fields: dict[str, Any], words: str) -> None:
    subject = served(load, running=4, policy=EAGER, **fields)
    decision, memory = scaling(subject)
    assert decision is not None
    assert (decision.outcome, decision.reason, decision.hint) == (Outcome.NONE, "NotMeasured", None)
    assert words in decision.message
    assert decision.message.endswith("replicas stay")
    assert memory == subject.scaled


def test_more_than_is_carried_asks_for_more_and_remembers_when() -> None:
    decision, memory = scaling(served(BUSY, running=2, policy=EAGER))
    assert decision is not None
    assert (decision.outcome, decision.reason) == (Outcome.SCALE, "LoadAboveCapacity")
    assert decision.hint is not None
    assert decision.hint["replicas"] > 2
    assert (memory.changed_at, memory.wanted) == (1e6, decision.hint["replicas"])


def test_the_policy_and_the_declaration_both_bound_it() -> None:
    load = replace(BUSY, output_tokens_per_s=45_000.0, input_tokens_per_s=195_000.0)
    free, bound = (
        scaling(served(load, running=2, policy=policy))[0] for policy in (EAGER, replace(EAGER, scaling_max_replicas=3))
    )
    assert free is not None and free.hint is not None and free.hint["replicas"] > 3
    assert bound is not None
    assert bound.hint == {"replicas": 3}
    decision, _ = scaling(served(Load(1.0, input_tokens_per_s=1.0), running=9, policy=EAGER))
    assert decision is not None
    assert decision.hint == {"replicas": 8}, "more run than the declaration allows"


def test_a_replica_that_waits_for_a_node_counts() -> None:
    alone, _ = scaling(served(BUSY, running=2, policy=EAGER))
    assert alone is not None
    assert alone.hint is not None
    wanted = alone.hint["replicas"]
    pending, _ = scaling(served(BUSY, running=2, policy=EAGER, replicas_pending=wanted - 2))
    assert pending is not None
    assert pending.outcome is Outcome.KEEP
    assert "wait for a node" in pending.message


def test_prompts_that_are_not_reported_are_as_declared() -> None:
    reported, _ = scaling(served(Load(4_000.0, input_tokens_per_s=16_000.0), running=2, policy=EAGER))
    declared, _ = scaling(served(Load(4_000.0), running=2, policy=EAGER))
    assert declared == reported, "512 in and 128 out are declared"


def test_memory_goes_on_with_the_decision() -> None:
    subject = served(BUSY, running=2, policy=EAGER)
    alone = decide(subject)
    assert alone.scaled.samples
    assert alone.decisions[-1].hint == {"replicas": alone.scaled.wanted}
