"""What `layouts.py` runs: layouts that no other recording has, on one, two and four GPUs of a host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from e2e.recordings.llama import LLAMA_3B, LLAMA_8B

DEEP: Final = LLAMA_8B | {"num_hidden_layers": 16}
LLAMA_1B: Final = LLAMA_8B | {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 16,
}  # fmt: skip
HF_LLAMA_1B: Final = LLAMA_1B | {
    "num_attention_heads": 32, "head_dim": 64, "tie_word_embeddings": True,
}  # fmt: skip
HF_LLAMA_3B: Final = LLAMA_3B | {"head_dim": 128, "tie_word_embeddings": True}
QWEN_06B: Final = {
    "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 32768,
}  # fmt: skip
QWEN_MOE: Final = {
    "model_type": "qwen3_moe", "hidden_size": 1024, "intermediate_size": 3072, "moe_intermediate_size": 512,
    "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 64,
    "num_experts_per_tok": 8, "vocab_size": 151936, "tie_word_embeddings": False, "max_position_embeddings": 32768,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
}  # fmt: skip
MIXTRAL_SMALL: Final = {
    "model_type": "mixtral", "hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 12,
    "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "max_position_embeddings": 32768, "tie_word_embeddings": False, "sliding_window": None,
}  # fmt: skip

MIXTRAL_SPREAD: Final = MIXTRAL_SMALL | {
    "hidden_size": 2048, "num_attention_heads": 16, "head_dim": 128, "num_local_experts": 16,
}  # fmt: skip
MANY_SPREAD: Final = MIXTRAL_SPREAD | {"intermediate_size": 768, "num_local_experts": 64, "num_experts_per_tok": 8}


@dataclass(frozen=True)
class Case:
    """One setting. `weights` fp32: masters in FP32, computed in BF16 (gathered so by FSDP, else by autocast);
    `accumulation` micro-batches a step, which a pipeline takes at once; `synced` exchanges gradients in each."""

    scenario: str
    group: str
    gpus: int
    config: dict[str, Any]
    micro_batch: int
    seq_len: int
    program: str = "llama"
    weights: str = "fp32"
    sharding: str = "fsdp"
    tensor: int = 1
    pipeline: int = 1
    virtual_pipeline: int = 1
    context: int = 1
    expert: int = 1
    accumulation: int = 1
    recompute: str = "none"
    attn: str = "sdpa"
    compiled: bool = False
    prefetch: str = "default"
    synced: bool = True
    experts: str = ""

    @property
    def data(self) -> int:
        return self.gpus // (self.tensor * self.pipeline * self.context)

    @property
    def is_fsdp(self) -> bool:
        return self.sharding in ("fsdp", "zero2")

    @property
    def engine(self) -> str:
        """Whose habits it has: FP32 masters that are gathered in 16 bit are torchtitan's."""
        if self.program == "transformers":
            return "Transformers"
        return "torchtitan" if self.is_fsdp and self.weights == "fp32" else "PyTorch"

    def declared(self) -> dict[str, Any]:
        """Weights as their owner would declare them: FSDP keeps one copy, the masters, and gathers it in 16 bit."""
        held = "bf16" if self.engine == "torchtitan" else self.weights
        return {"engine": self.engine, "weights": held, "precision": "bf16", "data_parallel": self.data}


def tiny(case: Case) -> Case:
    """The same on CPUs, to try it."""
    small = {
        "hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 8, "vocab_size": 256, "num_hidden_layers": 8,
    }  # fmt: skip
    config = case.config | {name: value for name, value in small.items() if name in case.config}
    return replace(case, config=config, seq_len=64, micro_batch=min(case.micro_batch, 2))


def _hf(scenario: str, group: str, gpus: int, config: dict[str, Any], rows: int, length: int, **more: Any) -> Case:
    return Case(scenario, group, gpus, config, rows, length, **{"program": "transformers", **more})


