"""Steps and peak memory of the plain Hugging Face Trainer, as JSON lines that `mfu validate runs` reads.

    python3 e2e/recordings/trainer.py --out runs.jsonl --minutes 9                          # one GPU
    torchrun --nproc-per-node 2 e2e/recordings/trainer.py --out runs.jsonl --minutes 9      # DDP and FSDP
    NCCL_P2P_DISABLE=1 torchrun … --link pcie                                               # without NVLink

It needs torch and transformers, and starts no run once the minutes are over. A run that fails (it does not fit) is a
line with `error`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LLAMA_1B = {
    "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
    "tie_word_embeddings": True, "max_position_embeddings": 16384,
}  # fmt: skip
LLAMA_3B = LLAMA_1B | {
    "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24, "head_dim": 128,
}  # fmt: skip
TINY_LLAMA = LLAMA_1B | {
    "intermediate_size": 5632, "num_hidden_layers": 22, "num_key_value_heads": 4, "vocab_size": 32000,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN_06B = {
    "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 16384,
}  # fmt: skip
QWEN2_15B = {
    "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
    "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
    "max_position_embeddings": 16384,
}  # fmt: skip
GPT2_MEDIUM = {
    "model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16, "vocab_size": 50257, "n_positions": 1024,
}  # fmt: skip
PYTHIA_1B = {
    "model_type": "gpt_neox", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 8, "vocab_size": 50304, "max_position_embeddings": 2048,
}  # fmt: skip
PHI_2 = {
    "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 51200, "max_position_embeddings": 2048,
}  # fmt: skip
MISTRAL_SMALL_MOE = {
    "model_type": "mixtral", "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 12,
    "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "max_position_embeddings": 16384,
}  # fmt: skip
OPT_13B = {
    "model_type": "opt", "hidden_size": 2048, "ffn_dim": 8192, "num_hidden_layers": 24, "num_attention_heads": 32,
    "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 2048,
}  # fmt: skip
BLOOM_1B1 = {
    "model_type": "bloom", "hidden_size": 1536, "n_layer": 24, "n_head": 16, "vocab_size": 250880,
}  # fmt: skip
OLMO2_1B = {
    "model_type": "olmo2", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 100352, "tie_word_embeddings": False,
    "max_position_embeddings": 8192,
}  # fmt: skip
STARCODER2_3B = {
    "model_type": "starcoder2", "hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30,
    "num_attention_heads": 24, "num_key_value_heads": 2, "vocab_size": 49152, "max_position_embeddings": 16384,
    "tie_word_embeddings": True,
}  # fmt: skip
STABLELM_16B = {
    "model_type": "stablelm", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 100352, "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}  # fmt: skip
GEMMA_2B = {
    "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
    "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 256000,
    "max_position_embeddings": 8192,
}  # fmt: skip
GRANITE_2B = {
    "model_type": "granite", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 49152, "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}  # fmt: skip
HEADS = {"bert": "AutoModelForMaskedLM", "vit": "AutoModelForImageClassification"}
"""What is trained of an encoder; of everything else the next token."""


@dataclass(frozen=True)
class Run:
    """One setting. `weights` fp32 is autocast to BF16 over FP32 weights, bf16 is pure BF16; nothing is cast where
    `precision` is fp32 or tf32."""

    scenario: str
    config: dict[str, Any]
    weights: str
    micro_batch: int
    seq_len: int
    accumulation: int = 1
    recompute: str = "none"
    attn: str = "sdpa"
    compiled: bool = False
    optim: str = "adamw_torch_fused"
    sharding: str = "ddp"
    precision: str = "bf16"
    save_steps: int = 0


ALONE = (
    Run("llama1b-bf16", LLAMA_1B, "bf16", 4, 4096),
    Run("llama1b-bf16-compiled", LLAMA_1B, "bf16", 4, 4096, compiled=True),
    Run("llama1b-amp-short", LLAMA_1B, "fp32", 2, 512),
    Run("llama1b-amp-ckpt", LLAMA_1B, "fp32", 4, 4096, recompute="full"),
    Run("pythia1b-amp", PYTHIA_1B, "fp32", 4, 2048),
    Run("pythia1b-bf16", PYTHIA_1B, "bf16", 8, 2048),
    Run("tinyllama-bf16", TINY_LLAMA, "bf16", 8, 2048),
    Run("tinyllama-bf16-compiled", TINY_LLAMA, "bf16", 8, 2048, compiled=True),
    Run("tinyllama-amp", TINY_LLAMA, "fp32", 4, 2048),
    Run("tinyllama-bf16-eager", TINY_LLAMA, "bf16", 4, 2048, attn="eager"),
    Run("llama3b-bf16-ckpt", LLAMA_3B, "bf16", 4, 4096, recompute="full"),
    Run("llama3b-bf16-accum", LLAMA_3B, "bf16", 1, 4096, accumulation=4),
    Run("qwen2-1.5b-bf16", QWEN2_15B, "bf16", 4, 2048),
    Run("qwen2-1.5b-amp-ckpt", QWEN2_15B, "fp32", 4, 4096, recompute="full"),
    Run("qwen06-bf16-one", QWEN_06B, "bf16", 1, 512),
    Run("phi2-bf16", PHI_2, "bf16", 2, 2048),
    Run("phi2-bf16-ckpt-adafactor", PHI_2, "bf16", 8, 2048, recompute="full", optim="adafactor"),
    Run("gpt2m-amp", GPT2_MEDIUM, "fp32", 8, 1024),
    Run("gpt2m-bf16-compiled", GPT2_MEDIUM, "bf16", 16, 1024, compiled=True),
    Run("moe-bf16", MISTRAL_SMALL_MOE, "bf16", 4, 2048),
)
UNSEEN = (
    Run("opt-1.3b-bf16", OPT_13B, "bf16", 4, 2048),
    Run("opt-1.3b-amp", OPT_13B, "fp32", 2, 2048),
    Run("bloom-1b1-bf16", BLOOM_1B1, "bf16", 4, 1024, attn="eager"),
    Run("bloom-1b1-amp-ckpt", BLOOM_1B1, "fp32", 2, 2048, recompute="full", attn="eager"),
    Run("olmo2-1b-bf16", OLMO2_1B, "bf16", 4, 2048),
    Run("olmo2-1b-bf16-compiled", OLMO2_1B, "bf16", 4, 4096, compiled=True),
    Run("starcoder2-3b-bf16", STARCODER2_3B, "bf16", 2, 2048),
    Run("starcoder2-3b-bf16-long-ckpt", STARCODER2_3B, "bf16", 1, 16384, recompute="full"),
    Run("stablelm-1.6b-amp", STABLELM_16B, "fp32", 2, 4096),
    Run("stablelm-1.6b-bf16-compiled", STABLELM_16B, "bf16", 8, 2048, compiled=True),
    Run("gemma-2b-bf16", GEMMA_2B, "bf16", 2, 2048),
    Run("gemma-2b-bf16-ckpt", GEMMA_2B, "bf16", 4, 4096, recompute="full"),
    Run("granite-2b-bf16", GRANITE_2B, "bf16", 4, 2048),
    Run("granite-2b-bf16-short", GRANITE_2B, "bf16", 1, 512, accumulation=4),
    Run("qwen06-amp-long", QWEN_06B, "fp32", 1, 8192),
    Run("qwen06-bf16-compiled", QWEN_06B, "bf16", 8, 2048, compiled=True),
)
"""Kinds, widths and lengths that no other recording has: predicted before they were made."""
TOGETHER = (
    Run("llama1b-ddp-bf16", LLAMA_1B, "bf16", 4, 2048),
    Run("tinyllama-ddp-amp", TINY_LLAMA, "fp32", 4, 2048),
    Run("qwen2-1.5b-ddp-accum", QWEN2_15B, "bf16", 2, 2048, accumulation=4),
    Run("pythia1b-ddp-amp-short", PYTHIA_1B, "fp32", 2, 512),
    Run("gpt2m-ddp-amp", GPT2_MEDIUM, "fp32", 8, 1024),
    Run("llama1b-ddp-amp-ckpt", LLAMA_1B, "fp32", 4, 4096, recompute="full"),
    Run("llama1b-fsdp-amp", LLAMA_1B, "fp32", 2, 4096, sharding="fsdp"),
    Run("llama3b-fsdp-bf16-ckpt", LLAMA_3B, "bf16", 4, 4096, recompute="full", sharding="fsdp"),
    Run("qwen2-1.5b-fsdp-bf16", QWEN2_15B, "bf16", 2, 2048, sharding="fsdp"),
    Run("qwen06-fsdp-amp-short", QWEN_06B, "fp32", 2, 512, sharding="fsdp"),
    Run("tinyllama-fsdp-bf16", TINY_LLAMA, "bf16", 4, 2048, sharding="fsdp"),
    Run("tinyllama-fsdp-amp-accum", TINY_LLAMA, "fp32", 1, 1024, accumulation=4, sharding="fsdp"),
)
WARM_UP_STEPS, LEAST_STEPS, LEAST_SECONDS = 5, 6, 6.0
_SYNCHRONISED_EVERY = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument(
        "--link", default="nvlink", choices=["nvlink", "pcie"], help="between GPUs, where there are two"
    )
    parser.add_argument("--unseen", action="store_true", help="models that no other recording has")
    arguments = parser.parse_args()
    gpus, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    end = time.monotonic() + arguments.minutes * 60.0
    alone = UNSEEN if arguments.unseen else ALONE
    for run in alone if gpus == 1 else TOGETHER:
        if _over(end):
            break
        try:
            line = _trained(run, gpus) | {"link": arguments.link if gpus > 1 else ""}
        except Exception as error:  # a run that does not fit is a result too
            line = {"scenario": run.scenario, "error": repr(error)[:300]}
        if rank == 0:
            with Path(arguments.out).open("a") as file:
                file.write(json.dumps(line) + "\n")
            shown = line.get("error") or f"{line['step_s']:.4f} s, {line['peak_gib']:.1f} GiB"
            print(f"{run.scenario}: {shown}", flush=True)
        _let_go()


def _over(end: float) -> bool:
    return _any_says(time.monotonic() > end - 25.0)


def _any_says(mine: bool) -> bool:
    """Whether any rank says so: all must do the same, or some would wait for the others for ever."""
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        return mine
    told = torch.tensor([float(mine)], device="cuda")
    dist.all_reduce(told)
    return bool(told.item() > 0.0)


def _let_go() -> None:
    import torch

    # What a run with FSDP leaves behind would make FSDP of every later one.
    for name in [each for each in os.environ if each.startswith(("ACCELERATE_", "FSDP_"))]:
        del os.environ[name]
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()


def _trained(run: Run, gpus: int) -> dict[str, Any]:
    import torch
    import transformers
    from transformers import AutoConfig, Trainer

    torch.manual_seed(0)
    dtype = torch.float32 if run.weights == "fp32" else torch.bfloat16
    config = AutoConfig.for_model(**run.config)
    config.use_cache = False
    with torch.device("cuda"):
        kind_of_head = getattr(transformers, HEADS.get(config.model_type, "AutoModelForCausalLM"))
        model = kind_of_head.from_config(config, torch_dtype=dtype, attn_implementation=run.attn)
    params, kind = sum(each.numel() for each in model.parameters()), type(model).__name__
    clock = _clock()
    torch.cuda.reset_peak_memory_stats()
    data = _data(config, run.seq_len, dtype)
    Trainer(model=model, args=_arguments(run, model, gpus), train_dataset=data, callbacks=[clock]).train()
    return {
        **asdict(run),
        "config": {**run.config, "architectures": [kind]},
        "truth": "none",
        "kind": "train",
        "gpu": torch.cuda.get_device_name(),
        "gpus": gpus,
        "data_parallel": gpus,
        "params": params,
        "steps": clock.steps,
        "seconds": clock.seconds,
        "step_s": clock.seconds / clock.steps,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
        "torch": torch.__version__,
    }


def _arguments(run: Run, model: Any, gpus: int) -> Any:
    from transformers import TrainingArguments

    settings: dict[str, Any] = {}
    if run.sharding == "fsdp" and gpus > 1:
        block = next(type(each).__name__ for each in model.modules() if type(each).__name__.endswith("DecoderLayer"))
        settings |= {"fsdp": "full_shard auto_wrap", "fsdp_config": {"transformer_layer_cls_to_wrap": [block]}}
    if run.recompute == "full":
        settings |= {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    if run.precision != "bf16":
        settings |= {"tf32": run.precision == "tf32"}
    settings |= {"save_steps": run.save_steps, "save_total_limit": 1} if run.save_steps else {"save_strategy": "no"}
    return TrainingArguments(
        output_dir="/tmp/trainer", per_device_train_batch_size=run.micro_batch,
        gradient_accumulation_steps=run.accumulation, max_steps=100_000, optim=run.optim,
        bf16=run.weights == "fp32" and run.precision == "bf16",
        torch_compile=run.compiled, logging_steps=1_000_000, report_to=[],
        dataloader_num_workers=2, disable_tqdm=True, ddp_find_unused_parameters=False, **settings,
    )  # fmt: skip


def _data(config: Any, length: int, dtype: Any) -> Any:
    return _images(config, dtype) if config.model_type == "vit" else _tokens(config.vocab_size, length)


def _images(config: Any, dtype: Any) -> Any:
    import torch

    class Images(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.rows = torch.randn(64, config.num_channels, config.image_size, config.image_size, dtype=dtype)

        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"pixel_values": self.rows[index % 64], "labels": index % 2}

    return Images()


def _tokens(vocab: int, length: int) -> Any:
    import torch

    class Tokens(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.rows = torch.randint(0, vocab, (64, length))

        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> dict[str, Any]:
            row = self.rows[index % 64]
            return {"input_ids": row, "labels": row}

    return Tokens()


def _clock() -> Any:
    """Counts steps and seconds after the warm-up, and ends the run; every rank at the same step."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.begin = self.seconds = 0.0
            self.steps = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            step = state.global_step
            if step == WARM_UP_STEPS:
                torch.cuda.synchronize()
                self.begin = time.perf_counter()
            if step <= WARM_UP_STEPS or step % _SYNCHRONISED_EVERY:
                return
            torch.cuda.synchronize()
            self.seconds, self.steps = time.perf_counter() - self.begin, step - WARM_UP_STEPS
            enough = self.seconds > LEAST_SECONDS and self.steps >= LEAST_STEPS
            control.should_training_stop = _any_says(enough)

    return Clock()


if __name__ == "__main__":
    main()
