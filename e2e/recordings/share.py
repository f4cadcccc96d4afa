"""Programs alone and in pairs on one GPU, time-sliced and under MPS: what each keeps of its own rate beside another.

    python3 e2e/recordings/share.py --out pairs.jsonl --minutes 9      # needs PyTorch and an NVIDIA GPU

A program is a line: `train|decode layers hidden heads batch sequence-or-context seconds-asleep-before-each-step`. Each
output line holds `mode` (alone, time-sliced, mps), `spec`, `result` (steps, rate, latencies, memory), `series` (one
reading a second) and, for pairs, `share_of_alone`. Nothing of the GPU's settings is changed; the MPS daemon is ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

VOCABULARY: Final = {"train": 50304, "decode": 32000}
WARM_UP_STEPS: Final = 4
AHEAD: Final = 3
"""Measurements whose programs are importing while another runs."""
PROGRAMS: Final = {
    "train-tiny": "train 24 1024 16 1 512 0",
    "train-healthy": "train 24 2048 16 4 2048 0",
    "train-starved": "train 24 2048 16 4 2048 0.3",
    "train-wide": "train 12 4096 32 2 2048 0",
    "train-small": "train 12 768 12 8 1024 0",
    "train-pauses": "train 24 2048 16 1 2048 0.05",
    "decode-b1": "decode 24 2048 16 1 1024 0",
    "decode-b8": "decode 24 2048 16 8 1024 0",
    "decode-b8-idle": "decode 24 2048 16 8 1024 0.02",
    "decode-b64": "decode 24 2048 16 64 1024 0",
    "decode-7b": "decode 32 4096 32 1 1024 0",
    "decode-7b-b16-idle": "decode 32 4096 32 16 2048 0.01",
    "decode-tiny": "decode 12 1024 16 1 512 0",
    "train-mid": "train 16 1536 12 2 1024 0",
    "decode-7b-b32": "decode 32 4096 32 32 1024 0",
    "decode-long": "decode 24 2048 16 16 8192 0",
    "train-wide-idle": "train 12 4096 32 2 2048 0.2",
    "decode-brief": "decode 24 2048 16 4 2048 0.004",
}
PAIRS: Final = (
    ("train-healthy", "decode-b1"),
    ("train-healthy", "decode-b64"),
    ("train-healthy", "decode-b8-idle"),
    ("train-healthy", "train-tiny"),
    ("decode-7b", "train-healthy"),
    ("train-starved", "decode-b64"),
    ("train-tiny", "decode-b1"),
    ("train-tiny", "decode-b64"),
    ("decode-b1", "decode-b64"),
    ("decode-7b", "decode-7b"),
    ("decode-7b", "decode-b1"),
    ("train-healthy", "train-starved"),
    ("train-pauses", "decode-b64"),
    ("train-starved", "train-starved"),
    ("train-small", "decode-b8"),
    ("train-small", "train-healthy"),
    ("decode-tiny", "train-healthy"),
    ("decode-7b-b16-idle", "train-starved"),
    ("decode-b8", "train-pauses"),
    ("train-wide", "decode-b8"),
    ("train-starved", "train-tiny"),
    ("decode-tiny", "decode-tiny"),
    ("train-small", "train-small"),
    ("decode-7b-b16-idle", "decode-b8-idle"),
    ("train-pauses", "train-pauses"),
    ("train-wide", "train-tiny"),
    ("train-mid", "decode-7b-b32"),
    ("train-mid", "decode-long"),
    ("decode-long", "train-healthy"),
    ("decode-7b-b32", "decode-b1"),
)


def worker(spec: str, seconds: float) -> None:
    """Import, wait for `build`, build and warm up, wait for `go`, run, print one JSON line."""
    import torch

    print("imported", flush=True)
    sys.stdin.readline()
    kind, *rest = spec.split()
    layers, hidden, heads, batch, length = (int(each) for each in rest[:5])
    asleep = float(rest[5])
    step = (_train if kind == "train" else _decode)(torch, layers, hidden, heads, batch, length)
    for _ in range(WARM_UP_STEPS):
        step()
    torch.cuda.synchronize()
    print("ready", flush=True)
    sys.stdin.readline()
    taken: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        at = time.perf_counter()
        if asleep:
            time.sleep(asleep)
        step()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - at)
    whole = time.perf_counter() - began
    taken.sort()
    result = {
        "steps": len(taken),
        "seconds": whole,
        "rate": len(taken) / whole,
        "p50": taken[len(taken) // 2],
        "p99": taken[int(len(taken) * 0.99)],
        "mem": torch.cuda.max_memory_allocated(),
    }
    print(json.dumps(result), flush=True)


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


def _train(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Any:
    f, vocabulary = torch.nn.functional, VOCABULARY["train"]
    model = torch.nn.ModuleDict(
        {
            "embed": torch.nn.Embedding(vocabulary, hidden),
            "blocks": _blocks(torch, layers, hidden),
            "head": torch.nn.Linear(hidden, vocabulary, bias=False),
        }
    ).to("cuda", torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(vocabulary, (batch, length + 1), device="cuda")

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


def _decode(torch: Any, layers: int, hidden: int, heads: int, batch: int, length: int) -> Any:
    """One token for each request in a CUDA graph; one tensor serves as keys and values."""
    f = torch.nn.functional
    blocks = _blocks(torch, layers, hidden).to("cuda", torch.bfloat16)
    head = torch.nn.Linear(hidden, VOCABULARY["decode"], bias=False).to("cuda", torch.bfloat16)
    cache = torch.randn(layers, batch, heads, length, hidden // heads, device="cuda", dtype=torch.bfloat16)
    x0 = torch.randn(batch, 1, hidden, device="cuda", dtype=torch.bfloat16)

    def once() -> Any:
        x = x0
        for index, block in enumerate(blocks):
            q, _, _ = block["qkv"](block["norm1"](x)).view(batch, 1, 3, heads, -1).permute(2, 0, 3, 1, 4)
            mixed = f.scaled_dot_product_attention(q, cache[index], cache[index]).transpose(1, 2).reshape(x.shape)
            x = x + block["out"](mixed)
            x = x + block["down"](f.gelu(block["up"](block["norm2"](x))))
        return head(x).argmax(-1)

    with torch.no_grad():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(2):
                once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            once()
    return graph.replay


class Sampler:
    """GPM and NVML readings of the first GPU, about once a second, while measuring."""

    GPM: Final = (
        "GRAPHICS_UTIL",
        "SM_UTIL",
        "SM_OCCUPANCY",
        "INTEGER_UTIL",
        "ANY_TENSOR_UTIL",
        "HMMA_TENSOR_UTIL",
        "DRAM_BW_UTIL",
        "FP32_UTIL",
        "PCIE_TX_PER_SEC",
        "PCIE_RX_PER_SEC",
    )

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self.nvml = pynvml
        self.handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        name = pynvml.nvmlDeviceGetName(self.handle)
        self.name = name.decode() if isinstance(name, bytes) else name

    def during(self, stop: threading.Event, rows: list[dict[str, Any]]) -> None:
        n, began = self.nvml, time.perf_counter()
        before = self._sample()
        while not stop.wait(1.0):
            after = self._sample()
            rows.append({"t": round(time.perf_counter() - began, 2), "gpu": 0, "gpm": self._between(before, after)})
            used = n.nvmlDeviceGetUtilizationRates(self.handle)
            rows[-1] |= {
                "gpu_util": used.gpu,
                "mem_util": used.memory,
                "power_w": n.nvmlDeviceGetPowerUsage(self.handle) / 1000,
                "sm_clock": n.nvmlDeviceGetClockInfo(self.handle, n.NVML_CLOCK_SM),
                "fb_used": n.nvmlDeviceGetMemoryInfo(self.handle).used,
                "events": n.nvmlDeviceGetCurrentClocksEventReasons(self.handle),
            }
            n.nvmlGpmSampleFree(before)
            before = after
        n.nvmlGpmSampleFree(before)

    def _sample(self) -> Any:
        sample = self.nvml.nvmlGpmSampleAlloc()
        self.nvml.nvmlGpmSampleGet(self.handle, sample)
        return sample

    def _between(self, before: Any, after: Any) -> dict[str, float]:
        n = self.nvml
        ask = n.c_nvmlGpmMetricsGet_t()
        ask.version, ask.numMetrics = n.NVML_GPM_METRICS_GET_VERSION, len(self.GPM)
        ask.sample1, ask.sample2 = before, after
        for index, name in enumerate(self.GPM):
            ask.metrics[index].metricId = getattr(n, f"NVML_GPM_METRIC_{name}")
        n.nvmlGpmMetricsGet(ask)
        return {name: round(ask.metrics[index].value, 3) for index, name in enumerate(self.GPM)}


class Measurement:
    """One or two programs side by side: started early (imports only), measured when its turn comes."""

    def __init__(self, mode: str, programs: tuple[str, ...], seconds: float, pipe: str) -> None:
        self.mode, self.programs = mode, programs
        env = dict(os.environ)
        if mode == "mps":
            env["CUDA_MPS_PIPE_DIRECTORY"] = pipe
        command = [sys.executable, __file__, "--seconds", str(seconds), "--spec"]
        self.workers = [
            subprocess.Popen(
                [*command, PROGRAMS[each]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
            )
            for each in programs
        ]

    def measure(self, sampler: Sampler) -> dict[str, Any]:
        for stage, word in (("imported", "build"), ("ready", "go")):
            for each in self.workers:
                if (said := _line(each)) != stage:
                    raise RuntimeError(f"{self.programs}: {said or 'ended'} instead of {stage}")
            if word == "go":
                stop, rows = threading.Event(), list[dict[str, Any]]()
                watching = threading.Thread(target=sampler.during, args=(stop, rows))
                watching.start()
            for each in self.workers:
                _say(each, word)
        results = [json.loads(_line(each)) for each in self.workers]
        stop.set()
        watching.join()
        specs = [PROGRAMS[each] for each in self.programs]
        return {
            "gpu": sampler.name,
            "mode": self.mode,
            "programs": list(self.programs),
            "spec": specs,
            "result": results,
            "series": rows,
        }

    def end(self) -> None:
        for each in self.workers:
            each.kill()
            each.wait()


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip() if process.stdout else ""


def _say(process: subprocess.Popen[str], word: str) -> None:
    if process.stdin:
        process.stdin.write(word + "\n")
        process.stdin.flush()


def record(
    out: Path, *, minutes: float, seconds: float, known: dict[str, float], pairs: Sequence[tuple[str, ...]]
) -> None:
    """`known` are rates alone that need not be measured again."""
    ends = time.time() + minutes * 60
    with tempfile.TemporaryDirectory() as pipe:
        env = dict(os.environ, CUDA_MPS_PIPE_DIRECTORY=pipe, CUDA_MPS_LOG_DIRECTORY=pipe)
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=env, check=False)
        sampler, alone = Sampler(), dict(known)
        wanted = {name for pair in pairs for name in pair} - set(known)
        turns: list[tuple[str, tuple[str, ...]]] = [("alone", (name,)) for name in PROGRAMS if name in wanted]
        turns += [(mode, pair) for pair in pairs for mode in ("mps", "time-sliced")]
        coming = deque(Measurement(*turn, seconds, pipe) for turn in turns[:AHEAD])
        with out.open("w") as file:
            for index in range(len(turns)):
                present = coming.popleft()
                if index + AHEAD < len(turns):
                    coming.append(Measurement(*turns[index + AHEAD], seconds, pipe))
                try:
                    row = present.measure(sampler)
                except (RuntimeError, ValueError) as error:
                    print("failed:", error, flush=True)
                    continue
                finally:
                    present.end()
                rates = [each["rate"] for each in row["result"]]
                if row["mode"] == "alone":
                    alone[row["programs"][0]] = rates[0]
                else:
                    row["share_of_alone"] = [
                        rate / alone[name] for rate, name in zip(rates, row["programs"], strict=True)
                    ]
                file.write(json.dumps(row) + "\n")
                file.flush()
                share = [round(each, 3) for each in row.get("share_of_alone", ())]
                print(row["mode"], row["programs"], share or [round(each, 2) for each in rates], flush=True)
                if time.time() > ends:
                    print("time is up", flush=True)
                    break
        for each in coming:
            each.end()
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, env=env, check=False)


def _rows(path: Path | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--alone", type=Path, help="an earlier output: its rates alone are taken, its pairs left out")
    parser.add_argument("--spec", help="run one program as a worker")
    args = parser.parse_args()
    if args.spec:
        worker(args.spec, args.seconds)
    elif args.out:
        known = {row["programs"][0]: row["result"][0]["rate"] for row in _rows(args.alone) if row["mode"] == "alone"}
        done = {tuple(row["programs"]) for row in _rows(args.alone) if row["mode"] != "alone"}
        left = [pair for pair in PAIRS if pair not in done]
        record(args.out, minutes=args.minutes, seconds=args.seconds, known=known, pairs=left)
    return 0


if __name__ == "__main__":
    sys.exit(main())
