"""Training steps of a plain PyTorch decoder, healthy or with one thing about them that costs time.

What is late (a batch, a save, the host between layers, one rank) is planted with the clock; what is wrong (a wide
format, written scores, layers that run twice, an optimizer of many launches) is what such programs really do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.recordings.shape import Shape

Step = Callable[[], None]
SAVED_TO = Path("/dev/shm/mfu-recorded-state")


@dataclass(frozen=True, slots=True)
class Loop:
    """`declared` is the precision that the line says, `runs` the one that it has; waits in steps of the bare loop."""

    scenario: str
    truth: str
    shape: Shape
    runs: str = "bf16"
    declared: str = "bf16"
    attention: str = "fused"
    recompute: bool = False
    says_recompute: bool = True
    fused_optimizer: bool = True
    wait: float = 0.0
    """Before each step."""
    burst_every: int = 0
    burst: float = 0.0
    """Seconds before every so many steps."""
    save_every: int = 0
    host_gap: float = 0.0
    """Seconds that the host is busy with something else after launching a layer's forward pass."""
    late_rank: float = 0.0
    """The last rank's own wait."""
    loaded_rank: float = 1.0
    """Times the batch that the last rank is given."""


def build(loop: Loop, torch: Any, rank: int = 0, ranks: int = 1) -> tuple[Step, Callable[[], None]]:
    """(one step with nothing planted in time, a save of the weights). The step waits for the GPU, as one that logs."""
    last = rank == ranks - 1 and ranks > 1
    rows = round(loop.shape.micro_batch * (loop.loaded_rank if last else 1.0))
    torch.backends.cuda.matmul.allow_tf32 = loop.runs == "tf32"
    torch.manual_seed(0)
    dtype = torch.bfloat16 if loop.runs == "bf16" else torch.float32
    bare = _decoder(loop).to("cuda", dtype)
    model = torch.nn.parallel.DistributedDataParallel(bare) if ranks > 1 else bare
    how = {"fused": True} if loop.fused_optimizer else {"foreach": False}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **how)
    tokens = torch.randint(loop.shape.vocab, (rows, loop.shape.seq_len + 1), device="cuda")

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()

    def save() -> None:
        torch.save(bare.state_dict(), SAVED_TO)

    return step, save


def planted(loop: Loop, step: Step, save: Step, bare_seconds: float, *, last_rank: bool) -> Step:
    """The step with its waits; `bare_seconds` is what it takes without."""
    done = 0

    def late() -> None:
        nonlocal done
        time.sleep((loop.wait + (loop.late_rank if last_rank else 0.0)) * bare_seconds)
        if loop.burst_every and done % loop.burst_every == loop.burst_every - 1:
            time.sleep(loop.burst)
        step()
        if loop.save_every and done % loop.save_every == loop.save_every - 1:
            save()
        done += 1

    return late


def _decoder(loop: Loop) -> Any:
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    shape = loop.shape

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(shape.vocab, shape.hidden, device="cuda")
            self.blocks = nn.ModuleList(_block(loop) for _ in range(shape.layers))
            self.norm = nn.LayerNorm(shape.hidden, device="cuda")
            self.head = nn.Linear(shape.hidden, shape.vocab, bias=False, device="cuda")

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens)
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False) if loop.recompute else block(x)
                _busy(loop.host_gap)
            return self.head(self.norm(x))

    return Decoder()


def _block(loop: Loop) -> Any:
    from torch import nn
    from torch.nn import functional as f

    shape = loop.shape
    mix = _written if loop.attention == "written" else f.scaled_dot_product_attention

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = (nn.LayerNorm(shape.hidden, device="cuda") for _ in range(2))
            self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden, bias=False, device="cuda")
            self.out = nn.Linear(shape.hidden, shape.hidden, bias=False, device="cuda")
            self.up = nn.Linear(shape.hidden, shape.ffn, bias=False, device="cuda")
            self.down = nn.Linear(shape.ffn, shape.hidden, bias=False, device="cuda")

        def forward(self, x: Any) -> Any:
            rows, length, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(rows, length, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = mix(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
            x = x + self.out(mixed)
            return x + self.down(f.gelu(self.up(self.norm2(x))))

    return Block()


def _written(q: Any, k: Any, v: Any, *, is_causal: bool) -> Any:
    """Scores and weights of the whole square go through memory, as in models written before attention was fused."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    ahead = scores.new_ones(scores.shape[-2:]).triu(1).bool()
    return (scores.masked_fill(ahead, float("-inf")) if is_causal else scores).softmax(-1) @ v


def _busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while seconds and time.perf_counter() < until:
        pass
