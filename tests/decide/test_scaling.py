"""Replicas as a decision: what it says, and what it leaves alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.replicas.memory import LoadSample, RawLoad, ScalingMemory
from mfu.decide.replicas.rule import Course, Sizing, Terms, size
from mfu.decide.types import DecisionType, EffectivePolicy, Load, Mode, Outcome, Subject
from mfu.decide.workload import scaling as module
from mfu.decide.workload.order import decide
from mfu.decide.workload.scaling import scaling
from mfu.hardware.types import Device
from mfu.predict.types import Inference, Placement
from mfu.sentence import Sentence
from tests.builders.cases import SERVING, case, gpu

EAGER = EffectivePolicy(scaling_max_step=10.0, scaling_cooldown_seconds=0.0)
BUSY = Load(output_tokens_per_s=40_000.0, input_tokens_per_s=170_000.0)


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
    load = replace(BUSY, output_tokens_per_s=45_000.0, input_tokens_per_s=190_000.0)
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


# What is asked of the rule, and in which words it is answered.


def phased(phase: str) -> dict[str, Any]:
    return {**SERVING, "inference": {**SERVING["inference"], "phase": phase}}


def asked(load: Load, document: dict[str, Any] = SERVING, **fields: Any) -> Subject:
    return replace(case(document, gpus_per_node=1, replicas_running=4, now=1e6, load=load, policy=EAGER), **fields)


@pytest.mark.parametrize(
    ("document", "load", "raw"),
    [
        (SERVING, Load(1_000.0, input_tokens_per_s=500.0), RawLoad(500.0, 1_000.0, 0.0, 0.0)),
        (SERVING, Load(1_000.0), RawLoad(4_000.0, 1_000.0, 0.0, 0.0)),
        (phased("Prefill"), Load(9.0, input_tokens_per_s=500.0), RawLoad(500.0, 0.0, 0.0, 0.0)),
        (phased("Decode"), Load(1_000.0, input_tokens_per_s=9.0), RawLoad(0.0, 1_000.0, 0.0, 0.0)),
        (SERVING, Load(1_000.0, 7.0, 3.0, 500.0), RawLoad(500.0, 1_000.0, 7.0, 3.0)),
    ],
)
def test_what_is_read_of_each_half_of_a_deployment(document: dict[str, Any], load: Load, raw: RawLoad) -> None:
    """Prompts that nobody counts are as declared: 512 in for 128 out."""
    assert scaling(asked(load, document))[1].raw == raw


def test_replicas_that_do_not_report_yet_are_on_their_way() -> None:
    """Three of four report: the work is judged as three replicas', the number as four."""
    few, _ = scaling(asked(Load(1.0, input_tokens_per_s=1.0, serving=3)))
    assert few is not None
    assert "(now 4)" in few.message
    more, _ = scaling(asked(Load(1.0, input_tokens_per_s=1.0, serving=9)))
    assert more is not None
    assert "(now 4)" in more.message


def test_the_words_say_work_capacity_number_and_why() -> None:
    quiet, _ = scaling(asked(Load(1_000.0, input_tokens_per_s=4_000.0), replicas_pending=2))
    assert quiet is not None
    pattern = (
        r"^0\.\d replicas' time of work arrives, up to 0\.\d when new ones would serve; one carries 0\.80 "
        r"within its promise: 6 replicas \(now 6, 2 of them wait for a node\), "
        r"fewer would do, but not for 300 s yet$"
    )
    assert re.match(pattern, quiet.message), quiet.message
    assert (quiet.outcome, quiet.reason, quiet.hint) == (Outcome.KEEP, "RightSized", {"replicas": 6})


def test_what_rises_is_said_with_what_it_comes_to() -> None:
    past = tuple(LoadSample(1e6 - 60.0 * ago, 4_000.0 / ago, 1_000.0 / ago, 0.0, 1) for ago in (3, 2, 1))
    rising, _ = scaling(asked(Load(2_000.0, input_tokens_per_s=8_000.0), scaled=ScalingMemory(samples=past)))
    assert rising is not None
    assert re.search(r"of work arrives, up to \d\.\d when new ones would serve; one carries", rising.message)


@pytest.mark.parametrize(
    ("declared", "least", "most", "hint"),
    [
        ((1, 8), None, None, 4),
        ((5, 8), None, None, 5),
        ((1, 8), 6, None, 6),
        ((1, 3), None, None, 3),
        ((1, 8), 1, 2, 2),
    ],
)
def test_every_bound_counts(declared: tuple[int, int], least: int | None, most: int | None, hint: int) -> None:
    replicas = {"min": declared[0], "max": declared[1]}
    document = {**SERVING, "inference": {**SERVING["inference"], "replicas": replicas}}
    policy = replace(EAGER, scaling_min_replicas=least, scaling_max_replicas=most)
    decision, _ = scaling(asked(Load(1.0, input_tokens_per_s=1.0), document, policy=policy))
    assert decision is not None
    assert decision.hint == {"replicas": hint}


