"""Rows of a published inference table as setups.

Reads no `id` and no `notes`; of `source` the engine, its release, and of a run's name the requests at once and whether
a published recipe set what the columns do not show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.problem import ProblemReason
from mfu.hardware.products import unknown_product
from mfu.hardware.types import GPU, Device, Precision, Unmatched
from mfu.predict.inference.case import Speculation
from mfu.predict.inference.constants import UNSTATED
from mfu.predict.inference.pools import DecodePart, decode_part
from mfu.predict.inference.recipes import ADMITTED, by_recipe, drafting, drafts_of, length_drawn, turned_away
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Precisions, Problem
from mfu.workload.architecture import Architecture, MoE
from mfu.workload.parameters import count
from mfu.workload.presets import names, preset

_ENGINES = (
    ("tensorrtllm", r"tensorrt-?llm|trt-?llm|gptsession"),
    ("sglang", r"sglang"),
    ("vllm", r"vllm"),
    ("lmdeploy", r"lmdeploy"),
    ("fastertransformer", r"faster ?transformer"),
    ("gptfast", r"gpt-fast"),
    ("transformers", r"\btransformers\b|pytorch eager|litgpt"),
    ("tgi", r"\btgi\b|text-generation-inference"),
    ("llamacpp", r"llama\.?cpp"),
    ("mlc", r"mlc-llm"),
    ("exllama", r"exllama"),
)
_CLOSED_LOOP = ("tpot", "itl", "ttft", "output_tok_s_total", "tok_s", "total_tok_s", "requests_s", "samples_s")
_TOKEN_TIMES = ("tpot", "itl")
_NODE = 8
_MOST_GPUS = 16384
_LARGEST = 1e7
_DIMENSIONS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
_PROMPT = 1024.0
_BENCHMARKS = ((8.03e9, 128.0, 781.0), (405.9e9, 684.7, 9400.0))
"""(parameters, mean answer, mean prompt) of MLPerf 5.1 data sets where prompt and answer differ. 8B: answers of 128
tokens (mlcommons/inference, language/llama3.1-8b/SUT_VLLM.py), CNN/DailyMail articles of 781 (See et al., arXiv
1704.04368). 405B: 684.68 (language/llama3.1-405b/README.md), prompts of 9,400 (MLCommons, April 2025, "MLPerf Inference
v5.0 Advances Language Model Capabilities for GenAI")."""
_WEIGHTS = (
    (r"mxfp4", Precision.FP4),
    (r"fp4", Precision.FP4),
    (r"int4|w4a16|awq|gptq|4bit|4-bit", Precision.INT4),
    (r"fp8|e4m3", Precision.FP8),
    (r"int8|w8|8bit|8-bit", Precision.INT8),
    (r"fp32|float32", Precision.FP32),
    (r"fp16|bf16|16", Precision.BF16),
)


@dataclass(frozen=True, slots=True)
class Question:
    """One row: what ran where, which quantity was measured, and its value."""

    setup: Inference
    placement: Placement
    metric: str
    value: float
    static: bool
    speculation: Speculation | None = None
    aligned: bool = False
    """Its scheduler was told to bring the prompts of all attention groups in the same steps."""


def question(row: Mapping[str, str]) -> Question | Problem:
    """The question a row asks, or why it cannot be asked. KeyError names a column that is not there."""
    row = {name: cell or "" for name, cell in row.items()}
    gpu = dataset_gpu(row["gpu"])
    if isinstance(gpu, Unmatched):
        return unknown_product(gpu, "gpu")
    value = number(row.get("value"))
    if value is None or value <= 0:
        problem = f"is {row.get('value')!r}, no measured value"
        return Problem(ProblemReason.INVALID_SPEC, "value", problem, "give a positive number")
    if number(row.get("tp")) is None:
        problem = "is blank, so how many GPUs the rate belongs to is not known"
        return Problem(ProblemReason.INVALID_SPEC, "tp", problem, "give 1 or more")
    try:
        architecture = architecture_of(row)
    except ValueError as error:
        problem = f"is {row['model']!r}, which cannot be built from its dimensions ({error})"
        return Problem(ProblemReason.INVALID_SPEC, "model", problem, "name a preset")
    setup = _setup(row, architecture, gpu)
    part = _decoding_part(setup, row, gpu)
    drafts = part.drafts if part else _drafts(setup, row["source"], gpu)
    setup = _decoding(setup, part) if part else setup
    parallelism = setup.parallelism
    gpus = parallelism.tensor * parallelism.pipeline * parallelism.data
    if gpus > _MOST_GPUS:
        problem = f"makes {gpus} GPUs of one replica"
        return Problem(ProblemReason.IMPOSSIBLE_LAYOUT, "tp", problem, f"give at most {_MOST_GPUS}")
    placement, aligned = Placement(Device(gpu), gpus), _aligned(setup, row["source"])
    return Question(setup, placement, row["metric"], value, _is_static(row), drafting(drafts), aligned)


def _setup(row: Mapping[str, str], architecture: Architecture, gpu: GPU) -> Inference:
    inputs, outputs = number(row.get("isl")), number(row.get("osl"))
    engine, parallelism = engine_of(row["source"]), parallelism_of(row, architecture, gpu)
    drawn = length_drawn(row["source"])
    return Inference(
        architecture=architecture,
        precisions=precisions_of(row, gpu, engine),
        phase=phase_of(row["metric"], parallelism),
        input_tokens=drawn * (inputs or _prompt_of_benchmark(architecture, outputs)),
        output_tokens=drawn * (outputs or 128.0),
        concurrency=_concurrency(row, parallelism),
        parallelism=parallelism,
        engine=engine,
        engine_version=version_of(row["source"]),
    )


def _decoding_part(setup: Inference, row: Mapping[str, str], gpu: GPU) -> DecodePart | None:
    """Of a pool larger than a node what decodes, by its published recipe: that part alone sets a token's time."""
    requests, gpus = setup.concurrency, setup.parallelism.data
    if not row["metric"].startswith(_TOKEN_TIMES) or gpus <= _NODE or not requests or requests <= 0:
        return None
    nominal = round(setup.input_tokens / length_drawn(row["source"]))
    return decode_part(_named(setup, gpu), input_tokens=nominal, gpus=gpus, concurrency=requests)


def _decoding(setup: Inference, part: DecodePart) -> Inference:
    layout = Parallelism(tensor=part.tensor, data=part.groups, expert=part.tensor * part.groups)
    own = max(1.0, (setup.concurrency or 1.0) / part.workers)
    return replace(setup, parallelism=layout, concurrency=own, phase=Phase.DECODE)


def _drafts(setup: Inference, source: str, gpu: GPU) -> int:
    if setup.concurrency is None:
        return 0
    layout, drawn = setup.parallelism, length_drawn(source)
    lengths = (round(setup.input_tokens / drawn), round(setup.output_tokens / drawn), setup.concurrency)
    return drafts_of(source, (*_named(setup, gpu), layout.tensor, layout.data, layout.expert, *lengths))


def _aligned(setup: Inference, source: str) -> bool:
    """InferenceX's recipes set TensorRT-LLM's `attention_dp_config.enable_balance`, which is off by default."""
    return setup.engine == "tensorrtllm" and by_recipe(source)


def _named(setup: Inference, gpu: GPU) -> tuple[str, str, str, str]:
    return (setup.architecture.name, gpu.api_name, str(setup.engine), str(setup.precisions.weights))


def _concurrency(row: Mapping[str, str], parallelism: Parallelism) -> float | None:
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
    return stated * groups if stated < groups <= _NODE else stated


def _prompt_of_benchmark(architecture: Architecture, outputs: float | None) -> float:
    """A blank prompt length: that of the MLPerf data set with this answer length, else as long as the answer."""
    outputs = outputs or _PROMPT
    size = count(architecture).total
    known = [prompt for parameters, answer, prompt in _BENCHMARKS if _near(size, parameters) and _near(outputs, answer)]
    return known[0] if known else outputs


def _near(value: float, reference: float) -> bool:
    return abs(value - reference) <= 0.1 * reference


def number(text: str | None) -> float | None:
    """The number a cell holds; None for blank, "max (unstated)" and everything else that is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def engine_of(source: str) -> str:
    """The serving engine that a source names: `engine_of("… id=dsr1_b200_sglang_fp8_agg") == "sglang"`."""
    text = source.lower()
    return next((name for name, pattern in _ENGINES if re.search(pattern, text)), UNSTATED)


def version_of(source: str) -> str | None:
    """The release that a source names: `version_of("… (rocm6.4.1_vllm_0.9.1_20250715)") == "0.9"`."""
    found = re.search(r"(?:\bv|vllm_)(\d+\.\d+)", source)
    return found[1] if found else None


def named_concurrency(source: str) -> float | None:
    """Requests at once by a run's name: `named_concurrency("… id=dsr1_b200_trtllm_1024x1024_c256_cfg192") == 256.0`.

    None where it has no name, or one that does not say.
    """
    found = re.search(r" id=\S*_c(\d+)(?:_|$)", source)
    return float(found[1]) if found else None


def source_of(row: Mapping[str, str]) -> str:
    """Where a row was published; what names the single run is cut off."""
    return (row.get("source") or "").split(" id=")[0]


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


def phase_of(metric: str, parallelism: Parallelism) -> Phase:
    """More attention groups than a node has GPUs are built with prefill and decode apart: no prompts among decodes."""
    if re.search(r"prefill|first token|input_tok", metric):
        return Phase.PREFILL
    return Phase.DECODE if "(decode)" in metric or parallelism.data > _NODE else Phase.MIXED


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
    rack = gpu.nvlink_domain_gpus > _NODE and tensor > _NODE
    if architecture.heads % tensor or (rack and architecture.moe is not None):
        tensor, groups = 1, tensor * groups
    return Parallelism(tensor=tensor, pipeline=pipeline, data=groups, expert=expert)


def _is_static(row: Mapping[str, str]) -> bool:
    """Latencies and rates per GPU are published for batches that start together, totals for closed loops."""
    loop = row["metric"].startswith(_CLOSED_LOOP)
    return number(row.get("concurrency_or_batch")) is not None and not loop


def architecture_of(row: Mapping[str, str]) -> Architecture:
    """The preset with the row's dimensions and parameter count; else the columns, with experts derived from the counts.

    Columns show neither experts nor latent attention, so a preset is preferred; it is found by numbers, not by name.
    """
    layers, hidden, heads, kv_heads, head_dim, ffn, vocab = (_size(row, key) for key in _DIMENSIONS)
    total, active = number(row.get("params_b")), number(row.get("active_params_b"))
    known = _known(layers, hidden, heads, (total or 0.0) * 1e9)
    if known is not None:
        return known
    base = Architecture(row["model"], layers, hidden, heads, kv_heads, head_dim, ffn, vocab)
    if total and active and 0 < active < 0.95 * total:
        return _mixture(base, total * 1e9, active * 1e9)
    return _dense(base, (total or 0.0) * 1e9)


def _size(row: Mapping[str, str], key: str) -> int:
    """A whole number of at least one; raises ValueError that names the column."""
    value = number(row[key])
    if value is None or not 1 <= value <= _LARGEST:
        raise ValueError(f"{key} is {row[key]!r}")
    return int(value)


@lru_cache(maxsize=4096)
def _known(layers: int, hidden: int, heads: int, total: float) -> Architecture | None:
    """The preset of those dimensions whose parameter count is nearest, None beyond 3 %."""
    same = [each for each in _presets() if (each.layers, each.hidden, each.heads) == (layers, hidden, heads)]
    near = [each for each in same if abs(count(each).total - total) <= 0.03 * total]
    return min(near, key=lambda each: abs(count(each).total - total), default=None)


@lru_cache(maxsize=1)
def _presets() -> tuple[Architecture, ...]:
    return tuple(preset(name) for name in names())


def _mixture(base: Architecture, total: float, active: float) -> Architecture:
    """Experts and top-k from the two parameter counts, every layer a mixture of `ffn`-wide gated experts."""
    rest = _attention_weights(base) + 2 * base.vocab * base.hidden
    expert = 3.0 * base.hidden * base.ffn * base.layers
    experts = max(2, round((total - rest) / expert))
    top_k = min(experts, max(1, round((active - rest) / expert)))
    return replace(base, moe=MoE(experts=experts, top_k=top_k, expert_ffn=base.ffn))


def _dense(base: Architecture, total: float) -> Architecture:
    """Gated or plain FFN, whichever comes nearer to the published count."""
    rest = total - _attention_weights(base)
    ffn = base.layers * base.hidden * base.ffn
    plain = total > 0 and abs(rest - 2 * ffn) < abs(rest - 3 * ffn)
    return replace(base, gated_ffn=not plain)


def _attention_weights(base: Architecture) -> float:
    return 2.0 * base.layers * base.hidden * base.head_dim * (base.heads + base.kv_heads)
