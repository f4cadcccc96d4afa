"""How a published row ran: layout, phase, formats of numbers, requests at once and lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mfu.hardware.types import GPU, Precision
from mfu.predict.inference.constants import UNSTATED
from mfu.predict.inference.recipes import ADMITTED, turned_away
from mfu.predict.inference.row_words import named_concurrency, number
from mfu.predict.types import Parallelism, Phase, Precisions
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

NODE = 8
_CLOSED_LOOP = ("tpot", "itl", "ttft", "output_tok_s_total", "tok_s", "total_tok_s", "requests_s", "samples_s")
_PROMPT = 1024.0
_BENCHMARKS = ((8.03e9, 128.0, 781.0), (405.9e9, 684.7, 9400.0))
"""(parameters, mean answer, mean prompt) of MLPerf 5.1 data sets where prompt and answer differ. 8B: answers of 128
tokens (mlcommons/inference, language/llama3.1-8b/SUT_VLLM.py), CNN/DailyMail articles of 781 (See et al., arXiv
1704.04368). 405B: 684.68 (language/llama3.1-405b/README.md), prompts of 9,400 (MLCommons, April 2025, "MLPerf Inference
v5.0 Advances Language Model Capabilities for GenAI")."""
_WEIGHTS = (
    (r"mxfp4", Precision.FP4),
    (r"fp4", Precision.FP4),
    (r"int4|w4a|awq|gptq|exl2|[4-5]-?bit|\bi?q[45]_|nf4", Precision.INT4),
    (r"fp8|e4m3", Precision.FP8),
    (r"int8|w8|[68]-?bit|\bq[68]_", Precision.INT8),
    (r"fp32|float32", Precision.FP32),
    (r"fp16|bf16|16", Precision.BF16),
)


def parallelism_of(row: Mapping[str, str], architecture: Architecture, gpu: GPU) -> Parallelism:
    """Tensor, pipeline and expert degrees.

    Tables that print attention tensor · expert degree in the tensor column show more GPUs than an NVLink domain
    holds: divided back. An expert degree above the tensor degree means attention data parallelism; so does a mixture
    on more than a node of one rack's NVLink, whatever its tensor column says.
    """
    tensor, pipeline, expert = (max(1, int(number(row.get(key)) or 1)) for key in ("tp", "pp", "ep"))
    if architecture.moe is not None and not (row.get("ep") or "").strip():
        return Parallelism(tensor=1, pipeline=pipeline, data=tensor, expert=tensor)
    if expert > 1 and tensor > gpu.nvlink_domain_gpus and tensor % expert == 0:
        tensor //= expert
    groups = expert // tensor if expert > tensor else 1
    rack = gpu.nvlink_domain_gpus > NODE and tensor > NODE
    if architecture.heads % tensor or (rack and architecture.moe is not None):
        tensor, groups = 1, tensor * groups
    return Parallelism(tensor=tensor, pipeline=pipeline, data=groups, expert=expert)


def layers_apart(layout: Parallelism, source: str) -> Parallelism:
    """Hugging Face transformers put whole layers on each GPU (`device_map="auto"`) where nothing else is said."""
    spread = layout.tensor * layout.data
    if spread == 1 or not re.search(r"\btransformers\b", source.lower()):
        return layout
    return Parallelism(tensor=1, pipeline=layout.pipeline * spread)


def phase_of(metric: str, parallelism: Parallelism) -> Phase:
    """More attention groups than a node has GPUs are built with prefill and decode apart: no prompts among decodes."""
    if re.search(r"prefill|first token|input_tok", metric):
        return Phase.PREFILL
    return Phase.DECODE if "(decode)" in metric or parallelism.data > NODE else Phase.MIXED


def precisions_of(row: Mapping[str, str], gpu: GPU, engine: str = UNSTATED) -> Precisions:
    """Arithmetic follows the weights where the product has it; MXFP4 keeps 8-bit or wider activations."""
    text = row["weight_precision"].lower()
    weights = next((precision for pattern, precision in _WEIGHTS if re.search(pattern, text)), Precision.BF16)
    cache = row.get("kv_precision", "").lower()
    mx = "mx" in text
    return Precisions(_compute(weights, mx, gpu), weights, _cache(cache, weights, _narrows(engine, gpu, mx)))


def _compute(weights: Precision, mx: bool, gpu: GPU) -> Precision:
    if weights is Precision.FP4 and mx:
        return Precision.FP8 if Precision.FP4 in gpu.peaks else Precision.BF16
    if weights in (Precision.FP4, Precision.FP8) and weights in gpu.peaks:
        return weights
    return Precision.BF16 if Precision.BF16 in gpu.peaks else Precision.FP16


def _narrows(engine: str, gpu: GPU, mx: bool) -> bool:
    """Whether narrow weights bring an 8-bit cache. SGLang keeps the model's own type unless told (`auto` in
    sglang/srt/server_args.py), and so does every engine with a checkpoint that says nothing of its cache, as GPT-OSS's
    in MXFP4; published recipes tell them so on Blackwell alone (`--kv-cache-dtype`: in InferenceX's dsr1_fp8_b200.sh,
    not in dsr1_fp8_h200.sh; gptoss_fp4_b200.sh and gptoss_fp4_b200_trt.sh, not the H100's and H200's)."""
    return Precision.FP4 in gpu.peaks or not (engine == "sglang" or mx)


def _cache(text: str, weights: Precision, narrows: bool) -> Precision:
    """Unstated: engines keep the cache in 8 bit for 8- and 4-bit checkpoints of NVIDIA, else in 16 bit."""
    if re.search(r"fp8|int8|e4m3|e5m2", text):
        return Precision.FP8
    if re.search(r"16", text):
        return Precision.BF16
    return Precision.FP8 if narrows and weights in (Precision.FP8, Precision.FP4) else Precision.BF16


def concurrency_of(row: Mapping[str, str], parallelism: Parallelism) -> float | None:
    """Requests at once of the whole replica.

    Tables divide those of a run by its attention groups, some twice (aiconfigurator counts tensor · expert ranks): the
    run's name has the undivided number. Without a name, fewer than the groups of a node are those of each group.
    """
    stated, groups = number(row.get("concurrency_or_batch")), parallelism.data
    if turned_away(row):
        return ADMITTED
    if stated is None or groups == 1:
        return stated
    named = named_concurrency(row["source"])
    if named is not None and named in (stated, stated * groups, stated * groups**2):
        return named
    return stated * groups if stated < groups <= NODE else stated


def prompt_of_benchmark(architecture: Architecture, outputs: float | None) -> float:
    """A blank prompt length: that of the MLPerf data set with this answer length, else as long as the answer."""
    outputs = outputs or _PROMPT
    size = count(architecture).total
    known = [prompt for parameters, answer, prompt in _BENCHMARKS if _near(size, parameters) and _near(outputs, answer)]
    return known[0] if known else outputs


def _near(value: float, reference: float) -> bool:
    return abs(value - reference) <= 0.1 * reference


def is_static(row: Mapping[str, str]) -> bool:
    """Latencies and rates per GPU are published for batches that start together, totals for closed loops."""
    loop = row["metric"].startswith(_CLOSED_LOOP)
    return number(row.get("concurrency_or_batch")) is not None and not loop
