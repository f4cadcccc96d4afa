"""Serving engines, and what is known of any engine: how to recognise one, and where it keeps what is declared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Keys = tuple[str, ...]

_NO_IMAGE = re.compile("$^")
_PACKAGES = {"Hugging Face Trainer": "transformers", "TensorRT-LLM": "tensorrt[-_]llm", "Megatron": "megatron[-_]core"}
"""Python packages that are not called as their engine is."""
_CALENDAR = frozenset({"NeMo", "Triton"})
"""Whose own releases are named by the year and month, as all images of NVIDIA's registry are."""
_IMAGES = {
    "vLLM": re.compile(r"(?<!lmcache)/vllm-openai:|^vllm-openai:|/vllm:\d+\.\d+\.\d"),
    "SGLang": re.compile(r"sglang"),
    "TGI": re.compile(r"text-generation-inference"),
    "TensorRT-LLM": re.compile(r"tensorrt-?llm"),
    "NIM": re.compile(r"/nim/"),
    "LMDeploy": re.compile(r"lmdeploy"),
    "Ollama": re.compile(r"ollama/ollama:"),
    "Triton": re.compile(r"tritonserver"),
    "Dynamo": re.compile(r"ai-dynamo/"),
    "NeMo": re.compile(r"nvidia/nemo"),
    "Axolotl": re.compile(r"axolotl"),
    "llm-foundry": re.compile(r"llm-?foundry"),
    "Hugging Face Trainer": re.compile(r"huggingface/transformers"),
    "DeepSpeed": re.compile(r"deepspeed/deepspeed"),
    "PyTorch": re.compile(r"pytorch/pytorch"),
}


@dataclass(frozen=True, slots=True)
class EngineKeys:
    """One engine. `keys` gives for each thing the settings that hold it, in order."""

    name: str
    serves: bool
    marks: re.Pattern[str]
    """Found in the command or the image."""
    keys: Mapping[str, Keys]
    habits: Mapping[str, int] = field(default_factory=dict)
    """Defaults of the engine, with its documentation as the source."""
    image: re.Pattern[str] = _NO_IMAGE
    """Images whose tag is the engine's own version."""
    spreads: bool = False
    """Whether it splits the model over all GPUs that it sees unless told; the others take one."""

    @property
    def by_calendar(self) -> bool:
        """Whether 25.04 may be a version of it, or only that of the image."""
        return self.name in _CALENDAR

    def pinned(self, text: str) -> str:
        """The version that a launch script installs: `pip install vllm==0.8.5`; "" where it names none."""
        package = _PACKAGES.get(self.name) or re.escape(self.name.lower())
        found = (
            re.search(rf"(?<![\w-]){package}(\[[\w,]*\])?\s*==\s*(\d+(\.\d+)+)", text.lower()) if self.name else None
        )
        return found[2] if found else ""

    def at(self, thing: str) -> Keys:
        return self.keys.get(thing, ())


def engine_of(
    name: str,
    marks: str,
    *,
    serves: bool,
    spreads: bool = False,
    habits: Mapping[str, int] | None = None,
    like: Mapping[str, str] | None = None,
    **keys: str,
) -> EngineKeys:
    keys = {**(like or {}), **keys}
    split = {thing: tuple(words.split()) for thing, words in keys.items()}
    return EngineKeys(name, serves, re.compile(marks), split, habits or {}, _IMAGES.get(name, _NO_IMAGE), spreads)


_VLLM = {
    "model": "model env.model env.model_id env.model_name env.hf_model env.vllm_model",
    "tensor": "tensor_parallel_size tp tensor_parallelism",
    "pipeline": "pipeline_parallel_size pp",
    "data": "data_parallel_size dp",
    "expert": "enable_expert_parallel",
    "concurrency": "max_num_seqs",
    "batch_tokens": "max_num_batched_tokens",
    "context_length": "max_model_len",
    "quantization": "quantization q",
    "cache": "kv_cache_dtype",
    "dtype": "dtype",
    "uncompiled": "enforce_eager",
}

