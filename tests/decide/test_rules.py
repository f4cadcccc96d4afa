"""Each rule as a table: what is asked, what is answered, and what the answer carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mfu.decide.fleet.placement import placement
from mfu.decide.types import Case, Decision, DecisionType, EffectivePolicy, Load, Mode, Outcome
from mfu.decide.workload.admission import admission
from mfu.decide.workload.mig import mig
from mfu.decide.workload.rules import decide
from mfu.decide.workload.scaling import scaling
from tests.decide.cases import SERVING, TRAINING, case, node, too_large


@dataclass(frozen=True)
class Row:
    """`want`: outcome and reason; `words`: what the message must tell a person."""

    rule: Callable[[Case], Decision | None]
    build: Callable[[], Case]
    want: tuple[Outcome, str] | None
    words: tuple[str, ...] = ()


def floor(share: float) -> EffectivePolicy:
    return EffectivePolicy(expected_of_attainable=share)


def waiting(**fields: Any) -> Case:
    return case(nodes=(node("n0", used=6), node("n1"), node("n2", used=8)), **fields)


ROWS = {
    "fits and is near attainable": Row(admission, case, (Outcome.ADMIT, "ExpectedNearAttainable"), ("fits in memory",)),
    "does not fit": Row(
        admission,
        lambda: too_large(case()),
        (Outcome.HOLD, "OutOfMemory"),
        ("largest term is weights", "raise training.parallelism.tensor 2 → 4"),
    ),
    "far below attainable": Row(
        admission, lambda: case(policy=floor(1.01)), (Outcome.HOLD, "FarBelowAttainable"), ("of the attainable",)
    ),
    "a floor of nothing admits everything": Row(
        admission, lambda: case(policy=floor(0.0)), (Outcome.ADMIT, "ExpectedNearAttainable")
    ),
    "attainable is unknown": Row(
        admission, lambda: case(attainable=None, policy=floor(1.01)), (Outcome.ADMIT, "AttainableUnknown")
    ),
    "the tightest node that fits": Row(placement, waiting, (Outcome.PLACE, "FitsOneDomain"), ("on node n1",)),
    "no node is large enough": Row(
        placement,
        lambda: case(nodes=(node("n0", used=4), node("n1", used=4))),
        (Outcome.PLACE, "SpansDomains"),
        ("8 are free over 2 nodes",),
    ),
    "an NVLink domain over nodes counts as one": Row(
        placement,
        lambda: case(nodes=(node("n0", used=4, domain="c.1"), node("n1", used=4, domain="c.1"))),
        (Outcome.PLACE, "FitsOneDomain"),
        ("NVLink domain c.1",),
    ),
    "no room": Row(placement, lambda: case(nodes=(node("n0", used=8),)), (Outcome.NONE, "NoRoom")),
    "cordoned and unready nodes have no room": Row(
        placement,
        lambda: case(nodes=(node("n0", schedulable=False), node("n1", ready=False))),
        (Outcome.NONE, "NoRoom"),
    ),
    "a node full of another vendor's GPUs has no room": Row(
        placement,
        lambda: case(
            {**TRAINING, "accelerators": {"count": 8}},
            nodes=(replace(node("n0", product="AMD-Instinct-MI300X-OAM"), used={"amd.com/gpu": 8}),),
        ),
        (Outcome.NONE, "NoRoom"),
    ),
    "another product is not offered": Row(
        placement, lambda: case(nodes=(node("n0", product="NVIDIA-H200"),)), (Outcome.NONE, "NoRoom")
    ),
    "running pods stay": Row(placement, lambda: waiting(assigned=True), (Outcome.KEEP, "GroupsTogether")),
    "a split tensor group is told to move": Row(
        placement,
        lambda: case(assigned=True, gpus_per_node=1),
        (Outcome.MOVE, "TensorGroupSplit"),
        ("tensor parallel 2",),
    ),
    "a small model needs no whole GPU": Row(
        mig, lambda: case(SERVING), (Outcome.RESHAPE, "SmallerProfileFits"), ("would hold it",)
    ),
    "training is no question for MIG": Row(mig, case, None),
    "training does not scale by replicas": Row(scaling, case, None),
    "nothing measured, nothing scaled": Row(scaling, lambda: case(SERVING), (Outcome.NONE, "NotMeasured")),
    "untrusted readings scale nothing": Row(
        scaling,
        lambda: case(SERVING, replicas_running=1, trusted=False, load=Load(tokens_per_s=1e9)),
        (Outcome.NONE, "NotMeasured"),
    ),
    "load above capacity": Row(
        scaling,
        lambda: case(SERVING, replicas_running=1, load=Load(tokens_per_s=1e9)),
        (Outcome.SCALE, "LoadAboveCapacity"),
        ("8 replicas",),
    ),
    "load below capacity": Row(
        scaling,
        lambda: case(SERVING, replicas_running=4, load=Load(tokens_per_s=1.0)),
        (Outcome.SCALE, "LoadBelowCapacity"),
        ("1 replicas",),
    ),
    "the policy's bound holds as well": Row(
        scaling,
        lambda: case(
            SERVING,
            replicas_running=1,
            load=Load(tokens_per_s=1e9),
            policy=EffectivePolicy(scaling_max_replicas=3),
        ),
        (Outcome.SCALE, "LoadAboveCapacity"),
        ("3 replicas",),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rule(name: str) -> None:
    row = ROWS[name]
    decision = row.rule(row.build())
    if row.want is None:
        assert decision is None
        return
    assert decision is not None
    assert (decision.outcome, decision.reason) == row.want
    for words in row.words:
        assert words in decision.message


def test_the_affinity_is_ready_to_paste() -> None:
    decision = placement(waiting())
    assert decision.hint is not None
    (term,) = decision.hint["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    expressions = {each["key"]: each["values"] for each in term["preference"]["matchExpressions"]}
    assert expressions == {"nvidia.com/gpu.product": ["NVIDIA-H100-80GB-HBM3"], "kubernetes.io/hostname": ["n1"]}


def test_the_policy_sets_the_mode() -> None:
    policy = EffectivePolicy(modes={DecisionType.ADMISSION: Mode.OBSERVE})
    modes = {each.type: each.mode for each in decide(case(policy=policy))}
    assert modes[DecisionType.ADMISSION] is Mode.OBSERVE
    assert modes[DecisionType.PLACEMENT] is Mode.RECOMMEND


@pytest.mark.parametrize("document", [TRAINING, SERVING])
def test_the_same_case_gives_the_same_decisions(document: dict[str, Any]) -> None:
    each = case(document, nodes=(node("n0"),))
    assert decide(each) == decide(replace(each))
    assert [one.type for one in decide(each)] == sorted(
        (one.type for one in decide(each)), key=list(DecisionType).index
    )
