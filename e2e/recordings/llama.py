"""A Llama as pre-training programs of PyTorch write it: its layers, its loss, what it keeps for the backward pass."""

# mypy: disallow-subclassing-any=False
from __future__ import annotations

import functools
from collections import defaultdict
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


def loss_of(logits: Any, labels: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def filled(model: Any) -> None:
    """Random weights, norms of one."""
    import torch

    with torch.no_grad():
        for each in model.parameters():
            each.normal_(std=0.02) if each.dim() > 1 else each.fill_(1.0)


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


def _layer(config: dict[str, Any], feed: Any = None) -> Any:
    """The class of a layer, with a feed-forward of its own or that of experts. Ranks of a tensor-parallel group run a
    part of its heads."""
    from torch import nn

    width, heads, groups = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    size, ffn = width // heads, config["intermediate_size"]

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
            self.k, self.v = nn.Linear(width, groups * size, bias=False), nn.Linear(width, groups * size, bias=False)

        def forward(self, h: Any, turns: Any) -> Any:
            batch, length, _ = h.shape
            q = _turned(self.q(h).view(batch, length, -1, size), turns).transpose(1, 2)
            k = _turned(self.k(h).view(batch, length, -1, size), turns).transpose(1, 2)
            v = self.v(h).view(batch, length, -1, size).transpose(1, 2)
            k, v = k.repeat_interleave(heads // groups, 1), v.repeat_interleave(heads // groups, 1)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.o(seen.transpose(1, 2).reshape(batch, length, -1))

    class FeedForward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up = nn.Linear(width, ffn, bias=False), nn.Linear(width, ffn, bias=False)
            self.down = nn.Linear(ffn, width, bias=False)

        def forward(self, h: Any) -> Any:
            return self.down(nn.functional.silu(self.gate(h)) * self.up(h))

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.feed = Attention(), (feed or FeedForward)()
            self.first, self.second = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)

        def forward(self, x: Any, turns: Any) -> Any:
            x = x + self.attention(self.first(x), turns)
            return x + self.feed(self.second(x))

    return Layer


def llama(config: dict[str, Any], feed: Any = None) -> Any:
    """The whole model, that a stage of a pipeline cuts to its part; `feed` is the class of another feed-forward."""
    import torch
    from torch import nn

    width = config["hidden_size"]
    size, layer_of = width // config["num_attention_heads"], _layer(config, feed)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(config["vocab_size"], width)
            self.layers = nn.ModuleDict({str(i): layer_of() for i in range(config["num_hidden_layers"])})
            self.norm = nn.RMSNorm(width, eps=1e-5)
            self.head = nn.Linear(width, config["vocab_size"], bias=False)
            self.turns: Any = None

        def prepare(self, length: int) -> None:
            """Rotations of every position of a row, outside of the parameters."""
            device = next(self.parameters()).device
            rates = 500_000.0 ** (-torch.arange(0, size, 2, device=device).float() / size)
            angles = torch.outer(torch.arange(length, device=device).float(), rates)
            self.turns = torch.polar(torch.ones_like(angles), angles)

        def cut(self, stage: int, stages: int) -> None:
            """Keep what one of so many stages runs: as many layers each, embedding first, head last."""
            each = len(self.layers) // stages
            for i in [i for i in range(len(self.layers)) if i // each != stage]:
                del self.layers[str(i)]
            if stage > 0:
                self.embedding = None
            if stage < stages - 1:
                self.norm = self.head = None

        def forward(self, x: Any) -> Any:
            x = x if self.embedding is None else self.embedding(x)
            for layer in self.layers.values():
                x = layer(x, self.turns)
            return x if self.head is None else self.head(self.norm(x))

    return Model()


def _turned(x: Any, turns: Any) -> Any:
    import torch

    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    turned = torch.view_as_real(pairs * turns.view(1, x.shape[1], 1, -1)).flatten(3)
    return turned.type_as(x)
