"""The training loop that is recorded: plain PyTorch (or, for a dry run, NumPy), reporting through `mfu.report`.

Prints one JSON line: what was counted and when. Steps before the timed part (kernels are chosen, memory is taken) are
neither counted nor reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from e2e.recordings.shape import Shape
from mfu.report import Reporter

Step = Callable[[], None]
WARM_UP_STEPS = 5


def torch_loop(shape: Shape, *, recompute: bool) -> tuple[Step, Step]:
    """(one step, wait for the GPU). bf16 weights, fused AdamW, causal flash attention, no compilation."""
    import torch
    from torch import nn
    from torch.nn import functional as f
    from torch.utils.checkpoint import checkpoint

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(shape.hidden), nn.LayerNorm(shape.hidden)
            self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden, bias=False)
            self.out = nn.Linear(shape.hidden, shape.hidden, bias=False)
            self.up = nn.Linear(shape.hidden, shape.ffn, bias=False)
            self.down = nn.Linear(shape.ffn, shape.hidden, bias=False)

        def forward(self, x: Any) -> Any:
            rows, length, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(rows, length, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
            x = x + self.out(mixed)
            return x + self.down(f.gelu(self.up(self.norm2(x))))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(shape.vocab, shape.hidden)
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.LayerNorm(shape.hidden)
            self.head = nn.Linear(shape.hidden, shape.vocab, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens)
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
            return self.head(self.norm(x))

    torch.manual_seed(0)
    model = Decoder().to("cuda", torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batches = torch.randint(shape.vocab, (16, shape.micro_batch, shape.seq_len + 1), device="cuda")
    done = 0

    def step() -> None:
        nonlocal done
        tokens = batches[done % len(batches)]
        loss = f.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done += 1

    return step, torch.cuda.synchronize


def numpy_loop(shape: Shape, *, recompute: bool) -> tuple[Step, Step]:
    """Matrix products of about a step's size, for trying the recorder where there is no GPU."""
    import numpy as np

    a = np.ones((shape.tokens_per_step, shape.hidden), dtype=np.float32)
    b = np.ones((shape.hidden, shape.hidden), dtype=np.float32)

    def step() -> None:
        for _ in range(shape.layers * (2 if recompute else 1)):
            a @ b
        time.sleep(0.05)

    return step, lambda: None


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Steps for `args.seconds`, with `args.wait` seconds without a batch before each."""
    shape = Shape(**json.loads(args.shape))
    step, finish = (numpy_loop if args.backend == "numpy" else torch_loop)(shape, recompute=args.recompute)
    for _ in range(WARM_UP_STEPS):
        step()
    finish()
    reporter = Reporter(port=args.port)
    began_at, began, steps = time.time(), time.perf_counter(), 0
    while time.perf_counter() - began < args.seconds:
        waited = time.perf_counter()
        if args.wait:
            time.sleep(args.wait)
        waited = time.perf_counter() - waited
        step()
        # The loop knows that a step is done only once the GPU says so, as one that logs its loss does.
        finish()
        reporter.step(tokens=shape.tokens_per_step, **({"data_wait_seconds": waited} if args.wait else {}))
        steps += 1
    seconds, ended_at = time.perf_counter() - began, time.time()
    counters = dict(line.split() for line in reporter.text().splitlines())
    reporter.close()
    return {"steps": steps, "seconds": seconds, "began_at": began_at, "ended_at": ended_at, "reported": counters}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", required=True, help="JSON of e2e.recordings.shape.Shape")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--wait", type=float, default=0.0, help="seconds without a batch before each step")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--backend", choices=("torch", "numpy"), default="torch")
    print(json.dumps(train(parser.parse_args())), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