ALONE: Final = (
    _hf("qwen-moe-eager", "moe", 1, QWEN_MOE, 4, 2048, weights="bf16", sharding="ddp", experts="eager"),
    _hf("qwen-moe-grouped", "moe", 1, QWEN_MOE, 4, 2048, weights="bf16", sharding="ddp", experts="grouped_mm"),
    _hf("mixtral-eager", "moe", 1, MIXTRAL_SMALL, 4, 2048, weights="bf16", sharding="ddp", experts="eager"),
    _hf("mixtral-grouped", "moe", 1, MIXTRAL_SMALL, 4, 2048, weights="bf16", sharding="ddp", experts="grouped_mm"),
    _hf("qwen-moe-eager-ckpt", "moe", 1, QWEN_MOE, 4, 4096, weights="bf16", sharding="ddp", experts="eager",
        recompute="full"),
    _hf("qwen-moe-grouped-ckpt", "moe", 1, QWEN_MOE, 4, 4096, weights="bf16", sharding="ddp", experts="grouped_mm",
        recompute="full"),
    _hf("qwen-moe-grouped-amp", "moe", 1, QWEN_MOE, 4, 2048, sharding="ddp", experts="grouped_mm"),
    _hf("qwen06-32k-ckpt", "long", 1, QWEN_06B, 1, 32768, weights="bf16", sharding="ddp", recompute="full"),
    _hf("llama1b-16k", "long", 1, HF_LLAMA_1B, 1, 16384, weights="bf16", sharding="ddp"),
    Case("llama1b-selective-alone", "recompute", 1, LLAMA_1B, 4, 4096, weights="bf16", sharding="ddp",
         recompute="selective"),
    Case("llama1b-full-alone-compiled", "recompute", 1, LLAMA_1B, 4, 4096, weights="bf16", sharding="ddp",
         recompute="full", compiled=True),
    Case("llama1b-amp-alone", "recompute", 1, LLAMA_1B, 2, 4096, sharding="ddp"),
)  # fmt: skip

PAIRS: Final = (
    Case("tp2-3b-4k", "tensor", 2, LLAMA_3B, 2, 4096, tensor=2),
    Case("tp2-1b-2k-compiled", "tensor", 2, LLAMA_1B, 8, 2048, tensor=2, compiled=True),
    Case("tp2-1b-1k", "tensor", 2, LLAMA_1B, 1, 1024, tensor=2),
    Case("tp2-3b-8k-full", "tensor", 2, LLAMA_3B, 2, 8192, tensor=2, recompute="full"),
    _hf("ddp2-llama1b-amp-accum4", "accumulation", 2, HF_LLAMA_1B, 2, 2048, sharding="ddp", accumulation=4,
        synced=False),
    _hf("ddp2-qwen06-accum8", "accumulation", 2, QWEN_06B, 1, 1024, weights="bf16", sharding="ddp", accumulation=8,
        synced=False),
    _hf("ddp2-llama3b-ckpt-accum2", "accumulation", 2, HF_LLAMA_3B, 2, 4096, weights="bf16", sharding="ddp",
        recompute="full", accumulation=2, synced=False),
    _hf("zero1-2-llama1b-amp", "zero1", 2, HF_LLAMA_1B, 2, 4096, sharding="zero1"),
    _hf("zero1-2-llama3b-bf16", "zero1", 2, HF_LLAMA_3B, 1, 4096, weights="bf16", sharding="zero1"),
    Case("fsdp2-3b-4k-ahead-none", "sharding", 2, LLAMA_3B, 1, 4096, prefetch="none"),
    Case("fsdp2-3b-4k", "sharding", 2, LLAMA_3B, 1, 4096),
    Case("fsdp2-3b-kept", "sharding", 2, LLAMA_3B, 1, 4096, sharding="zero2"),
    Case("fsdp2-1b-accum4", "accumulation", 2, LLAMA_1B, 1, 2048, accumulation=4),
    Case("fsdp2-1b-accum4-once", "accumulation", 2, LLAMA_1B, 1, 2048, accumulation=4, synced=False),
    Case("pp2-3b-m4", "pipeline", 2, LLAMA_3B, 1, 4096, pipeline=2, accumulation=4, weights="bf16", sharding="ddp"),
    Case("pp2-1b-m8", "pipeline", 2, LLAMA_1B, 2, 2048, pipeline=2, accumulation=8, weights="bf16", sharding="ddp"),
    Case("cp2-1b-16k", "context", 2, LLAMA_1B, 1, 16384, context=2),
    Case("cp2-3b-16k-full", "context", 2, LLAMA_3B, 1, 16384, context=2, recompute="full"),
    _hf("fsdp2-qwen-moe-eager", "moe", 2, QWEN_MOE, 2, 2048, experts="eager"),
    Case("ep2-mixtral-4k", "expert", 2, MIXTRAL_SPREAD, 2, 4096, weights="bf16", expert=2),
    Case("ep2-many-4k", "expert", 2, MANY_SPREAD, 2, 4096, weights="bf16", expert=2),
    Case("ep2-mixtral-1k", "expert", 2, MIXTRAL_SPREAD, 1, 1024, weights="bf16", expert=2),
    Case("ep2-mixtral-8k-full", "expert", 2, MIXTRAL_SPREAD, 1, 8192, weights="bf16", expert=2, recompute="full"),
    _hf("fsdp2-qwen-moe-grouped", "moe", 2, QWEN_MOE, 2, 2048, experts="grouped_mm"),
)  # fmt: skip

