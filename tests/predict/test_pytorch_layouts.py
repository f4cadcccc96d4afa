"""What layouts of plain PyTorch programs keep and take beside the same model on one GPU, each by its own count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.api.runtime import Compilation
from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.predict.names import MemoryTerm
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.communication import data_seconds, layer_communication
from mfu.predict.training.compute import compute
from mfu.predict.training.constants import shipped
from mfu.predict.training.peak_memory import layer_activation_bytes, training_memory
from mfu.predict.training.step import host_seconds
from mfu.predict.types import Parallelism, Placement, Precisions, Recompute, Sharding, Training
from mfu.workload.presets import preset

H200 = load().gpus["h200-sxm-141gb"]
ROWS = 8192.0
HIDDEN, LAYERS, VOCABULARY = 4096.0, 32.0, 128256.0


def job(**changes: Any) -> Training:
    base = Training(
        architecture=preset("llama-3.1-8b"),
        precisions=Precisions(Precision.BF16),
        sequence_length=8192,
        global_batch_size=4,
        micro_batch_size=1,
        parallelism=Parallelism(data=4),
        sharding=Sharding.DDP,
        engine="PyTorch",
        compilation=Compilation.NONE,
    )
    return replace(base, **changes)


def case(**changes: Any) -> TrainingCase:
    setup = job(**changes)
    cut = setup.parallelism
    gpus = cut.data * cut.tensor * cut.pipeline * cut.context
    found = case_of(setup, Placement(Device(H200), gpus, min(gpus, 8)), shipped())
    assert found is not None
    return found


def term(name: MemoryTerm, **changes: Any) -> float:
    return float(training_memory(case(**changes), shipped()).terms[name])


@pytest.mark.parametrize(("engine", "copied"), [("PyTorch", True), ("Transformers", True), ("DeepSpeed", False)])
def test_sharded_optimizer_states_over_ddp_leave_its_buckets(engine: str, copied: bool) -> None:
    """The bucket of 8.03e9 gradients in 16 bit: 16.1 GB; DeepSpeed reduces into partitions of its own."""
    exchanged = term(MemoryTerm.COMMUNICATION, sharding=Sharding.ZERO1, engine=engine)
    bucket = exchanged - shipped()["buffer_bytes"]
    assert bucket == pytest.approx(16.06e9 if copied else 0.0, rel=0.01, abs=1.0)


def test_no_bucket_where_nothing_is_exchanged() -> None:
    alone = {"parallelism": Parallelism(), "global_batch_size": 1, "sharding": Sharding.ZERO1}
    assert term(MemoryTerm.COMMUNICATION, **alone) == 0.0


def test_tensors_cut_by_dtensor_keep_what_products_gathered() -> None:
    """Two inputs of the hidden width whole, not a fourth of each: 2 · 8192 · 4096 · 2 · 3/4 = 100.7 MB a layer."""
    cut = {"parallelism": Parallelism(tensor=4), "global_batch_size": 1}
    kept = float(layer_activation_bytes(case(engine="torchtitan", **cut), shipped()))
    again = float(layer_activation_bytes(case(engine="Megatron-LM", **cut), shipped()))
    assert kept - again == pytest.approx(2.0 * ROWS * HIDDEN * 2.0 * 0.75)


def test_recomputed_layers_gather_again() -> None:
    """One layer at a time has its gathered inputs; what all of them keep is cut."""
    cut = {
        "parallelism": Parallelism(tensor=4),
        "global_batch_size": 2,
        "engine": "torchtitan",
        "sharding": Sharding.ZERO3,
    }
    layer = float(layer_activation_bytes(case(**cut), shipped()))
    kept = term(MemoryTerm.ACTIVATIONS, recompute=Recompute.FULL, **cut)
    assert kept == pytest.approx(LAYERS * ROWS * HIDDEN * 2.0 / 4.0 + layer)


def test_pipelines_of_pytorch_join_the_logits_of_all_micro_batches() -> None:
    """Sixteen of 8192 · 128256 in 16 bit, and the tensor of all: 67.2 GB, after the last activation is gone."""
    piped = {"parallelism": Parallelism(pipeline=4), "global_batch_size": 16, "recompute": Recompute.FULL}
    joined = term(MemoryTerm.LOGITS, **piped)
    assert joined == pytest.approx(2.0 * 16.0 * ROWS * VOCABULARY * 2.0)
    assert term(MemoryTerm.ACTIVATIONS, **piped) == 0.0


def test_logits_are_kept_beside_activations_where_these_are_more() -> None:
    """Eight micro-batches of two stages: 16 layers' activations and the loss of one, and the logits of all."""
    piped = {"parallelism": Parallelism(pipeline=2), "global_batch_size": 8}
    alone = float(case(**piped).stack.logit_bytes) * ROWS * VOCABULARY
    assert term(MemoryTerm.LOGITS, **piped) == pytest.approx(alone + 8.0 * ROWS * VOCABULARY * 2.0)
    assert term(MemoryTerm.ACTIVATIONS, **piped) == pytest.approx(
        LAYERS / 2.0 * float(layer_activation_bytes(case(**piped), shipped()))
    )


