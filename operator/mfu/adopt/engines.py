"""Engines and frameworks: how to recognise one, and under which names it keeps what a declaration needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Keys = tuple[str, ...]

_NO_IMAGE = re.compile("$^")
_IMAGES = {
    "vLLM": re.compile(r"vllm/vllm-openai|/vllm(-openai)?:"),
    "SGLang": re.compile(r"sglang"),
    "TGI": re.compile(r"text-generation-inference"),
    "TensorRT-LLM": re.compile(r"tensorrt-?llm"),
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

    def at(self, thing: str) -> Keys:
        return self.keys.get(thing, ())


def _engine(
    name: str,
    marks: str,
    *,
    serves: bool,
    habits: Mapping[str, int] | None = None,
    like: Mapping[str, str] | None = None,
    **keys: str,
) -> EngineKeys:
    keys = {**(like or {}), **keys}
    split = {thing: tuple(words.split()) for thing, words in keys.items()}
    return EngineKeys(name, serves, re.compile(marks), split, habits or {}, _IMAGES.get(name, _NO_IMAGE))


_VLLM = {
    "model": "model env.model env.model_id env.model_name env.hf_model env.vllm_model",
    "tensor": "tensor_parallel_size tp",
    "pipeline": "pipeline_parallel_size pp",
    "data": "data_parallel_size dp",
    "expert": "enable_expert_parallel",
    "concurrency": "max_num_seqs",
    "batch_tokens": "max_num_batched_tokens",
    "context_length": "max_model_len",
    "quantization": "quantization q",
    "cache": "kv_cache_dtype",
    "dtype": "dtype",
}

SERVING: tuple[EngineKeys, ...] = (
    _engine(
        "Dynamo",
        r"\bdynamo\.(vllm|sglang|trtllm)\b|\bdynamo (run|serve)\b",
        serves=True,
        like=_VLLM,
        model="model model_path",
        tensor="tensor_parallel_size tp tp_size",
    ),
    _engine(
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
        phase="disaggregation_mode",
        habits={"batch_tokens": 8192},
    ),
    _engine(
        "TGI",
        r"text-generation-(launcher|inference)",
        serves=True,
        model="model_id env.model_id",
        tensor="num_shard env.num_shard",
        concurrency="max_concurrent_requests env.max_concurrent_requests",
        batch_tokens="max_batch_prefill_tokens env.max_batch_prefill_tokens",
        context_length="max_total_tokens env.max_total_tokens",
        quantization="quantize env.quantize",
        dtype="dtype env.dtype",
        habits={"concurrency": 128, "batch_tokens": 4096},
    ),
    _engine(
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
        cache="kv_cache_dtype",
        habits={"batch_tokens": 8192},
    ),
    _engine("Triton", r"\btritonserver\b|nvcr\.io/nvidia/tritonserver", serves=True, model="model", tensor="tp"),
    _engine(
        "vLLM",
        r"\bvllm\b|huggingfaceserver|rayproject/ray-llm|ray\.serve\.llm|llm-d-cuda|lmcache",
        serves=True,
        like=_VLLM,
        model=f"{_VLLM['model']} model_id",
    ),
)

_BATCH = "global_batch_size train_global_batch_size"

TRAINING: tuple[EngineKeys, ...] = (
    _engine(
        "Megatron",
        r"megatron|pretrain_gpt|pretrain_llama|pretrain_mamba",
        serves=False,
        model="model_type_name",
        sequence="seq_length encoder_seq_length",
        global_batch=_BATCH,
        micro_batch="micro_batch_size",
        tensor="tensor_model_parallel_size",
        pipeline="pipeline_model_parallel_size",
        context="context_parallel_size",
        expert_degree="expert_model_parallel_size",
        distributed_optimizer="use_distributed_optimizer",
        recompute="recompute_granularity",
        selective="recompute_activations",
        full_recompute="checkpoint_activations",
        half="fp16",
        fp8="fp8_format fp8",
        optimizer="optimizer",
        habits={"micro_batch": 1},
    ),
    _engine(
        "NeMo",
        r"\bnemo\b|nemo_run|megatron_gpt_pretraining|nvcr\.io/nvidia/nemo",
        serves=False,
        model="factory restore_from_path model.restore_from_path",
        sequence="data.seq_length model.encoder_seq_length encoder_seq_length seq_length",
        global_batch="data.global_batch_size model.global_batch_size global_batch_size",
        micro_batch="data.micro_batch_size model.micro_batch_size micro_batch_size",
        tensor="tensor_model_parallel_size",
        pipeline="pipeline_model_parallel_size",
        context="context_parallel_size",
        expert_degree="expert_model_parallel_size",
        recompute="activations_checkpoint_granularity recompute_granularity",
        optimizer="optim.name",
    ),
    _engine(
        "torchtitan",
        r"torchtitan|run_train\.sh",
        serves=False,
        model="model.flavor",
        family="model.name",
        file="job.config_file env.config_file",
        sequence="training.seq_len",
        global_batch="training.global_batch_size",
        micro_batch="training.local_batch_size training.batch_size",
        tensor="parallelism.tensor_parallel_degree training.tensor_parallel_degree",
        pipeline="parallelism.pipeline_parallel_degree experimental.pipeline_parallel_degree",
        context="parallelism.context_parallel_degree experimental.context_parallel_degree",
        expert_degree="parallelism.expert_parallel_degree",
        replicate="parallelism.data_parallel_replicate_degree training.data_parallel_replicate_degree",
        recompute="activation_checkpoint.mode",
        optimizer="optimizer.name",
        sharded="always",
    ),
    _engine(
        "torchtune",
        r"\btune run\b|torchtune",
        serves=False,
        model="config",
        sequence="tokenizer.max_seq_len max_seq_len",
        micro_batch="batch_size",
        accumulation="gradient_accumulation_steps",
        full_recompute="enable_activation_checkpointing",
        optimizer="optimizer._component_ optimizer",
        sharded="always",
    ),
    _engine(
        "Axolotl",
        r"axolotl",
        serves=False,
        model="base_model",
        sequence="sequence_len",
        micro_batch="micro_batch_size",
        accumulation="gradient_accumulation_steps",
        adapter="adapter",
        full_recompute="gradient_checkpointing",
        optimizer="optimizer",
        fsdp="fsdp fsdp_config.fsdp_sharding_strategy",
        deepspeed="deepspeed",
        tensor="tensor_parallel_size",
        context="context_parallel_size sequence_parallel_degree",
    ),
    _engine(
        "llm-foundry",
        r"llm-?foundry|\bcomposer\b",
        serves=False,
        model="model.pretrained_model_name_or_path pretrained_model_name_or_path file_model",
        sequence="max_seq_len",
        global_batch="global_train_batch_size",
        micro_batch="device_train_microbatch_size",
        fsdp="fsdp_config.sharding_strategy",
        full_recompute="fsdp_config.activation_checkpointing",
        optimizer="optimizer.name",
        sharded="always",
    ),
    _engine(
        "MaxText",
        r"maxtext",
        serves=False,
        model="model_name",
        sequence="max_target_length",
        micro_batch="per_device_batch_size",
        accumulation="gradient_accumulation_steps",
        tensor="ici_tensor_parallelism",
        pipeline="ici_pipeline_parallelism",
        context="ici_context_parallelism",
        expert_degree="ici_expert_parallelism",
        remat="remat_policy",
        quantization="quantization",
        sharded="always",
        habits={"micro_batch": 12, "sequence": 2048},
    ),
    _engine(
        "Hugging Face Trainer",
        r"accelerate launch|run_[cm]lm\.py|sft\.py|sft_trainer|\btrl\b|per_device_train_batch_size|transformers",
        serves=False,
        model="model_name_or_path model_name model_id base_model env.model_name env.model_id",
        sequence="max_seq_length max_length block_size model_max_length cutoff_len",
        micro_batch="per_device_train_batch_size",
        accumulation="gradient_accumulation_steps",
        full_recompute="gradient_checkpointing",
        adapter="use_peft lora_r use_lora",
        fsdp="fsdp",
        deepspeed="deepspeed",
        half="fp16",
        optimizer="optim",
        habits={"micro_batch": 8},
    ),
    _engine(
        "DeepSpeed",
        r"\bdeepspeed\b",
        serves=False,
        model="model_name_or_path model_name model env.model_name",
        sequence="max_seq_length max_seq_len seq_length block_size max_length",
        global_batch="train_batch_size",
        micro_batch="train_micro_batch_size_per_gpu per_device_train_batch_size",
        accumulation="gradient_accumulation_steps",
        stage="zero_optimization.stage",
        deepspeed="deepspeed_config deepspeed",
        half="fp16.enabled fp16",
        optimizer="optimizer.type",
    ),
    _engine(
        "PyTorch",
        r"torchrun|torch\.distributed|pytorch",
        serves=False,
        model="model_name_or_path model_name model env.model_name",
        sequence="max_seq_length seq_length seq_len max_length block_size max_context_width",
        global_batch=_BATCH,
        micro_batch="per_device_train_batch_size batch_size micro_batch_size",
        accumulation="gradient_accumulation_steps",
        fsdp="sharding_strategy fsdp",
    ),
)
