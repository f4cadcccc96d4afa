"""What programs of PyTorch do that decides their pace and memory: attention, sharded masters, waits for the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.api.runtime import AttentionKernel, Compilation
from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.predict.names import MemoryTerm
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of, habitat_of
from mfu.predict.training.compute import compute
from mfu.predict.training.constants import shipped
from mfu.predict.training.doubt import shared_doubt
from mfu.predict.training.peak_memory import training_memory
from mfu.predict.training.step import host_seconds, host_waits
from mfu.predict.types import Parallelism, Placement, Precisions, Recompute, Sharding, Training
from mfu.workload.presets import preset

H100 = load().gpus["h100-sxm5-80gb"]
GIB = 2.0**30


def job(**changes: Any) -> Training:
    base = Training(
        architecture=preset("llama-3.1-8b"),
        precisions=Precisions(Precision.BF16),
        sequence_length=8192,
        global_batch_size=8,
        micro_batch_size=1,
        parallelism=Parallelism(data=8),
        sharding=Sharding.ZERO3,
        recompute=Recompute.SELECTIVE,
        engine="torchtitan",
    )
    return replace(base, **changes)


def case(setup: Training) -> TrainingCase:
    found = case_of(setup, Placement(Device(H100), setup.parallelism.data, 8), shipped())
    assert found is not None
    return found


def attention_ms(setup: Training) -> float:
    c = shipped()
    work = compute(case(setup), c)
    return 1e3 * float(work.forward.attention + work.backward.attention)


@pytest.mark.parametrize(
    ("engine", "kernel", "native"),
    [
        ("Transformers", None, 1.0),
        ("Transformers", AttentionKernel.SDPA, 1.0),
        ("Transformers", AttentionKernel.FLASH, 0.5),
        ("torchtitan", None, 0.5),
        ("torchtitan", AttentionKernel.SDPA, 1.0),
        ("Megatron-Bridge", AttentionKernel.FLASH, 1.0),
    ],
)
def test_programs_of_pytorch_run_the_attention_that_is_declared(
    engine: str, kernel: AttentionKernel | None, native: float
) -> None:
    assert float(case(job(engine=engine, attention=kernel)).stack.native_attention) == native


def test_hopper_runs_its_own_attention_twice_as_fast() -> None:
    """Measured on an H200: 117 ms with cuDNN's kernels for 32 layers, 217 ms with FlashAttention-2."""
    own, older = (attention_ms(job(attention=each)) for each in (AttentionKernel.SDPA, AttentionKernel.FLASH))
    assert own == pytest.approx(117.0, rel=0.25)
    assert 1.6 < older / own < 2.6


def test_sharded_masters_are_the_weights() -> None:
    """4 bytes of weight and 8 of moments for each of 8.03e9 / 8 parameters: 3.74 and 7.48 GiB, no 16-bit copy."""
    terms = training_memory(case(job()), shipped()).terms
    assert float(terms[MemoryTerm.WEIGHTS]) / GIB == pytest.approx(3.74, rel=0.01)
    assert float(terms[MemoryTerm.OPTIMIZER]) / GIB == pytest.approx(7.48, rel=0.01)


def test_every_second_product_is_kept() -> None:
    """29,696 values of 2 bytes for each of 8,192 tokens and 32 layers: 14.5 GiB."""
    terms = training_memory(case(job()), shipped()).terms
    assert float(terms[MemoryTerm.ACTIVATIONS]) / GIB == pytest.approx(29_696 * 2 * 8192 * 32 / GIB, rel=1e-6)


def test_not_compiling_unfuses_what_the_compiler_would_fuse() -> None:
    assert float(case(job()).stack.fused) == 1.0
    assert float(case(job(compilation=Compilation.NONE)).stack.fused) == 0.0
    assert float(case(job(engine="Megatron-LM", compilation=Compilation.NONE)).stack.fused) == 1.0


def test_a_loop_that_reads_the_loss_back_waits_for_a_late_forward_pass() -> None:
    """Half of the launches are the forward pass's: what they take beyond its GPU time is lost."""
    c, small = shipped(), job(engine="Transformers", sequence_length=512, recompute=Recompute.NONE)
    setup = case(small)
    work = compute(setup, c)
    host, forward = float(host_seconds(setup, c)), float(work.forward.seconds)
    busy = np.asarray(host)
    assert float(host_waits(setup, c, work, busy)) == pytest.approx(c["launch_forward"] * host - forward)
    free = case(replace(small, engine="PyTorch"))
    assert float(host_waits(free, c, work, busy)) == 0.0


def test_an_architecture_that_nobody_measured_is_doubted_more_than_a_new_product() -> None:
    def doubt(product: str, arithmetic: str) -> float:
        names = (np.array([each]) for each in ("torchtitan", product, arithmetic))
        return float(shared_doubt(shipped(), *names)[0])

    known = doubt("H100-SXM5", "hopper BF16")
    assert known < doubt("H100-NVL", "hopper BF16") < doubt("Gaudi", "gaudi3 BF16")
    assert habitat_of("torchtitan", "hopper FP8") == "plain hopper"
    assert habitat_of("NeMo", "blackwell FP8") == "tuned blackwell"
