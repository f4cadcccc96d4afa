"""docs/scenarios.md: what people ask of a predictor, beside the published or hand-derived value.

`python -m tools.generate.gen_scenarios_doc [--check]`. Nothing here is fitted: each value is what `mfu predict` gives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Precision
from mfu.predict.names import MemoryTerm, StepTerm
from mfu.predict.types import (
    Method,
    Parallelism,
    Phase,
    Recompute,
    Sharding,
)
from tools.generate.generated import publish
from tools.generate.scenario_answers import (
    GB,
    Answer,
    asked,
    derived,
    fits,
    on,
    rate,
    serve,
    states,
    train,
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/scenarios.md"


@lru_cache(maxsize=1)
def answers() -> tuple[Answer, ...]:
    """Serving first, then training."""
    return tuple(answer for make in SCENARIOS for answer in make())


def one_card() -> Iterator[Answer]:
    """Llama 3 8B in 16 bit: 1,024 tokens in and out, static batches."""
    measured = (
        ("H100-SXM5", "TensorRT-LLM", {1: 7.729, 16: 10.157, 64: 17.483}),
        ("GH200-96GB", "TensorRT-LLM", {1: 6.169, 16: 8.859, 64: 12.522}),
        ("A100-SXM4-40GB", "vLLM", {16: 19.914, 64: 36.162}),
    )
    for product, engine, seconds in measured:
        for batch, value in seconds.items():
            setup = serve("llama-3-8b", engine=engine, concurrency=float(batch), inputs=1024.0, outputs=1024.0)
            found = asked(setup, on(product))
            took = (found.tpot_seconds or 0.0) * 1024.0
            source = f"LLM-Inference-Bench, {engine} (arXiv 2411.00136)"
            yield rate(
                "8B serving, concurrency 1 to 256",
                f"{batch} at once on {product}",
                "s a request",
                took,
                found,
                value,
                source,
            )
    h100 = asked(serve("llama-3.1-8b", engine="TensorRT-LLM", concurrency=128.0, inputs=1024.0, outputs=512.0), on())
    yield rate(
        "8B serving, concurrency 1 to 256",
        "128 at once on H100-SXM5, 512 out",
        "ms a token",
        1e3 * (h100.tpot_seconds or 0.0),
        h100,
        19.26,
        "aiconfigurator's measured sample (trtllm 1.0.0rc3)",
    )


def five_cards() -> Iterator[Answer]:
    """Decoding of Llama 3.1 8B in 16 bit at 1, 16 and 256 requests, 1,152 tokens of context, on five cards."""
    for product in ("H100-SXM5", "H200-SXM", "A100-SXM4-80GB", "L40S", "MI300X"):
        gpu = load().by_api_name(product)
        assert isinstance(gpu, GPU), gpu
        for concurrency in (1, 16, 256):
            setup = serve("llama-3.1-8b", concurrency=float(concurrency), phase=Phase.DECODE)
            found = asked(setup, on(product))
            running, seconds = found.concurrency or 1.0, found.tpot_seconds or 0.0
            floor = (15.01e9 + running * 1152 * 131_072) / gpu.memory_bandwidth_bytes_per_s
            held = "" if running >= concurrency else f" ({running:.0f} fit)"
            yield Answer(
                scenario="8B serving, concurrency 1 to 256",
                asked=f"{concurrency} at once{held} on {product}",
                unit="ms a token",
                predicted=1e3 * seconds,
                low=1e3 * floor,
                high=2.5e3 * floor,
                reference=None,
                source="by hand: 15.01 GB of weights + 151 MB of cache a request ÷ datasheet bandwidth; 2.5 times that",
            )


def two_h100() -> Iterator[Answer]:
    """Llama 3.1 70B in FP8."""
    for inputs, outputs, value in ((128, 128, 6183.0), (128, 2048, 5822.0), (1000, 2000, 3920.0), (5000, 500, 867.0)):
        setup = serve(
            "llama-3.1-70b",
            engine="TensorRT-LLM",
            weights=Precision.FP8,
            concurrency=None,
            tensor=2,
            inputs=float(inputs),
            outputs=float(outputs),
        )
        found = asked(setup, on(gpus=2))
        yield rate(
            "70B FP8 serving on two H100",
            f"{inputs:,} in, {outputs:,} out",
            "tokens/s",
            2 * found.tokens_per_s_per_gpu,
            found,
            value,
            "TensorRT-LLM perf-overview v0.20/0.21",
        )


def deepseek_serving() -> Iterator[Answer]:
    """Requests of DeepSeek-R1 that the cache of eight H200 holds, tensor parallel."""
    setup = serve("deepseek-r1", weights=Precision.FP8, concurrency=5000.0, tensor=8, inputs=4000.0, outputs=500.0)
    found = asked(setup, on("H200-SXM", 8))
    per_request = 61 * 576 * 4500.0
    room = 141e9 - 671e9 / 8
    yield Answer(
        "DeepSeek-R1 on eight H200",
        "requests of 4,500 tokens at once",
        "requests",
        found.concurrency or 0.0,
        0.6 * room / per_request,
        room / per_request,
        None,
        "by hand: 60 to 100 % of (141 − 671/8) GB ÷ (61 layers · 576 values · 4,500 tokens), as work space comes off",
    )


def million_tokens() -> Iterator[Answer]:
    """One request of a million tokens to Llama 3.1 70B on eight H200."""
    setup = serve("llama-3.1-70b", weights=Precision.FP8, concurrency=1.0, tensor=8, inputs=1e6, outputs=256.0)
    found = asked(setup, on("H200-SXM", 8))
    cache = 1_000_256 * 80 * 2 * 8 * 128 / 8
    yield derived(
        "a million tokens",
        "KV cache a GPU",
        "GB",
        found.memory.terms[MemoryTerm.KV_CACHE] / GB,
        cache / GB,
        "by hand: 1,000,256 tokens · 80 layers · 2 · 8 heads · 128 · 1 byte ÷ 8",
    )
    flops = 2 * 69.5e9 * 1e6 + 2 * 80 * 8192 * 1e12
    low, high = flops / (8 * 989e12), flops / (8 * 989e12 * 0.3)
    yield Answer(
        "a million tokens",
        "first token",
        "s",
        found.ttft_seconds or 0.0,
        low,
        high,
        None,
        f"by hand: {flops:.3g} FLOPs, half of S² counted, on eight H200 at 30 to 100 % of the 16-bit peak",
    )
    said = any("beyond the 131,072 positions" in note for note in found.notes)
    yield Answer(
        "a million tokens",
        "beyond the model's 131,072 positions is said",
        "yes = 1",
        float(said),
        1.0,
        1.0,
        1.0,
        "config.json of Llama 3.1",
    )


def full_70b() -> Iterator[Answer]:
    job = train("llama-3.1-70b", batch=128, sequence=4096, sharding=Sharding.ZERO3, recompute=Recompute.FULL, data=8)
    yield states("70B full fine-tuning on 8 H100", job, on(gpus=8), 70.55e9 * 16 / 8, 80.0)


def adamw_7b() -> Iterator[Answer]:
    job = train("llama-2-7b", batch=8, sequence=2048, recompute=Recompute.FULL)
    yield states("7B AdamW on an A100-40", job, on("A100-SXM4-40GB"), 6.74e9 * 16, 40.0)


def big_405b() -> Iterator[Answer]:
    job = train(
        "llama-3.1-405b",
        batch=256,
        sequence=8192,
        weights=Precision.FP8,
        engine="NeMo",
        tensor=8,
        pipeline=8,
        context=2,
        data=4,
        virtual_pipeline=8,
    )
    found = asked(job, on(gpus=512))
    yield rate(
        "405B on 512 H100",
        "FP8, TP8 PP8 CP2 DP4 VPP8",
        "tokens/s/GPU",
        found.tokens_per_s_per_gpu,
        found,
        331.12,
        "NVIDIA/dgxc-benchmarking v25.04.02, llama3.1/README.md",
    )


def deepseek_v3() -> Iterator[Answer]:
    job = train(
        "deepseek-v3",
        batch=15360,
        sequence=4096,
        weights=Precision.FP8,
        engine="HAI-LLM",
        pipeline=16,
        data=128,
        expert=64,
    )
    found = asked(job, on("H800-SXM5", 2048))
    yield rate(
        "DeepSeek-V3 on 2,048 H800",
        "PP16, EP64, ZeRO-1, FP8",
        "tokens/s/GPU",
        found.tokens_per_s_per_gpu,
        found,
        1543.2,
        "DeepSeek-V3 technical report: 180,000 GPU-hours per 10¹² tokens, whole runs",
    )


def mixtral() -> Iterator[Answer]:
    job = train("mixtral-8x7b", batch=512, sequence=4096, engine="Megatron", data=64, expert=8, sharding=Sharding.ZERO1)
    found = asked(job, on("A100-SXM4-80GB", 64))
    rate = 312e12 / (6 * 12.9e9)
    yield Answer(
        "Mixtral on 64 A100",
        "EP8, micro-batch 1",
        "tokens/s/GPU",
        found.tokens_per_s_per_gpu,
        0.15 * rate,
        0.55 * rate,
        None,
        "by hand: 15 to 55 % of 312 TFLOP/s ÷ (6 · 12.9e9 active)",
    )


def lora_70b() -> Iterator[Answer]:
    job = train(
        "llama-3-70b",
        batch=32,
        sequence=4096,
        engine="NeMo",
        method=Method.LORA,
        recompute=Recompute.FULL,
        tensor=4,
        sharding=Sharding.DDP,
    )
    found = asked(job, on(gpus=4))
    yield derived(
        "LoRA 70B on 4 H100",
        "weights a GPU",
        "GB",
        found.memory.terms[MemoryTerm.WEIGHTS] / GB,
        70.55 * 2 / 4,
        "by hand: 70.55e9 · 2 bytes ÷ 4",
    )
    yield fits("LoRA 70B on 4 H100", found, True)


def lora_8b() -> Iterator[Answer]:
    job = train(
        "llama-3.1-8b", batch=8, sequence=512, method=Method.LORA, recompute=Recompute.FULL, sharding=Sharding.DDP
    )
    found = asked(job, on("L4"))
    yield derived(
        "LoRA 8B on an L4",
        "weights",
        "GB",
        found.memory.terms[MemoryTerm.WEIGHTS] / GB,
        16.06,
        "by hand: 8.03e9 · 2 bytes",
    )
    yield fits("LoRA 8B on an L4", found, True)


def across_nodes() -> Iterator[Answer]:
    inside = train(
        "llama-3.1-70b", batch=64, sequence=4096, engine="Megatron", recompute=Recompute.FULL, tensor=8, data=2
    )
    across = replace(inside, parallelism=Parallelism(tensor=16))
    rates = [asked(each, on(gpus=16)).tokens_per_s_per_gpu for each in (inside, across)]
    yield Answer(
        "tensor parallel across nodes",
        "TP16 over two nodes against TP8 · DP2",
        "of the speed",
        rates[1] / rates[0],
        0.1,
        0.7,
        None,
        "by hand: the slowest link of the ring is an adapter of 50 GB/s, not 450 GB/s",
    )


def long_pipeline() -> Iterator[Answer]:
    job = train("llama-3.1-70b", batch=256, sequence=4096, engine="Megatron", tensor=4, pipeline=16)
    found = asked(job, on(gpus=64))
    bubble = sum(each.seconds for each in found.waterfall if each.name == StepTerm.PIPELINE_BUBBLE)
    filled = 15 / (256 * 1.245 + 15)
    yield Answer(
        "256 micro-batches over 16 stages",
        "bubble",
        "% of the step",
        100 * bubble / found.step_seconds,
        100 * filled * 0.8,
        100 * filled * 1.2,
        None,
        "by hand: 15 / (256 · 1.245 + 15) = 4.5 %, within a fifth: the last stage has the vocabulary, too",
    )


SCENARIOS: tuple[Callable[[], Iterator[Answer]], ...] = (
    one_card,
    five_cards,
    two_h100,
    deepseek_serving,
    million_tokens,
    full_70b,
    adamw_7b,
    big_405b,
    deepseek_v3,
    mixtral,
    lora_70b,
    lora_8b,
    across_nodes,
    long_pipeline,
)


_HEAD = """# Scenarios

Generated by `python -m tools.generate.gen_scenarios_doc`; a test holds it current, so every change of the model shows.

What people ask of a predictor, with what `mfu predict` answers, the band it prints (80 %, or the bounds that the last
column names), and the published or hand-derived figure. A figure outside its band is marked: one in five may be.

| scenario | question | predicted | band | beside it | in band | where that comes from |
|---|---|---|---|---|---|---|
"""


def render() -> str:
    return _HEAD + "".join(_line(each) for each in answers())


def _line(each: Answer) -> str:
    span = f"{each.low:.4g} to {each.high:.4g}"
    value = f"{each.predicted:.4g} {each.unit}"
    mark = "yes" if each.holds else "**no**"
    beside = "-" if each.reference is None else f"{each.reference:.4g}"
    return f"| {each.scenario} | {each.asked} | {value} | {span} | {beside} | {mark} | {each.source} |\n"


if __name__ == "__main__":
    sys.exit(publish(DOCUMENT, render()))
