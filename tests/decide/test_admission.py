"""Admission on real predictions: what is held, refused and warned of, and that every change that is named works."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.order import decide_together
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, Subject
from mfu.decide.workload.admission import CHECKS, admission, gather
from mfu.decide.workload.remedy import MOST_TIMES, remedy
from mfu.predict import predict
from mfu.predict.types import Memory, Prediction
from tests.builders.cases import SERVING, TRAINING, case, too_large
from tests.builders.fleets import nodes_of, waits


def training(preset: str, gpus: int = 8, **parallelism: int) -> dict[str, Any]:
    block = {**TRAINING["training"], "parallelism": parallelism or {"tensor": 2, "data": 4}}
    return {
        **TRAINING,
        "model": {"preset": preset},
        "accelerators": {"count": gpus, "products": ["H100-SXM5"]},
        "training": block,
    }


LARGE = case(training("llama-3.1-70b", tensor=8))
"""164 GiB per GPU in any layout of eight: one that asks for more GPUs."""


def test_a_70b_on_eight_is_told_from_how_many_it_fits() -> None:
    decision = admission(LARGE)
    assert (decision.outcome, decision.reason) == (Outcome.HOLD, "OutOfMemory")
    assert decision.message.startswith("needs 164Gi per GPU but H100-SXM5 has 80Gi; largest term is optimizer states")
    assert re.search(r"; fits from (16|32|64) GPUs with tensor \d", decision.message)


@pytest.mark.parametrize("each", [LARGE, case(training("llama-3.1-8b", tensor=8))], ids=["large", "small"])
def test_the_change_that_is_named_fits_by_the_same_model(each: Subject) -> None:
    found = remedy(each.setup, each.placement)
    assert found is not None
    again = predict(found.setup, replace(each.placement, gpus=found.gpus))
    assert isinstance(again, Prediction)
    assert again.memory.fits
    assert again.memory.total_bytes == pytest.approx(found.needed_bytes, rel=0.2)
    assert found.gpus % each.placement.gpus == 0
    assert found.same_gpus == (found.gpus == each.placement.gpus)


def test_fewer_gpus_would_not_do() -> None:
    """The fewest that fit: on half of them no layout does."""
    found = remedy(LARGE.setup, LARGE.placement)
    assert found is not None
    assert found.gpus > LARGE.placement.gpus
    half = replace(LARGE.placement, gpus=found.gpus // 2)
    smaller = remedy(LARGE.setup, half)
    assert smaller is not None
    assert not smaller.same_gpus


def test_what_fits_nowhere_is_refused() -> None:
    """One GPU of 80 GiB, and a global batch of one that can not be cut: no number of them helps."""
    document = training("llama-3.1-405b", 1, tensor=1)
    document["training"] |= {"globalBatchSize": 1, "microBatchSize": 1}
    document["tunable"] = []
    decision = admission(case(document))
    assert (decision.outcome, decision.reason) == (Outcome.REFUSE, "FitsNowhere")
    assert f"up to {MOST_TIMES}" in decision.message


def test_another_product_on_which_it_fits_comes_before_another_layout() -> None:
    roomy = replace(LARGE.expected, memory=Memory({"weights": 100.0}, 100.0, 200.0, None))
    decision = admission(replace(LARGE, alternatives=(("B300-SXM", roomy),)))
    assert decision.outcome is Outcome.HOLD
    assert "fits as it is on B300-SXM" in decision.message
    tight = (("H200-SXM", LARGE.expected),)
    assert "H200-SXM" not in admission(replace(LARGE, alternatives=tight)).message


def test_a_replica_that_does_not_fit_is_told_what_would() -> None:
    inference = {**SERVING["inference"], "parallelism": {"tensor": 1}}
    each = case({**SERVING, "model": {"preset": "llama-3.1-70b"}, "inference": inference})
    decision = admission(each)
    assert (decision.outcome, decision.reason) == (Outcome.HOLD, "OutOfMemory")
    assert re.search(r"fits from [248] GPUs with tensor \d", decision.message)


def test_tensor_parallelism_wider_than_nvlink_is_warned_of() -> None:
    each = case(training("llama-3.1-8b", 16, tensor=16))
    decision = admission(each)
    assert (decision.outcome, decision.reason) == (Outcome.WARN, "TensorLeavesDomain")
    assert "tensor parallel 16 leaves the NVLink domain of 8 GPUs" in decision.message
    assert "lower parallelism.tensor to 8 or less" in decision.message


def faster(each: Subject, times: float, name: str = "H200-SXM") -> Subject:
    other = replace(each.expected, tokens_per_s_per_gpu=each.expected.tokens_per_s_per_gpu * times)
    return replace(each, alternatives=(("A100-SXM4-80GB", each.expected), (name, other)), assigned=True)


def test_a_clearly_faster_product_that_is_allowed_is_named() -> None:
    decision = admission(faster(case(), 2.0))
    assert (decision.outcome, decision.reason) == (Outcome.WARN, "FasterProductAllowed")
    assert "H200-SXM, which the spec allows, is expected to make 2.0 times the tokens/s per GPU" in decision.message


def test_a_slightly_faster_one_is_not() -> None:
    assert admission(faster(case(), 1.10)).outcome is Outcome.ADMIT
    assert admission(faster(case(), 1.11)).outcome is Outcome.WARN


def test_what_does_not_run_yet_is_not_told_of_products() -> None:
    """The ledger chooses among those that it allows."""
    assert admission(replace(faster(case(), 2.0), assigned=False)).outcome is Outcome.ADMIT


def test_gathered_is_what_the_checks_look_at() -> None:
    gathered = gather(faster(case(), 2.0))
    assert gathered.faster is not None
    assert gathered.faster[0] == "H200-SXM"
    assert gathered.reached == case().expected.mfu
    assert gather(case()).faster is None


def test_memory_is_asked_first() -> None:
    each = too_large(replace(faster(case(), 2.0), policy=EffectivePolicy(expected_of_attainable=1.01)))
    assert admission(replace(each, alternatives=())).reason == "OutOfMemory"
    assert len(CHECKS) == 5


def test_the_mode_is_the_policys() -> None:
    policy = EffectivePolicy(modes={DecisionType.ADMISSION: Mode.ENFORCE})
    for each in (case(policy=policy), too_large(case(policy=policy)), replace(faster(case(), 2.0), policy=policy)):
        assert admission(each).mode is Mode.ENFORCE


ADMITTED = Decision(DecisionType.ADMISSION, Outcome.ADMIT, "ExpectedNearAttainable", "fits")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_place_that_can_never_be_is_warned_of_and_holds_nothing_back(outcome: Outcome) -> None:
    alone = replace(ADMITTED, outcome=outcome)
    made = decide_together([replace(waits("w", 16), admission=alone)], capacity_of(nodes_of(8))).decisions["team/w"]
    warned = [each for each in made if each.type is DecisionType.ADMISSION]
    assert [(each.outcome, each.reason) for each in warned] == (
        [(Outcome.WARN, "NeverFits")] if outcome is Outcome.ADMIT else []
    )


def test_a_place_that_is_taken_is_no_reason_to_warn() -> None:
    made = decide_together([replace(waits("w", 8), admission=ADMITTED)], capacity_of(nodes_of(4))).decisions["team/w"]
    assert [each.type for each in made] == [DecisionType.PLACEMENT]
