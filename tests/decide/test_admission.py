"""Admission on real predictions: what is held, refused and warned of, and that every change that is named works."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.order import decide_together
from mfu.decide.recommend.ranking import reach_of
from mfu.decide.recommend.recommended import NextStep, Recommended
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, Subject
from mfu.decide.workload.admission import CHECKS, CLEARLY_FASTER, admission, gather
from mfu.decide.workload.remedy import joined_gpus, remedy
from mfu.hardware.types import Device
from mfu.predict import predict
from mfu.predict.types import Attainable, Inference, Memory, Prediction
from mfu.sentence import Sentence
from mfu.units import gibibytes
from tests.builders.cases import SERVING, TRAINING, case, gpu, too_large
from tests.builders.fleets import nodes_of, waits


def training(preset: str, gpus: int = 8, **parallelism: int) -> dict[str, Any]:
    block = {**TRAINING["training"], "parallelism": parallelism or {"tensor": 2, "data": 4}}
    return {
        **TRAINING,
        "model": {"preset": preset},
        "accelerators": {"count": gpus, "products": ["H100-SXM5"]},
        "training": block,
    }


HUGE = case(training("llama-3.1-405b", 2, tensor=2))
"""Fits on 128 GPUs and on no fewer."""
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
    assert decision.message.endswith("; no layout fits on up to 64 of these GPUs: take a product with more memory")


def test_what_fits_only_on_64_times_the_gpus_is_told_so() -> None:
    found = remedy(HUGE.setup, HUGE.placement)
    assert found is not None
    assert (found.gpus, found.same_gpus) == (128, False)
    assert found.words.startswith("fits from 128 GPUs with tensor ")


@pytest.mark.parametrize("product", ["A100-PCIe-80GB", "A100-SXM4-80GB", "H100-SXM5", "GB200"])
def test_a_change_never_takes_tensor_parallelism_out_of_nvlink(product: str) -> None:
    """The next check would warn of it: one answer must not contradict the other."""
    where = replace(HUGE.placement, device=Device(gpu(product)))
    found = remedy(HUGE.setup, where)
    assert found is not None
    assert found.setup.parallelism.tensor <= max(8, where.device.gpu.nvlink_domain_gpus)


def test_a_replica_with_an_objective_is_never_told_to_leave_nvlink() -> None:
    """With 40 ms a token the fastest layout of 70B on 16 L40S is tensor 16, over two servers."""
    inference = {**SERVING["inference"], "concurrency": 1, "slo": {"tpotMilliseconds": 40}}
    each = case({**SERVING, "model": {"preset": "llama-3.1-70b"}, "inference": inference})
    found = remedy(each.setup, replace(each.placement, device=Device(gpu("L40S"))))
    assert found is None or found.setup.parallelism.tensor <= 8


def test_nodes_that_are_larger_than_usual_are_used_whole() -> None:
    """Sixteen A100 of one server hold a group of sixteen; servers of one GPU hold a smaller one."""
    wide = replace(HUGE.placement, device=Device(gpu("A100-SXM4-80GB")), gpus_per_node=16)
    assert joined_gpus(wide) == 16
    found, narrow = remedy(HUGE.setup, wide), remedy(HUGE.setup, replace(wide, gpus_per_node=1))
    assert found is not None
    assert narrow is not None
    assert found.setup.parallelism.tensor == 16 > narrow.setup.parallelism.tensor


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


def test_a_node_counts_as_a_domain_where_there_is_no_nvlink() -> None:
    """Four L40S of one server exchange over PCIe: no warning sends them to another one."""
    each = case(training("llama-3.2-1b", 8, tensor=8))
    on_pcie = replace(each, placement=replace(each.placement, device=Device(gpu("L40S"))))
    assert admission(on_pcie).reason != "TensorLeavesDomain"
    in_rack = replace(each, placement=replace(each.placement, device=Device(gpu("GB200")), gpus_per_node=4))
    assert admission(in_rack).reason != "TensorLeavesDomain"
    apart = replace(on_pcie, placement=replace(on_pcie.placement, gpus_per_node=4))
    assert "leaves the NVLink domain of 4 GPUs that L40S has" in admission(apart).message


def test_tensor_parallelism_wider_than_nvlink_is_warned_of() -> None:
    each = case(training("llama-3.1-8b", 16, tensor=16))
    decision = admission(each)
    assert (decision.outcome, decision.reason) == (Outcome.WARN, "TensorLeavesDomain")
    assert "tensor parallel 16 leaves the NVLink domain of 8 GPUs" in decision.message
    assert "lower parallelism.tensor to 8 or less" in decision.message


def test_the_layout_that_is_recommended_is_named_in_place_of_a_general_word() -> None:
    each = case(training("llama-3.1-8b", 16, tensor=16))
    batch = NextStep(Kind.SETTING, "training.microBatchSize", "1", "4")
    layout = NextStep(Kind.SETTING, "training.parallelism.tensor", "16", "8")
    reach = reach_of(each)
    listed = tuple(Recommended(step, reach, 0.1) for step in (batch, layout))
    words = "tensor parallel 16 leaves the NVLink domain of 8 GPUs that H100-SXM5 has: "
    assert admission(replace(each, recommended=listed)).message == f"{words}training.parallelism.tensor 16 → 8"
    general = f"{words}lower parallelism.tensor to 8 or less, and raise pipeline or data"
    assert admission(replace(each, recommended=listed[:1])).message == general


def test_what_does_not_fit_is_said_with_its_sizes() -> None:
    each = too_large(case(SERVING))
    memory, device = each.expected.memory, each.placement.device.label
    words = f"needs 159Gi per GPU but {device} has 80Gi; largest term is weights"
    assert admission(each).message.startswith(words)
    assert sentence_of(admission(each)).spans[0].value == memory.total_bytes
    other = replace(case(SERVING).expected, tokens_per_s_per_gpu=1.0)
    named = admission(replace(each, alternatives=(("H200-SXM", other),)))
    size = gibibytes(other.memory.total_bytes)
    assert named.message == f"{words}; fits as it is on H200-SXM ({size} per GPU)"


def sentence_of(decision: Decision) -> Sentence:
    assert isinstance(decision.message, Sentence)
    return decision.message


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


def test_two_predictions_that_are_each_five_percent_off_name_no_product() -> None:
    assert admission(faster(case(), CLEARLY_FASTER)).outcome is Outcome.WARN
    assert pytest.approx(1.1053, abs=1e-4) == CLEARLY_FASTER


def test_of_equal_products_the_last_by_name_is_named_whatever_their_order() -> None:
    each = faster(case(), 2.0)
    twin = (("B200-SXM", each.alternatives[1][1]), *each.alternatives)
    for others in (twin, twin[::-1]):
        assert "H200-SXM, which the spec allows" in admission(replace(each, alternatives=others)).message


@pytest.mark.parametrize(("rate", "outcome"), [(0.0, Outcome.ADMIT), (0.5, Outcome.WARN)])
def test_a_rate_of_nothing_is_compared_with_nothing(rate: float, outcome: Outcome) -> None:
    each = faster(case(), 2.0)
    crawling = replace(each.expected, tokens_per_s_per_gpu=rate)
    assert admission(replace(each, expected=crawling, attainable=best_of(crawling))).outcome is outcome


def best_of(prediction: Prediction) -> Attainable:
    return Attainable(prediction, case().setup)


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


# Objectives, floors and their words.


def in_time(share: float, ttft: float | None = None) -> Subject:
    """A replica whose limit is that share of what it is expected to take."""
    each = case(SERVING)
    assert isinstance(each.setup, Inference)
    assert each.expected.tpot_seconds is not None
    assert each.expected.ttft_seconds is not None
    first = None if ttft is None else ttft * each.expected.ttft_seconds
    limits = {"tpot_limit_seconds": share * each.expected.tpot_seconds, "ttft_limit_seconds": first}
    return replace(each, setup=replace(each.setup, **limits))  # type: ignore[arg-type]


def test_a_limit_just_missed_is_admitted_with_a_word() -> None:
    """The median is 1 % late, which the band of the prediction does not tell apart from in time."""
    decision = admission(in_time(0.99))
    assert decision.outcome is Outcome.ADMIT
    late = r"; fits in memory; TPOT 2.\d+ ms is over slo.tpotMilliseconds: 2.\d+; within the band it may keep that$"
    assert re.search(late, decision.message)


def test_a_limit_that_is_kept_needs_no_word() -> None:
    assert re.search(r"^expected \d+.\d% of an attainable .* MBU; fits in memory$", admission(case(SERVING)).message)
    assert admission(in_time(1.01)).message.endswith("fits in memory")


def test_every_limit_that_is_surely_missed_is_said() -> None:
    decision = admission(in_time(0.1, ttft=0.1))
    assert (decision.outcome, decision.reason) == (Outcome.HOLD, "MissesObjective")
    first, second = decision.message.split("; ")
    assert first.startswith("TTFT")
    assert second.startswith("TPOT")


def test_where_nothing_is_known_to_be_better_nothing_is_held_back() -> None:
    each = case(attainable=None, policy=EffectivePolicy(expected_of_attainable=1.01))
    assert admission(each).message == "attainable is not known, so nothing is held back"


def test_a_floor_at_what_is_reached_admits() -> None:
    """This replica is expected at all that is attainable: even a floor of 100 % holds nothing back."""
    found = gather(case(SERVING))
    assert found.reached == found.best
    assert admission(case(SERVING, policy=EffectivePolicy(expected_of_attainable=1.0))).outcome is Outcome.ADMIT


def test_below_the_floor_the_first_change_is_named() -> None:
    strict = EffectivePolicy(expected_of_attainable=0.98)
    found = case(policy=strict)
    assert found.attainable is not None
    first = found.attainable.changes[0]
    best = f"{found.attainable.prediction.reference_mfu:.1%}"
    message = admission(found).message
    assert re.match(rf"expected 4\d\.\d% MFU is under 98% of the attainable {best}; change ", message)
    assert message.endswith(f"; change {first.field} {first.before} → {first.after} first")
    bare = replace(found, attainable=replace(found.attainable, changes=()))
    assert admission(bare).message.endswith(f"of the attainable {best}")
