"""Programs to put side by side on one GPU, each built from `kind layers hidden heads batch length seconds-asleep`.

Launch-bound, memory-bound and compute-bound ones, of several shapes each; a program sleeps before every step as long as
the line says, as one that waits for data or requests does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

Step = Callable[[], Any]
VOCABULARY: Final = {"train": 50304, "decode": 32000}
TABLE_ROWS: Final = 1_000_000
PROGRAMS: Final = {
    "train-tiny": "train 24 1024 16 1 512 0",
    "train-healthy": "train 24 2048 16 4 2048 0",
    "train-starved": "train 24 2048 16 4 2048 0.3",
    "train-wide": "train 12 4096 32 2 2048 0",
    "train-small": "train 12 768 12 8 1024 0",
    "train-pauses": "train 24 2048 16 1 2048 0.05",
    "train-mid": "train 16 1536 12 2 1024 0",
    "train-wide-idle": "train 12 4096 32 2 2048 0.2",
    "train-brief": "train 12 768 12 1 128 0",
    "train-brief-idle": "train 12 768 12 1 128 0.02",
    "train-rare": "train 12 768 12 1 128 2.0",
    "decode-b1": "decode 24 2048 16 1 1024 0",
    "decode-b8": "decode 24 2048 16 8 1024 0",
    "decode-b8-idle": "decode 24 2048 16 8 1024 0.02",
    "decode-b64": "decode 24 2048 16 64 1024 0",
    "decode-7b": "decode 32 4096 32 1 1024 0",
    "decode-7b-b16-idle": "decode 32 4096 32 16 2048 0.01",
    "decode-7b-b32": "decode 32 4096 32 32 1024 0",
    "decode-tiny": "decode 12 1024 16 1 512 0",
    "decode-long": "decode 24 2048 16 16 8192 0",
    "decode-brief": "decode 24 2048 16 4 2048 0.004",
    "train-xl": "train 48 1600 25 1 1024 0",
    "train-big": "train 10 4096 32 4 2048 0",
    "train-waits": "train 16 2048 16 8 512 0.1",
    "train-mini": "train 6 512 8 4 256 0.005",
    "train-long": "train 8 2048 16 1 8192 0",
    "decode-7b-long-idle": "decode 32 4096 32 8 4096 0.015",
    "decode-b128": "decode 16 2048 16 128 512 0",
    "decode-mini": "decode 6 512 8 1 256 0",
    "decode-7b-calm": "decode 32 4096 32 4 512 0.03",
    "decode-trickle": "decode 24 2048 16 1 8192 0.002",
    "mlp": "mlp 24 512 1 64 1 0",
    "mlp-wide": "mlp 16 2048 1 512 1 0",
    "eager": "eager 24 2048 16 1 1024 0",
    "eager-small": "eager 12 1024 16 1 512 0",
    "eager-idle": "eager 24 2048 16 1 1024 0.01",
    "recurrent": "recurrent 2 512 1 32 64 0",
    "gaps": "gaps 100 1024 1 64 50 0",
    "elementwise": "elementwise 20 8192 1 16384 1 0",
    "embedding": "embedding 16 1024 1 64 1024 0",
    "gemm": "gemm 8 8192 1 1 8192 0",
    "gemm-mid": "gemm 64 2048 1 1 2048 0",
    "gemm-idle": "gemm 8 8192 1 1 8192 0.02",
    "conv": "conv 16 256 1 32 56 0",
    "conv-idle": "conv 16 256 1 32 56 0.03",
}


def build(spec: str, torch: Any) -> tuple[Step, float]:
    """One step of the program, and the seconds that it sleeps before each."""
    kind, *rest = spec.split()
    layers, hidden, heads, batch, length = (int(each) for each in rest[:5])
    with torch.device("cuda"):
        return KINDS[kind](torch, layers, hidden, heads, batch, length), float(rest[5])


def _blocks(torch: Any, layers: int, hidden: int) -> Any:
    nn = torch.nn
    return nn.ModuleList(
        nn.ModuleDict(
            {
                "norm1": nn.LayerNorm(hidden),
                "norm2": nn.LayerNorm(hidden),
                "qkv": nn.Linear(hidden, 3 * hidden, bias=False),
                "out": nn.Linear(hidden, hidden, bias=False),
                "up": nn.Linear(hidden, 4 * hidden, bias=False),
                "down": nn.Linear(4 * hidden, hidden, bias=False),
            }
        )
        for _ in range(layers)
    )


def _train(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    f, vocabulary = torch.nn.functional, VOCABULARY["train"]
    model = torch.nn.ModuleDict(
        {
            "embed": torch.nn.Embedding(vocabulary, hidden),
            "blocks": _blocks(torch, layers, hidden),
            "head": torch.nn.Linear(hidden, vocabulary, bias=False),
        }
    ).to("cuda", torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(vocabulary, (batch, length + 1))

    def step() -> None:
        x = model["embed"](tokens[:, :-1])
        for block in model["blocks"]:
            q, k, v = block["qkv"](block["norm1"](x)).view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
            mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
            x = x + block["out"](mixed)
            x = x + block["down"](f.gelu(block["up"](block["norm2"](x))))
        loss = f.cross_entropy(model["head"](x).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _eager(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """One token for each request, each kernel launched by the host; one tensor serves as keys and values."""
    f = torch.nn.functional
    blocks = _blocks(torch, layers, hidden).to("cuda", torch.bfloat16)
    head = torch.nn.Linear(hidden, VOCABULARY["decode"], bias=False).to("cuda", torch.bfloat16)
    cache = torch.randn(layers, batch, heads, length, hidden // heads, dtype=torch.bfloat16)
    x0 = torch.randn(batch, 1, hidden, dtype=torch.bfloat16)

    def once() -> Any:
        with torch.no_grad():
            x = x0
            for index, block in enumerate(blocks):
                q, _, _ = block["qkv"](block["norm1"](x)).view(batch, 1, 3, heads, -1).permute(2, 0, 3, 1, 4)
                mixed = f.scaled_dot_product_attention(q, cache[index], cache[index]).transpose(1, 2).reshape(x.shape)
                x = x + block["out"](mixed)
                x = x + block["down"](f.gelu(block["up"](block["norm2"](x))))
            return head(x).argmax(-1)

    return once


def _decode(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """The same as one CUDA graph: the host launches once a step."""
    once = _eager(torch, layers, hidden, heads, batch, length)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(2):
            once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()

    def replay(held: Step = once) -> None:
        """The graph knows addresses only: what it reads must stay."""
        graph.replay()

    return replay


def _mlp(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """Training of plain layers: many small kernels, an optimizer that launches a few for each weight."""
    pairs = (each for _ in range(layers) for each in (torch.nn.Linear(hidden, hidden), torch.nn.ReLU()))
    model = torch.nn.Sequential(*pairs).to("cuda", torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, foreach=False)
    x = torch.randn(batch * length, hidden, dtype=torch.bfloat16)

    def step() -> None:
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _recurrent(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """Cells stepped through a sequence by the host, forward alone."""
    cells = [torch.nn.LSTMCell(hidden, hidden).to("cuda", torch.bfloat16) for _ in range(layers)]
    x = torch.randn(length, batch, hidden, dtype=torch.bfloat16)
    empty = torch.zeros(batch, hidden, dtype=torch.bfloat16)

    def step() -> Any:
        with torch.no_grad():
            states = [(empty, empty)] * layers
            for at in range(length):
                value = x[at]
                for index, cell in enumerate(cells):
                    states[index] = cell(value, states[index])
                    value = states[index][0]
            return value

    return step


def _gaps(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """`layers` small kernels, the host busy with something else for `length` µs after each."""
    x = torch.ones(batch, hidden, dtype=torch.bfloat16)

    def step() -> None:
        for _ in range(layers):
            x.mul_(1.0)
            until = time.perf_counter() + length * 1e-6
            while time.perf_counter() < until:
                pass

    return step


def _elementwise(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    x = torch.ones(batch, hidden, dtype=torch.bfloat16)

    def step() -> None:
        for _ in range(layers):
            x.mul_(1.0)

    return step


def _embedding(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """Rows gathered at random from a table that no cache holds."""
    table = torch.randn(TABLE_ROWS, hidden, dtype=torch.bfloat16)
    rows = torch.randint(TABLE_ROWS, (layers, batch * length))
    out = torch.empty(batch * length, hidden, dtype=torch.bfloat16)

    def step() -> None:
        for index in range(layers):
            torch.index_select(table, 0, rows[index], out=out)

    return step


def _gemm(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    a = torch.randn(batch * length, hidden, dtype=torch.bfloat16)
    b = torch.randn(hidden, hidden, dtype=torch.bfloat16)
    out = torch.empty(batch * length, hidden, dtype=torch.bfloat16)

    def step() -> None:
        for _ in range(layers):
            torch.mm(a, b, out=out)

    return step


def _conv(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Step:
    """`layers` 3×3 convolutions of `hidden` channels over `batch` images of `length` pixels a side, forward."""
    convolutions = torch.nn.Sequential(*(torch.nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(layers)))
    model = convolutions.to("cuda", torch.bfloat16).to(memory_format=torch.channels_last)
    x = torch.randn(batch, hidden, length, length, dtype=torch.bfloat16).to(memory_format=torch.channels_last)

    def step() -> Any:
        with torch.no_grad():
            return model(x)

    return step


KINDS: Final[dict[str, Callable[..., Step]]] = {
    "train": _train,
    "decode": _decode,
    "eager": _eager,
    "mlp": _mlp,
    "recurrent": _recurrent,
    "gaps": _gaps,
    "elementwise": _elementwise,
    "embedding": _embedding,
    "gemm": _gemm,
    "conv": _conv,
}