@pytest.mark.parametrize("engine", ["torchtitan", "Megatron-LM", "nanotron"])
def test_engines_that_take_the_loss_alone_keep_no_outputs(engine: str) -> None:
    """torchtitan passes `return_outputs=False`."""
    assert float(case(engine=engine, parallelism=Parallelism(pipeline=4)).stack.output_bytes) == 0.0


def test_nothing_is_joined_without_a_pipeline() -> None:
    loss = 12.0 * ROWS * VOCABULARY
    assert term(MemoryTerm.LOGITS, parallelism=Parallelism(), global_batch_size=16) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("engine", "compilation", "tensor", "held"),
    [
        ("PyTorch", Compilation.FULL, 1, 4.0),
        ("PyTorch", Compilation.REGIONAL, 1, 8.0),
        ("PyTorch", Compilation.NONE, 1, 12.0),
        ("PyTorch", Compilation.FULL, 4, 8.0),
        ("Transformers", Compilation.FULL, 1, 8.0),
        ("torchtitan", None, 1, 4.0),
        ("torchtitan", None, 4, 8.0),
        ("torchtitan", Compilation.NONE, 4, 12.0),
    ],
)
def test_a_compiled_loss_has_no_logits_in_fp32(
    engine: str, compilation: Compilation | None, tensor: int, held: float
) -> None:
    """Unless they are cut, or the model returns them too, as those of transformers."""
    found = case(engine=engine, compilation=compilation, parallelism=Parallelism(tensor=tensor), global_batch_size=1)
    assert float(found.stack.logit_bytes) == held


def ring_seconds(**changes: Any) -> tuple[float, float]:
    """(exposed around the context ring, and again where layers are recomputed)."""
    cut = {"parallelism": Parallelism(context=4), "global_batch_size": 1, "sequence_length": 32768}
    found, c = case(**cut, **changes), shipped()
    exposed = layer_communication(found, c, compute(found, c))
    return float(exposed.context), float(exposed.recompute)


def test_the_ring_of_pytorch_gathers_all_heads_and_waits_for_them() -> None:
    """Three gatherings of 3 · 8192 · 8192 · 2 bytes a layer at the measured 300 GB/s of four H200: 129 ms."""
    exposed, again = ring_seconds(engine="torchtitan", recompute=Recompute.FULL)
    assert exposed == pytest.approx(3.0 * LAYERS * 3.0 * ROWS * 2.0 * HIDDEN * 2.0 / 300e9, rel=0.15)
    assert again == pytest.approx(exposed / 3.0)