SERVING: tuple[EngineKeys, ...] = (
    engine_of(
        "NIM",
        r"nvcr\.io/nim/|nvidia-nim-",
        serves=True,
        spreads=True,
        model="env.nim_model_name model_name env.nim_served_model_name nim_image",
        tensor="env.nim_tensor_parallel_size",
        pipeline="env.nim_pipeline_parallel_size",
        context_length="env.nim_max_model_len",
    ),
    engine_of(
        "LMDeploy",
        r"\blmdeploy\b",
        serves=True,
        model="model_path",
        tensor="tp",
        data="dp",
        expert_degree="ep",
        concurrency="max_batch_size",
        batch_tokens="max_prefill_token_num",
        context_length="session_len",
        dtype="dtype",
    ),
    engine_of(
        "Dynamo",
        r"\bdynamo\.(vllm|sglang|trtllm)\b|\bdynamo (run|serve)\b",
        serves=True,
        like=_VLLM,
        model="model model_path",
        tensor="tensor_parallel_size tp tp_size",
        uncompiled="enforce_eager disable_cuda_graph",
    ),
    engine_of(
        "SGLang",
        r"\bsglang\b",
        serves=True,
        model="model_path model env.model_path env.model",
        tensor="tp_size tp tensor_parallel_size",
        pipeline="pp_size pp pipeline_parallel_size",
        data="dp_size dp data_parallel_size",
        inside="enable_dp_attention",
        expert_degree="ep_size ep expert_parallel_size",
        concurrency="max_running_requests",
        batch_tokens="chunked_prefill_size",
        context_length="context_length",
        quantization="quantization",
        cache="kv_cache_dtype",
        dtype="dtype",
        uncompiled="disable_cuda_graph",
        phase="disaggregation_mode",
        habits={"batch_tokens": 8192},
    ),
    engine_of(
        "TGI",
        r"text-generation-(launcher|inference)",
        serves=True,
        spreads=True,
        model="model_id env.model_id",
        tensor="num_shard env.num_shard",
        concurrency="max_concurrent_requests env.max_concurrent_requests",
        batch_tokens="max_batch_prefill_tokens env.max_batch_prefill_tokens",
        context_length="max_total_tokens env.max_total_tokens",
        quantization="quantize env.quantize",
        dtype="dtype env.dtype",
        habits={"concurrency": 128, "batch_tokens": 4096},
    ),
    engine_of(
        "TensorRT-LLM",
        r"trtllm-serve|tensorrt_?llm|tensorrtllm",
        serves=True,
        model="model env.model env.hf_model",
        tensor="tp_size tp env.tp_size",
        pipeline="pp_size pp",
        expert_degree="ep_size",
        concurrency="max_batch_size",
        batch_tokens="max_num_tokens",
        context_length="max_seq_len",
        cache="kv_cache_dtype kv_cache_config.dtype",
        habits={"batch_tokens": 8192},
    ),
    engine_of(
        "llama.cpp",
        r"llama-server|llama\.cpp\b|llama_cpp\.server",
        serves=True,
        spreads=True,
        model="hf_repo hf hfr model m env.llama_arg_hf_repo env.llama_arg_model",
        concurrency="parallel np env.llama_arg_n_parallel",
        context_length="ctx_size c env.llama_arg_ctx_size",
    ),
    engine_of("Ollama", r"\bollama\b", serves=True, spreads=True, model="env.ollama_model"),
    engine_of(
        "Triton",
        r"\btritonserver\b|nvcr\.io/nvidia/tritonserver",
        serves=True,
        spreads=True,
        model="model",
        tensor="tp tensor_para_size",
        pipeline="pp pipeline_para_size",
    ),
    engine_of(
        "vLLM",
        r"\bvllm\b|huggingfaceserver|rayproject/ray-llm|ray\.serve\.llm|llm-d-(cuda|rocm|xpu)|lmcache",
        serves=True,
        like=_VLLM,
        model=f"{_VLLM['model']} model_id",
    ),
)
