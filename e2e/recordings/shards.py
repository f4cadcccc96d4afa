"""Sharded and 8-bit programs of PyTorch that no table holds, as JSON lines that `mfu validate runs` reads.

    torchrun --nproc-per-node 4 e2e/recordings/shards.py --out runs.jsonl --minutes 5

A Llama written here, sharded by `fully_shard`, one compiled block a layer, with checkpoints of every second product, of
whole layers or none, in bf16 or in float8 (one scale a tensor, or one a row): what a pre-training program of PyTorch
does. Master weights and states are FP32, gradients are reduced in FP32. A run that fails is a line with `error`.
"""

# mypy: disallow-subclassing-any=False
from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
    "max_position_embeddings": 16384,
}  # fmt: skip
LLAMA_3B = LLAMA_8B | {
    "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
}  # fmt: skip
WIDE_8 = LLAMA_8B | {
    "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 8, "num_attention_heads": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One setting. `recompute` selective keeps attention and every second product."""

    scenario: str
    config: dict[str, Any]
    micro_batch: int
    seq_len: int
    recompute: str = "selective"
    recipe: str = ""
    compiled: bool = True


RUNS = (
    Run("llama8b-op", LLAMA_8B, 1, 8192),
    Run("llama8b-op-float8", LLAMA_8B, 1, 8192, recipe="tensorwise"),
    Run("llama8b-op-float8-rows", LLAMA_8B, 1, 8192, recipe="rowwise"),
    Run("llama8b-full", LLAMA_8B, 2, 8192, recompute="full"),
    Run("llama8b-op-eager", LLAMA_8B, 1, 8192, compiled=False),
    Run("llama3b-none", LLAMA_3B, 2, 4096, recompute="none"),
    Run("llama3b-none-float8", LLAMA_3B, 2, 4096, recompute="none", recipe="tensorwise"),
    Run("llama3b-full-eager", LLAMA_3B, 4, 4096, recompute="full", compiled=False),
    Run("wide-op", WIDE_8, 1, 8192),
    Run("wide-op-float8-rows", WIDE_8, 1, 8192, recipe="rowwise"),
)
WARM_UP_STEPS, LEAST_STEPS, LEAST_SECONDS = 4, 6, 6.0


def main() -> None:
    import torch
    import torch.distributed as dist

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", default="", help="runs whose name holds this")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60.0
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl", device_id=torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    for run in [each for each in RUNS if arguments.only in each.scenario]:
        late = torch.tensor([float(time.monotonic() > end - 25.0)], device="cuda")
        dist.all_reduce(late)
        if late.item() > 0.0:
            break
        try:
            line = _trained(run, dist.get_world_size())
        except Exception as error:  # a run that does not fit is a result too
            line = {"scenario": run.scenario, "error": repr(error)[:300]}
        if dist.get_rank() == 0:
            with Path(arguments.out).open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(run.scenario, line.get("error") or f"{line['step_s']:.4f} s, {line['peak_gib']:.1f} GiB", flush=True)
        gc.collect()
        torch.cuda.empty_cache()
        torch._dynamo.reset()
    dist.destroy_process_group()


def _trained(run: Run, gpus: int) -> dict[str, Any]:
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    with torch.device("meta"):
        model = llama(run.config)
    if run.recipe:
        to_float8(model, run.recipe)
    for name, layer in model.layers.named_children():
        kept = checkpointed(layer, run.recompute)
        model.layers.register_module(name, torch.compile(kept, fullgraph=True) if run.compiled else kept)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in model.layers.children():
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    model.to_empty(device="cuda")
    with torch.no_grad():
        for each in model.parameters():
            each.normal_(std=0.02) if each.dim() > 1 else each.fill_(1.0)
    model.prepare()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    seconds, steps = _timed(run, model, optimizer)
    return {
        **asdict(run),
        "truth": "none", "kind": "train", "engine": "torchtitan", "gpu": torch.cuda.get_device_name(), "gpus": gpus,
        "data_parallel": gpus, "precision": "fp8" if run.recipe else "bf16", "weights": "bf16", "sharding": "fsdp",
        "accumulation": 1, "attn": "sdpa", "optim": "adamw_torch_fused", "link": "nvlink",
        "steps": steps, "seconds": seconds, "step_s": seconds / steps,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30, "torch": torch.__version__,
    }  # fmt: skip


def _timed(run: Run, model: Any, optimizer: Any) -> tuple[float, int]:
    import torch
    import torch.distributed as dist

    vocab = run.config["vocab_size"]
    rows = torch.randint(0, vocab, (run.micro_batch, run.seq_len + 1), device="cuda")
    measure = torch.compile(loss_of) if run.compiled else loss_of
    steps, begin = 0, 0.0
    for step in range(1_000):
        loss = measure(model(rows[:, :-1]), rows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step + 1 == WARM_UP_STEPS:
            torch.cuda.synchronize()
            dist.barrier()
            begin = time.perf_counter()
        steps = step + 1 - WARM_UP_STEPS
        if steps <= 0 or steps % 3:
            continue
        torch.cuda.synchronize()
        spent = torch.tensor([time.perf_counter() - begin], device="cuda")
        dist.all_reduce(spent, op=dist.ReduceOp.MAX)
        if steps >= LEAST_STEPS and spent.item() > LEAST_SECONDS:
            return float(spent.item()), steps
    raise RuntimeError("never enough")


def loss_of(logits: Any, labels: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def to_float8(model: Any, recipe: str) -> None:
    """Products of all layers in 8 bit, scaled anew each time; embedding, norms and head stay as they are."""
    from torch import nn

    product, rows = _float8_product(), recipe == "rowwise"

    class Float8Linear(nn.Linear):
        def forward(self, x: Any) -> Any:
            return product.apply(x.flatten(0, 1), self.weight, rows).view(*x.shape[:-1], -1)

    for layer in model.layers.children():
        for each in layer.children():
            if isinstance(each, nn.Linear):
                each.__class__ = Float8Linear


def _float8_product() -> Any:
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Any, weight: Any, rows: bool) -> Any:
            context.save_for_backward(x, weight)
            context.rows = rows
            return _scaled(x, weight, rows)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            (x, weight), rows = context.saved_tensors, context.rows
            inputs = _scaled(gradient, weight.t().contiguous(), rows)
            return inputs, _scaled(gradient.t().contiguous(), x.t().contiguous(), rows), None

    return Product


def _scaled(one: Any, other: Any, rows: bool) -> Any:
    """one · otherᵀ, both in 8 bit."""
    import torch

    (a, a_scale), (b, b_scale) = _quantised(one, rows), _quantised(other, rows)
    scale = b_scale.t() if rows else b_scale
    return torch._scaled_mm(a, b.t(), scale_a=a_scale, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True)


def _quantised(x: Any, rows: bool) -> tuple[Any, Any]:
    import torch

    largest = x.abs().amax(dim=1, keepdim=True) if rows else x.abs().amax()
    scale = largest.float().clamp(min=1e-12) / 448.0
    return (x.float() / scale).clamp(-448.0, 448.0).to(torch.float8_e4m3fn), scale


def checkpointed(layer: Any, mode: str) -> Any:
    import torch
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
    from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

    if mode == "none":
        return layer
    if mode == "full":
        return checkpoint_wrapper(layer, preserve_rng_state=False)
    aten = torch.ops.aten
    kept = {
        aten._scaled_dot_product_flash_attention.default, aten._scaled_dot_product_efficient_attention.default,
        aten._scaled_dot_product_cudnn_attention.default, torch.ops._c10d_functional.reduce_scatter_tensor.default,
        aten.max.default,
    }  # fmt: skip
    products = {aten.mm.default, aten._scaled_mm.default}

    def contexts() -> Any:
        seen: dict[str, int] = defaultdict(int)

        def policy(context: Any, operation: Any, *_: Any, **__: Any) -> Any:
            phase = "again" if context.is_recompute else "first"
            if operation in products:
                seen[phase] += 1
                keep = seen[phase] % 2 == 1
            else:
                keep = operation in kept
            return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

        return create_selective_checkpoint_contexts(policy)

    return checkpoint_wrapper(layer, context_fn=functools.partial(contexts), preserve_rng_state=False)


def llama(config: dict[str, Any]) -> Any:
    import torch
    from torch import nn

    width, heads, groups = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    size, ffn = width // heads, config["intermediate_size"]

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
            self.k, self.v = nn.Linear(width, groups * size, bias=False), nn.Linear(width, groups * size, bias=False)
            self.gate, self.up = nn.Linear(width, ffn, bias=False), nn.Linear(width, ffn, bias=False)
            self.down = nn.Linear(ffn, width, bias=False)
            self.first, self.second = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)

        def forward(self, x: Any, turns: Any) -> Any:
            batch, length, _ = x.shape
            h = self.first(x)
            q = _turned(self.q(h).view(batch, length, heads, size), turns).transpose(1, 2)
            k = _turned(self.k(h).view(batch, length, groups, size), turns).transpose(1, 2)
            v = self.v(h).view(batch, length, groups, size).transpose(1, 2)
            k, v = k.repeat_interleave(heads // groups, 1), v.repeat_interleave(heads // groups, 1)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.o(seen.transpose(1, 2).reshape(batch, length, width))
            h = self.second(x)
            return x + self.down(nn.functional.silu(self.gate(h)) * self.up(h))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(config["vocab_size"], width)
            self.layers = nn.ModuleDict({str(i): Layer() for i in range(config["num_hidden_layers"])})
            self.norm = nn.RMSNorm(width, eps=1e-5)
            self.head = nn.Linear(width, config["vocab_size"], bias=False)
            self.turns: Any = None

        def prepare(self) -> None:
            """Rotations of every position, outside of the parameters."""
            rates = 500_000.0 ** (-torch.arange(0, size, 2, device="cuda").float() / size)
            angles = torch.outer(torch.arange(config["max_position_embeddings"], device="cuda").float(), rates)
            self.turns = torch.polar(torch.ones_like(angles), angles)

        def forward(self, ids: Any) -> Any:
            x, turns = self.embedding(ids), self.turns[: ids.shape[1]]
            for layer in self.layers.values():
                x = layer(x, turns)
            return self.head(self.norm(x))

    return Model()


def _turned(x: Any, turns: Any) -> Any:
    import torch

    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    turned = torch.view_as_real(pairs * turns.view(1, x.shape[1], 1, -1)).flatten(3)
    return turned.type_as(x)


if __name__ == "__main__":
    main()
