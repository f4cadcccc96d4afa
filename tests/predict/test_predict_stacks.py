"""What stacks that most people run do beside their arithmetic: adapters, experts, attention on Blackwell, networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.hardware import catalog
from mfu.hardware.types import Device
from mfu.predict.names import StepTerm
from mfu.predict.training.case import case_of
from mfu.predict.training.compute import attention_rate
from mfu.predict.training.constants import shipped
from mfu.predict.training.engines import engine
from mfu.predict.training.stack import stack_of
from mfu.predict.training.step import host_seconds, step
from mfu.predict.types import Method, Parallelism, Placement, Problem, Training
from mfu.predict.validate import training
from mfu.workload import presets

Job = Callable[..., Training]


def on(product: str, gpus: int = 8) -> Placement:
    """A job's place on one product of the catalog."""
    gpu = catalog.load().gpus[product]
    return Placement(Device(gpu), gpus, min(gpus, 8))


def test_adapters_of_the_docstring(job: Job) -> None:
    lora = replace(job(), method=Method.LORA, engine="Transformers")
    assert float(stack_of(lora, shipped()).adapter_bytes) == pytest.approx(17.04e6, rel=1e-3)
    assert float(stack_of(job(engine="Transformers"), shipped()).adapter_bytes) == 0.0
    assert float(stack_of(replace(lora, engine="NeMo"), shipped()).adapter_bytes) == 0.0


def test_adapters_cost_time_and_launches(job: Job) -> None:
    c = shipped()
    lora = replace(job(engine="Transformers"), method=Method.LORA)
    case = case_of(lora, on("h100-sxm5-80gb"), c)
    assert case is not None
    bare = replace(case, stack=replace(case.stack, adapter_bytes=0.0 * case.stack.adapter_bytes))
    assert float(step(case, c).losses[StepTerm.MEMORY_BOUND]) > 1.1 * float(step(bare, c).losses[StepTerm.MEMORY_BOUND])
    full = case_of(job(engine="Transformers"), on("h100-sxm5-80gb"), c)
    assert full is not None
    assert float(case.stack.seconds_per_layer) == pytest.approx(321 / 230 * float(full.stack.seconds_per_layer))


def mixture(job: Job, engine_name: str) -> Training:
    """Qwen3-30B-A3B over eight GPUs, experts spread, one sequence of 4,096 a micro-batch."""
    arch = presets.preset("qwen3-30b-a3b")
    cut = Parallelism(data=8, expert=8)
    return replace(job(), architecture=arch, sequence_length=4096, parallelism=cut, engine=engine_name)


def test_layers_with_experts_are_launched_slowly_but_where_graphs_hold_them(job: Job) -> None:
    c = shipped()
    hosts, racks = (case_of(mixture(job, "Megatron-Bridge"), on(product), c) for product in ("b200-sxm", "gb200"))
    assert hosts is not None and racks is not None
    layer = float(host_seconds(hosts, c)) / 48
    assert 5e-3 < layer < 20e-3
    assert float(host_seconds(racks, c)) < 0.6 * float(host_seconds(hosts, c))
    uncaptured = case_of(mixture(job, "Megatron-LM"), on("gb200"), c)
    assert uncaptured is not None
    assert float(host_seconds(uncaptured, c)) == pytest.approx(2.5 * float(host_seconds(hosts, c)))


def test_programs_of_pytorch_launch_their_exchanges_as_grouped_products(job: Job) -> None:
    """630 operations a layer beside its own 100, at 8.6 µs · 1.3: 8.2 ms, where an engine that quantises each local
    expert takes 16."""
    c = shipped()
    plain, tuned = (case_of(mixture(job, name), on("h100-sxm5-80gb"), c) for name in ("torchtitan", "Megatron-LM"))
    assert plain is not None and tuned is not None
    assert float(host_seconds(plain, c)) / 48 == pytest.approx(730 * c["host_operation"] * 1.3)
    assert float(host_seconds(plain, c)) < 0.6 * float(host_seconds(tuned, c))


def test_programs_of_pytorch_take_cudnns_attention_on_blackwell(job: Job) -> None:
    c = shipped()
    rates = {
        (name, product): float(attention_rate(case))
        for name in ("torchtitan", "NeMo")
        for product in ("h100-sxm5-80gb", "b200-sxm")
        if (case := case_of(job(engine=name), on(product), c)) is not None
    }
    assert rates["torchtitan", "h100-sxm5-80gb"] < 0.7 * rates["NeMo", "h100-sxm5-80gb"]
    assert rates["torchtitan", "b200-sxm"] > 0.8 * rates["NeMo", "b200-sxm"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("docs.nvidia.com nemo/automodel (NeMo-Automodel)", "NeMo-Automodel"),
        ("Modalities/modalities docs", "Modalities"),
        ("NVIDIA-NeMo/Megatron-Bridge", "Megatron-Bridge"),
        ("NVIDIA/bionemo-framework README.md (PyTorch FSDP2)", "PyTorch"),
        ("NVIDIA/bionemo-framework README.md (Megatron-LM)", "Megatron-LM"),
        ("nemo_qwen (NeMo 2.3)", "NeMo"),
    ],
)
def test_sources_name_their_engine(source: str, name: str) -> None:
    assert engine(source).name == name


@pytest.mark.parametrize(("product", "gbytes"), [("a100-sxm-64gb", 12.5), ("h100-sxm5-64gb", 25.0)])
def test_custom_cards_talk_over_the_network_of_their_machine(job: Job, product: str, gbytes: float) -> None:
    c = shipped()
    case = case_of(job(data=16), on(product, 16), c)
    assert case is not None
    assert float(case.machine.network) == pytest.approx(gbytes * 1e9 * c["network_share"])


GPT = {
    "source": "Modalities/modalities",
    "model": "GPT-like 2.7B",
    "layers": "32",
    "hidden": "2560",
    "seq_len": "4096",
    "params_b": "2.7",
    "gpu": "H100-SXM5-80GB",
    "gpus": "8",
    "micro_batch": "2",
    "global_batch": "16",
    "precision": "bf16",
    "zero_or_fsdp": "zero3",
    "tok_s_gpu_for_validation": "15000",
}


def test_a_plain_gpt_is_read_without_its_feed_forward_and_vocabulary() -> None:
    found = training.question(GPT)
    assert not isinstance(found, Problem)
    arch = found[0].architecture
    assert (arch.ffn, arch.vocab, arch.heads) == (10240, 50304, 20)
    for other in ({"params_b": "4.0"}, {"params_b": ""}):
        refused = training.question({**GPT, **other})
        assert isinstance(refused, Problem) and refused.field == "ffn_hidden"
