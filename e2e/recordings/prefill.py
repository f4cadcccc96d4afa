"""Prefill of a Llama-3.1-8B-shaped model at several prompt lengths, on one GPU: one JSON line each.

python3 e2e/recordings/prefill.py --out prefill.jsonl      # needs PyTorch and an NVIDIA GPU; half a minute
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

LENGTHS: Final = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
LAYERS, HIDDEN, HEADS, KV_HEADS, FFN, VOCABULARY = 32, 4096, 32, 8, 14336, 128256
REPEATS: Final = 8


def model() -> Any:
    import torch
    from torch import nn

    def linear(n: int, m: int) -> Any:
        return nn.Linear(n, m, bias=False, device="cuda", dtype=torch.bfloat16)

    wide = HIDDEN + 2 * HIDDEN * KV_HEADS // HEADS
    names = {"qkv": (HIDDEN, wide), "out": (HIDDEN, HIDDEN), "gate": (HIDDEN, FFN), "up": (HIDDEN, FFN)}
    names["down"] = (FFN, HIDDEN)
    layers = [{name: linear(*size) for name, size in names.items()} for _ in range(LAYERS)]
    return layers, linear(HIDDEN, VOCABULARY), nn.RMSNorm(HIDDEN, device="cuda", dtype=torch.bfloat16)


def prefill(parts: Any, length: int) -> None:
    import torch
    from torch.nn import functional as f

    layers, head, norm = parts
    x = torch.randn(1, length, HIDDEN, device="cuda", dtype=torch.bfloat16)
    size = HIDDEN // HEADS
    for layer in layers:
        q, k, v = layer["qkv"](norm(x)).split([HIDDEN, KV_HEADS * size, KV_HEADS * size], dim=-1)
        q, k, v = (each.view(1, length, -1, size).transpose(1, 2) for each in (q, k, v))
        mixed = f.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + layer["out"](mixed.transpose(1, 2).reshape(x.shape))
        seen = norm(x)
        x = x + layer["down"](f.silu(layer["gate"](seen)) * layer["up"](seen))
    head(x[:, -1:]).argmax(-1)


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with torch.no_grad(), out.open("w") as file:
        parts = model()
        for length in LENGTHS:
            taken = []
            for _ in range(REPEATS + 2):
                torch.cuda.synchronize()
                began = time.perf_counter()
                prefill(parts, length)
                torch.cuda.synchronize()
                taken.append(time.perf_counter() - began)
            seconds = sorted(taken[2:])[REPEATS // 2]
            row = {"gpu": torch.cuda.get_device_name(), "model": "llama-3.1-8b", "precision": "bf16", "tokens": length}
            file.write(json.dumps({**row, "seconds": seconds}) + "\n")
            print(length, round(seconds * 1000, 2), "ms", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
