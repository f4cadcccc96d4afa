"""Sharded and 8-bit programs of PyTorch that no table holds, as JSON lines that `mfu validate runs` reads.

    PYTHONPATH=. torchrun --nproc-per-node 4 -m e2e.recordings.shards --out runs.jsonl --minutes 5

A Llama (`llama.py`), sharded by `fully_shard`, one compiled block a layer, with checkpoints of every second product, of
whole layers or none, in bf16 or in float8 (one scale a tensor, or one a row): what a pre-training program of PyTorch
does. Master weights and states are FP32, gradients are reduced in FP32. A run that fails is a line with `error`.
"""

# mypy: disallow-subclassing-any=False
from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from e2e.recordings import ranks
from e2e.recordings.llama import LLAMA_3B, LLAMA_8B, WIDE_8, checkpointed, filled, llama, loss_of


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
SECONDS_A_RUN = 25.0


def main() -> None:
    import torch.distributed as dist

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", default="", help="runs whose name holds this")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60.0
    ranks.join()
    wanted = [each for each in RUNS if arguments.only in each.scenario]
    ranks.record(wanted, _trained, out=arguments.out, end=end, seconds_a_run=SECONDS_A_RUN)
    dist.destroy_process_group()


def _trained(run: Run) -> dict[str, Any]:
    import torch
    import torch.distributed as dist

    torch.manual_seed(0)
    model = _sharded(run)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    found = ranks.timed(_stepper(run, model, optimizer), least_steps=6, least_seconds=6.0, every=3)
    gpus = dist.get_world_size()
    return {
        **asdict(run),
        "truth": "none", "kind": "train", "engine": "torchtitan", "gpus": gpus, "data_parallel": gpus,
        "precision": "fp8" if run.recipe else "bf16", "weights": "bf16", "sharding": "fsdp",
        "accumulation": 1, "attn": "sdpa", "optim": "adamw_torch_fused", "link": "nvlink",
        **ranks.measured(found),
    }  # fmt: skip


def _sharded(run: Run) -> Any:
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

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
    model.to_empty(device=ranks.device())
    filled(model)
    model.prepare(run.seq_len)
    return model


def _stepper(run: Run, model: Any, optimizer: Any) -> Callable[[], None]:
    import torch

    vocab = run.config["vocab_size"]
    rows = torch.randint(0, vocab, (run.micro_batch, run.seq_len + 1), device=ranks.device())
    measure = torch.compile(loss_of) if run.compiled else loss_of

    def step() -> None:
        measure(model(rows[:, :-1]), rows[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def to_float8(model: Any, recipe: str) -> None:
    """Products of all layers in 8 bit, scaled anew each time; embedding, norms and head stay as they are."""
    from torch import nn

    product, rows = _float8_product(), recipe == "rowwise"

    class Float8Linear(nn.Linear):
        def forward(self, x: Any) -> Any:
            return product.apply(x.flatten(0, 1), self.weight, rows).view(*x.shape[:-1], -1)

    for each in model.layers.modules():
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


if __name__ == "__main__":
    main()