def test_the_last_replica_stays() -> None:
    """Nothing would run that could tell of the first request."""
    document = {**SERVING, "inference": {**SERVING["inference"], "replicas": {"min": 0, "max": 8}}}
    policy = replace(EAGER, scaling_min_replicas=0)
    idle = ScalingMemory(samples=(LoadSample(1e6 - 301.0, 0.0, 0.0, 0.0, 0),))
    subject = asked(Load(1.0, input_tokens_per_s=1.0), document, policy=policy, scaled=idle, replicas_running=2)
    decision, _ = scaling(subject)
    assert decision is not None
    assert (decision.hint, decision.reason) == ({"replicas": 1}, "LoadBelowCapacity")


def test_the_mode_of_replicas_is_the_policys() -> None:
    policy = replace(EAGER, modes={DecisionType.SCALING: Mode.OBSERVE})
    for load in (Load(), BUSY):
        decision, _ = scaling(asked(load, policy=policy))
        assert decision is not None
        assert (decision.type, decision.mode) == (DecisionType.SCALING, Mode.OBSERVE)


def test_without_replicas_or_a_model_of_them_nothing_is_said_of_a_number() -> None:
    none, _ = scaling(asked(BUSY, replicas_running=0))
    assert none is not None
    assert none.message == "no trusted load is measured, replicas stay"
    old, _ = scaling(asked(BUSY, placement=Placement(Device(gpu("T4")), 1, 1)))
    assert old is not None
    assert old.message == "what one replica carries can not be predicted, replicas stay"


def terms_of(monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], **fields: Any) -> Terms:
    """What the rule is asked with."""
    seen: list[Terms] = []

    def spy(memory: ScalingMemory, reading: Any, terms: Terms) -> tuple[Sizing, ScalingMemory]:
        seen.append(terms)
        return size(memory, reading, terms)

    monkeypatch.setattr(module, "size", spy)
    scaling(asked(BUSY, document, **fields))
    return seen[0]


def test_the_rule_is_asked_with_what_spec_and_policy_say(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = EffectivePolicy(scaling_max_step=0.25, scaling_cooldown_seconds=77.0, scaling_headroom=0.3)
    slo = {"ttftMilliseconds": 500, "tpotMilliseconds": 40}
    block = {**SERVING["inference"], "slo": slo, "concurrency": 48, "maxBatchTokens": 4096}
    found = terms_of(monkeypatch, {**SERVING, "inference": block}, policy=policy)
    assert (found.max_step, found.cooldown_seconds, found.headroom) == (0.25, 77.0, 0.3)
    assert (found.ttft_seconds, found.tpot_seconds) == (0.5, 0.04)
    assert (found.places, found.chunk_tokens) == (48, 4096)
    assert (found.typical.inputs, found.typical.outputs) == (512, 128)
    assert (found.low, found.high) == (1, 8)


@pytest.mark.parametrize(("phase", "tpot"), [("Prefill", None), ("Decode", 0.04), ("Mixed", 0.04)])
def test_only_what_writes_tokens_has_a_time_for_each(
    monkeypatch: pytest.MonkeyPatch, phase: str, tpot: float | None
) -> None:
    block = {**SERVING["inference"], "slo": {"tpotMilliseconds": 40}, "phase": phase}
    assert terms_of(monkeypatch, {**SERVING, "inference": block}).tpot_seconds == tpot


@pytest.mark.parametrize(
    ("sizing", "words"),
    [
        (
            Sizing(Course.GROW, 5, "more is needed", 3.14159, 4.25, 0.8),
            "3.1 replicas' time of work arrives, up to 4.2 when new ones would serve; one carries 0.80 within its "
            "promise: 5 replicas (now 4), more is needed",
        ),
        (
            Sizing(Course.KEEP, 4, "that is what runs", 3.0, 3.0, 0.75),
            "3.0 replicas' time of work arrives; one carries 0.75 within its promise: 4 replicas (now 4), that is what "
            "runs",
        ),
        (
            Sizing(Course.SHRINK, 3, "fewer do", None, None, None),
            "0.0 replicas' time of work arrives; one carries 0.00 within its promise: 3 replicas (now 4), fewer do",
        ),
        (
            Sizing(Course.GROW, 5, "it rises", None, 0.5, 0.8),
            "0.0 replicas' time of work arrives, up to 0.5 when new ones would serve; one carries 0.80 within its "
            "promise: 5 replicas (now 4), it rises",
        ),
    ],
)
def test_what_is_said_of_a_number(monkeypatch: pytest.MonkeyPatch, sizing: Sizing, words: str) -> None:
    monkeypatch.setattr(module, "size", lambda memory, *_: (sizing, memory))
    found, _ = scaling(asked(BUSY))
    assert found is not None
    assert found.message == words
    assert isinstance(found.message, Sentence)
    values = [each.value for each in found.message.spans]
    soon = [sizing.soon] if sizing.soon and sizing.soon > (sizing.work or 0.0) else []
    assert values == [sizing.work or 0.0, *soon, sizing.each or 0.0]


def test_what_serves_no_requests_is_not_counted_in_replicas() -> None:
    subject = asked(BUSY)
    assert isinstance(subject.setup, Inference)
    bare = replace(subject, spec=subject.spec.model_copy(update={"inference": None}))
    assert scaling(bare) == (None, subject.scaled)
    both = replace(bare, setup=case().setup)
    assert scaling(both) == (None, subject.scaled)