FOURS: Final = (
    Case("tp4-8b-4k", "tensor", 4, LLAMA_8B, 2, 4096, tensor=4),
    Case("tp2-fsdp2-8b-4k", "tensor", 4, LLAMA_8B, 2, 4096, tensor=2),
    Case("fsdp4-8b-4k-ahead-none", "sharding", 4, LLAMA_8B, 1, 4096, prefetch="none"),
    Case("fsdp4-8b-4k", "sharding", 4, LLAMA_8B, 1, 4096),
    Case("fsdp4-8b-4k-ahead-two", "sharding", 4, LLAMA_8B, 1, 4096, prefetch="two"),
    Case("pp4-3b-m8", "pipeline", 4, LLAMA_3B, 1, 4096, pipeline=4, accumulation=8, weights="bf16", sharding="ddp"),
    Case("cp4-3b-32k", "context", 4, LLAMA_3B, 1, 32768, context=4, recompute="full"),
    _hf("ddp4-llama1b-amp-accum4", "accumulation", 4, HF_LLAMA_1B, 2, 2048, sharding="ddp", accumulation=4,
        synced=False),
    _hf("zero1-4-llama1b-bf16", "zero1", 4, HF_LLAMA_1B, 4, 2048, weights="bf16", sharding="zero1"),
    _hf("fsdp4-qwen-moe-eager", "moe", 4, QWEN_MOE, 4, 2048, experts="eager"),
    _hf("fsdp4-qwen-moe-grouped", "moe", 4, QWEN_MOE, 4, 2048, experts="grouped_mm"),
    Case("pp2-fsdp2-3b-m4", "pipeline", 4, LLAMA_3B, 1, 4096, pipeline=2, accumulation=4),
    Case("tp2-fsdp2-8b-4k-compiled", "tensor", 4, LLAMA_8B, 2, 4096, tensor=2, compiled=True),
    Case("tp4-3b-2k-b8", "tensor", 4, LLAMA_3B, 8, 2048, tensor=4),
    Case("cp2-fsdp2-3b-8k", "context", 4, LLAMA_3B, 2, 8192, context=2),
    Case("fsdp4-3b-accum4", "accumulation", 4, LLAMA_3B, 1, 2048, accumulation=4),
    Case("fsdp4-3b-accum4-once", "accumulation", 4, LLAMA_3B, 1, 2048, accumulation=4, synced=False),
    Case("pp4-8b-m8", "pipeline", 4, LLAMA_8B, 1, 4096, pipeline=4, accumulation=8, weights="bf16", sharding="ddp"),
    Case("pp4-3b-m8-v2", "pipeline", 4, LLAMA_3B | {"num_hidden_layers": 32}, 1, 4096, pipeline=4, accumulation=8,
         virtual_pipeline=2, weights="bf16", sharding="ddp"),
    Case("pp4-8b-m16-full", "pipeline", 4, LLAMA_8B, 1, 4096, pipeline=4, accumulation=16, weights="bf16",
         sharding="ddp", recompute="full"),
    Case("tp2-fsdp2-deep-8k-selective", "recompute", 4, DEEP, 2, 8192, tensor=2, recompute="selective"),
    Case("fsdp4-8b-8k-full", "recompute", 4, LLAMA_8B, 1, 8192, recompute="full"),
    Case("fsdp4-8b-kept", "sharding", 4, LLAMA_8B, 1, 4096, sharding="zero2"),
    _hf("fsdp4-hf3b-bf16", "sharding", 4, HF_LLAMA_3B, 2, 4096, weights="bf16"),
    _hf("zero1-4-llama1b-amp-accum2", "zero1", 4, HF_LLAMA_1B, 2, 2048, sharding="zero1", accumulation=2,
        synced=False),
    Case("cp4-8b-16k-full", "context", 4, LLAMA_8B, 1, 16384, context=4, recompute="full"),
    Case("tp4-8b-1k", "tensor", 4, LLAMA_8B, 1, 1024, tensor=4),
    Case("pp2-tp2-3b-m4", "pipeline", 4, LLAMA_3B, 1, 4096, pipeline=2, tensor=2, accumulation=4),
    _hf("ddp4-qwen06-accum8", "accumulation", 4, QWEN_06B, 1, 1024, weights="bf16", sharding="ddp", accumulation=8,
        synced=False),
    _hf("fsdp4-qwen-moe-grouped-ckpt", "moe", 4, QWEN_MOE, 8, 4096, experts="grouped_mm", recompute="full"),
)  # fmt: skip

CASES: Final = {case.scenario: case for case in (*ALONE, *PAIRS, *FOURS)}
