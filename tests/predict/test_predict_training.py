"""One training job: the waterfall, directions that physics fixes, memory, notes, corrections."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfu.hardware.types import Precision
from mfu.predict import executed_flops_ratio, key_of, model_flops_per_token, predict
from mfu.predict.names import Bound, MemoryTerm, StepTerm
from mfu.predict.training.checks import refuse
from mfu.predict.types import (
    Correction,
    Corrections,
    Method,
    Parallelism,
    Placement,
    Prediction,
    Problem,
    Recompute,
    Sharding,
    Training,
)
from mfu.workload.flops import training_flops_per_token

Job = Callable[..., Training]
On = Callable[..., Placement]


def predicted(setup: Training, placement: Placement, corrections: Corrections | None = None) -> Prediction:
    found = predict(setup, placement, corrections)
    assert isinstance(found, Prediction), found
    return found


def losses(found: Prediction) -> dict[str, float]:
    return {loss.name: loss.fraction for loss in found.waterfall}


CUTS = st.sampled_from(
    [
        (1, 1, 1, 8, 1),
        (2, 1, 1, 4, 1),
        (8, 1, 1, 1, 1),
        (1, 4, 1, 2, 1),
        (2, 2, 1, 2, 4),
        (1, 8, 1, 1, 4),
        (1, 1, 4, 2, 1),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=CUTS,
    micro=st.sampled_from([1, 2, 4]),
    recompute=st.sampled_from(list(Recompute)),
    sharding=st.sampled_from(list(Sharding)),
    compute=st.sampled_from([Precision.BF16, Precision.FP8, Precision.FP32]),
    product=st.sampled_from(["H100-SXM5", "A100-SXM4-80GB", "GB200", "MI300X", "L40S"]),
)
def test_waterfall_sums_to_one(
    job: Job,
    on: On,
    cut: tuple[int, int, int, int, int],
    micro: int,
    recompute: Recompute,
    sharding: Sharding,
    compute: Precision,
    product: str,
) -> None:
    tensor, pipeline, context, data, virtual = cut
    setup = job(
        compute=compute,
        tensor=tensor,
        pipeline=pipeline,
        context=context,
        data=data,
        virtual_pipeline=virtual,
        micro_batch_size=micro,
        recompute=recompute,
        sharding=sharding,
    )
    found = predict(setup, on(product))
    if isinstance(found, Problem):
        assert found.field == "precision.compute"
        return
    assert found.mfu + math.fsum(loss.fraction for loss in found.waterfall) == pytest.approx(1.0, abs=1e-12)
    assert 0.0 < found.mfu < 1.0
    assert found.low <= found.mfu <= found.high
    assert found.hfu >= found.mfu
    assert all(math.isfinite(loss.seconds) for loss in found.waterfall)
    assert {loss.name for loss in found.waterfall} <= {term.value for term in StepTerm}
    assert set(found.memory.terms) <= {term.value for term in MemoryTerm}
    assert math.fsum(found.memory.terms.values()) == pytest.approx(found.memory.total_bytes)


def test_rate_step_and_mfu_agree(job: Job, on: On) -> None:
    setup, placement = job(), on()
    found = predicted(setup, placement)
    tokens = setup.global_batch_size * setup.sequence_length / placement.gpus
    assert found.tokens_per_s_per_gpu == pytest.approx(tokens / found.step_seconds)
    assert found.mfu == pytest.approx(found.tokens_per_s_per_gpu * found.flops_per_token / 989.4e12)


def test_flops_per_token_is_the_workload_rooms(job: Job, on: On) -> None:
    for model in ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "gemma-2-9b"):
        setup = job(model, data=8, expert=1)
        assert model_flops_per_token(setup) == pytest.approx(
            training_flops_per_token(setup.architecture, setup.sequence_length)
        )
        assert predicted(setup, on()).flops_per_token == pytest.approx(model_flops_per_token(setup))


def test_precision_rescales_mfu_not_speed(job: Job, on: On) -> None:
    wide, narrow = predicted(job(), on()), predicted(job(compute=Precision.FP8), on())
    assert narrow.tokens_per_s_per_gpu > wide.tokens_per_s_per_gpu
    assert narrow.mfu < wide.mfu
    assert wide.reference_mfu == pytest.approx(wide.mfu)
    assert narrow.reference_mfu == pytest.approx(2 * narrow.mfu, rel=1e-3)


def test_fp32_looks_as_wasteful_as_it_is(job: Job, on: On) -> None:
    found = predicted(job(compute=Precision.FP32), on())
    assert found.mfu > 0.4
    assert found.reference_mfu == pytest.approx(found.mfu * 66.9 / 989.4)


@pytest.mark.parametrize(
    ("worse", "term"),
    [
        ({"recompute": Recompute.FULL}, StepTerm.RECOMPUTE),
        ({"tensor": 8, "data": 1}, StepTerm.TENSOR_COMMUNICATION),
        ({"pipeline": 8, "data": 1, "global_batch_size": 8}, StepTerm.PIPELINE_BUBBLE),
        ({"sharding": Sharding.ZERO3, "data": 8, "sequence_length": 1024}, StepTerm.DATA_COMMUNICATION),
        ({"sequence_length": 32, "global_batch_size": 8}, StepTerm.HOST),
        ({"sequence_length": 65536, "global_batch_size": 8}, StepTerm.ATTENTION),
    ],
)
def test_a_worse_setting_names_its_loss(job: Job, on: On, worse: dict[str, object], term: StepTerm) -> None:
    before, after = losses(predicted(job(), on())), losses(predicted(job(**worse), on()))
    assert after.get(term.value, 0.0) > before.get(term.value, 0.0) + 0.01


def test_expert_parallel_jobs_pay_for_the_exchange(job: Job, on: On) -> None:
    found = losses(predicted(job("mixtral-8x7b", expert=8), on()))
    assert found[StepTerm.EXPERT_COMMUNICATION.value] > 0.0
    assert found[StepTerm.EXPERT_IMBALANCE.value] > 0.0
    assert StepTerm.EXPERT_IMBALANCE.value not in losses(predicted(job("mixtral-8x7b"), on()))


@pytest.mark.parametrize("engine", ["", "NeMo"])
@pytest.mark.parametrize("expert", [2, 8, 32])
def test_all_gpus_together_hold_every_expert_once(job: Job, on: On, engine: str, expert: int) -> None:
    """No GPU holds less than its part, however experts and tensor ranks divide them: 671e9 · 2 bytes over 32."""
    setup = job(
        "deepseek-v3", tensor=16, data=2, expert=expert, engine=engine, global_batch_size=64, sharding=Sharding.DDP
    )
    found = predict(setup, on(gpus=32))
    assert isinstance(found, Prediction), found
    assert found.memory.terms[MemoryTerm.WEIGHTS] >= 671e9 * 2 / 32


def test_denied_nvlink_shows_as_communication(job: Job, on: On) -> None:
    setup = job("llama-3.2-1b", sequence_length=2048, global_batch_size=8)
    linked, pcie = predicted(setup, on()), predicted(setup, on(nvlink=False))
    assert pcie.step_seconds > linked.step_seconds
    assert losses(pcie)[StepTerm.DATA_COMMUNICATION.value] > losses(linked)[StepTerm.DATA_COMMUNICATION.value]


def test_a_bridge_joins_a_pair_of_cards_and_no_more(job: Job, on: On) -> None:
    """Eight A100 PCIe cards in one node: a tensor group of eight talks over PCIe, a pair over its bridge."""
    card = "A100-PCIe-80GB"
    wide, pair = job("llama-3.1-8b", tensor=8, data=1), job("llama-3.1-8b", tensor=2, data=1)
    over_pcie = predicted(wide, on(card, nvlink=False))
    assert predicted(wide, on(card)).step_seconds == over_pcie.step_seconds
    bridged = predicted(pair, on(card, gpus=2, gpus_per_node=2))
    assert bridged.step_seconds < predicted(pair, on(card, gpus=2, gpus_per_node=2, nvlink=False)).step_seconds


def test_slow_network_slows_only_jobs_that_cross_it(job: Job, on: On) -> None:
    one, many = job(), job(data=64)
    slow = {"inter_node_bytes_per_s": 1e9}
    assert predicted(one, on(**slow)).step_seconds == predicted(one, on()).step_seconds
    assert predicted(many, on(gpus=64, **slow)).step_seconds > predicted(many, on(gpus=64)).step_seconds


def test_host_sets_the_pace_of_tiny_steps_and_a_note_says_so(job: Job, on: On) -> None:
    tiny = job("llama-3.2-1b", data=1, sequence_length=128, global_batch_size=1, engine="PyTorch")
    found = predicted(tiny, on(gpus=1))
    assert found.bound == Bound.HOST.value
    assert any("host sets the pace" in note for note in found.notes)


def test_compiling_frees_the_host(job: Job, on: On) -> None:
    tiny = job("llama-3.2-1b", data=1, sequence_length=128, global_batch_size=1, engine="PyTorch")
    assert predicted(replace(tiny, compiled=True), on(gpus=1)).step_seconds < predicted(tiny, on(gpus=1)).step_seconds


def test_what_does_not_fit_still_gets_a_number_and_the_nearest_change(job: Job, on: On) -> None:
    setup = job("llama-3.1-70b", data=64, global_batch_size=64, sequence_length=8192)
    found = predicted(setup, on(gpus=64))
    assert not found.memory.fits
    assert found.memory.largest_term in {term.value for term in MemoryTerm}
    assert "ZeRO3" in str(found.memory.advice)
    assert any("Does not fit" in note for note in found.notes)


def test_advice_fits_when_followed(job: Job, on: On) -> None:
    too_large = job(sharding=Sharding.ZERO3, micro_batch_size=8)
    found = predicted(too_large, on())
    assert not found.memory.fits
    advice = str(found.memory.advice)
    assert advice.startswith("microBatchSize: ")
    mended = replace(too_large, micro_batch_size=int(advice.split(": ")[1]))
    assert predicted(mended, on()).memory.fits


def test_lora_trains_less(job: Job, on: On) -> None:
    full, lora = predicted(job(), on()), predicted(job(method=Method.LORA), on())
    assert lora.tokens_per_s_per_gpu > full.tokens_per_s_per_gpu
    assert lora.memory.total_bytes < full.memory.total_bytes
    assert lora.flops_per_token < full.flops_per_token


def test_recomputation_counts_in_hfu_only(job: Job, on: On) -> None:
    full = job(recompute=Recompute.FULL)
    found = predicted(full, on())
    assert found.hfu / found.mfu == pytest.approx(executed_flops_ratio(full))
    assert 1.25 < executed_flops_ratio(full) < 4 / 3
    assert executed_flops_ratio(job()) == 1.0


def test_learned_correction_scales_and_stays_exact(job: Job, on: On) -> None:
    setup, placement = job(), on()
    key = key_of(setup, placement)
    assert key == "H100-SXM5/NeMo/Training"
    state = Corrections({key: Correction(0.9, 0.02, 12)})
    plain, learned = predicted(setup, placement), predicted(setup, placement, state)
    assert learned.tokens_per_s_per_gpu == pytest.approx(0.9 * plain.tokens_per_s_per_gpu)
    assert learned.mfu + math.fsum(losses(learned).values()) == pytest.approx(1.0, abs=1e-12)
    assert learned.high - learned.low < plain.high - plain.low


@pytest.mark.parametrize(
    ("changes", "gpus", "field", "nearest"),
    [
        ({"data": 4}, 8, "parallelism", "data to 8"),
        ({"tensor": 3, "data": 8}, 24, "parallelism.tensor", "2"),
        ({"global_batch_size": 130}, 8, "globalBatchSize", "128"),
        ({"pipeline": 64, "data": 1, "global_batch_size": 64}, 64, "parallelism.pipeline", "32"),
        ({"virtual_pipeline": 2}, 8, "parallelism.virtualPipeline", "1"),
        ({"expert": 8}, 8, "parallelism.expert", "1"),
        ({"context": 3, "data": 8}, 24, "parallelism.context", "2"),
        ({"micro_batch_size": 0}, 8, "microBatchSize", "1"),
        ({"compute": Precision.FP4}, 8, "precision.compute", "FP8"),
    ],
)
def test_impossible_jobs_are_refused_by_field(
    job: Job, on: On, changes: dict[str, object], gpus: int, field: str, nearest: str
) -> None:
    found = predict(job(**changes), on(gpus=gpus))
    assert isinstance(found, Problem)
    assert found.field == field
    assert nearest in found.fix
    assert found.message.startswith(f"{field} ")


def test_experts_must_divide(job: Job, on: On) -> None:
    found = refuse(job("mixtral-8x7b", expert=3, data=24, global_batch_size=24), on(gpus=24))
    assert found is not None
    assert (found.field, found.fix) == ("parallelism.expert", "set 2")


def test_parallelism_defaults_are_one() -> None:
    cut = Parallelism()
    assert cut.tensor * cut.pipeline * cut.context * cut.data * cut.expert * cut.virtual_pipeline == 1