def test_other_rings_hide_behind_attention() -> None:
    """Eight heads of keys and values, a fourth, beside longer attention."""
    assert ring_seconds(engine="Megatron-LM")[0] < 0.1 * ring_seconds(engine="torchtitan")[0]


def waited(sharding: Sharding, engine: str = "torchtitan") -> float:
    """Seconds of a step with one micro-batch of half a second for the exchange of weights and gradients."""
    return float(data_seconds(case(sharding=sharding, engine=engine), shipped(), np.asarray(0.5), np.asarray(1.0)))


def test_weights_that_fsdp_keeps_save_the_gathering_that_was_hidden() -> None:
    """Measured with 8B on four H200: 24 of 484 ms, of which exchanges alone took 20 in both."""
    saved = waited(Sharding.ZERO3) - waited(Sharding.ZERO2)
    assert 0.010 < saved < 0.030
    assert waited(Sharding.ZERO2) > 2.0 * saved


def test_other_engines_reduce_once_a_step_under_zero_2() -> None:
    assert waited(Sharding.ZERO2, "Megatron-LM") < 0.25 * waited(Sharding.ZERO2)


def host_ms(**changes: Any) -> float:
    """Host time of one micro-batch over one layer."""
    return 1e3 * float(host_seconds(case(global_batch_size=1, **changes), shipped())) / LAYERS


@pytest.mark.parametrize("engine", ["PyTorch", "torchtitan"])
def test_dtensor_takes_the_host_ten_times_as_long_as_the_layer(engine: str) -> None:
    """9.4 to 10.1 times in e2e/recordings/dispatch.py."""
    cut = Parallelism(tensor=4)
    whole, parts = (host_ms(engine=engine, parallelism=each) for each in (Parallelism(), cut))
    assert 9.0 < parts / whole - 1.0 < 10.2


@pytest.mark.parametrize(
    ("engine", "compilation"),
    [("torchtitan", None), ("torchtitan", Compilation.FULL), ("PyTorch", Compilation.FULL), ("Megatron-LM", None)],
)
def test_compiled_blocks_and_other_ways_to_cut_dispatch_nothing(engine: str, compilation: Compilation | None) -> None:
    habits: dict[str, Any] = {"engine": engine, "compilation": compilation}
    whole, parts = (host_ms(parallelism=Parallelism(tensor=each), **habits) for each in (1, 4))
    assert parts < 1.2 * whole


def test_recomputed_layers_dispatch_again() -> None:
    cut = {"parallelism": Parallelism(tensor=4)}
    again = host_ms(recompute=Recompute.FULL, **cut) / host_ms(**cut)
    assert again == pytest.approx(1.0 + shipped()["launch_recompute"])


@pytest.mark.parametrize(("weights", "width"), [(Precision.BF16, 2.0), (Precision.FP32, 4.0)])
def test_weights_that_a_sharded_optimizer_updated_are_handed_out_alone(weights: Precision, width: float) -> None:
    """Three fourths of 8.03e9 weights in their own format at the measured 300 GB/s, beside what DDP exposes too."""
    given: dict[str, Any] = {"engine": "PyTorch", "precisions": Precisions(Precision.BF16, weights)}
    exposed = [
        float(data_seconds(case(sharding=each, **given), shipped(), np.asarray(0.5), np.asarray(1.0)))
        for each in (Sharding.DDP, Sharding.ZERO1)
    ]
    assert exposed[1] - exposed[0] == pytest.approx(0.75 * 8.03e9 * width / 300e9, rel=0.15)


def test_engines_that_shard_states_themselves_hand_weights_out_beside_the_forward_pass() -> None:
    given: dict[str, Any] = {"sharding": Sharding.ZERO1, "engine": "Megatron-LM"}
    waits = float(data_seconds(case(**given), shipped(), np.asarray(0.5), np.asarray(1.0)))
    assert waits < 0.5 * 0.75 * 8.03e9 * 2.0 / 300e9
