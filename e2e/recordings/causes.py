"""Plain PyTorch loops with a planted cause, on one GPU or several, as JSON lines that `mfu diagnose` reads.

    PYTHONPATH=. python3 -m e2e.recordings.causes --out runs.jsonl --minutes 5 [--gpu 1]
    PYTHONPATH=. torchrun --nproc-per-node 2 -m e2e.recordings.causes --out runs.jsonl --minutes 2
    NCCL_P2P_DISABLE=1 torchrun … --pcie

It needs torch and NVML. What is planted, and so `truth`, is fixed here before a run is made. The FLOPs are counted by
`shape.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from e2e.recordings.gpm_sampler import Sampler
from e2e.recordings.plain_loops import SAVED_TO, Loop, Step, build, planted
from e2e.recordings.shape import Shape
from e2e.recordings.share_programs import VOCABULARY
from e2e.recordings.share_programs import build as build_program


@dataclass(frozen=True, slots=True)
class Decoding:
    """Generation by a plain decoder in one CUDA graph a step, ffn 4 × hidden; one tensor serves as keys and values."""

    scenario: str
    truth: str
    layers: int
    hidden: int
    heads: int
    batch: int
    context: int

    @property
    def flops(self) -> float:
        weights = 12.0 * self.layers * self.hidden**2 + VOCABULARY["decode"] * self.hidden
        return self.batch * (2.0 * weights + 4.0 * self.layers * self.context * self.hidden)

    def step(self, torch: Any) -> Step:
        sizes = (self.layers, self.hidden, self.heads, self.batch, self.context)
        once, _ = build_program(" ".join(["decode", *map(str, sizes), "0"]), torch)

        def step() -> None:
            once()
            torch.cuda.synchronize()

        return step


PEAKS = {"bf16": 989.4e12, "tf32": 494.7e12, "fp32": 66.9e12}
SMALL = Shape(12, 768, 12, 3072, 50304, 32, 1024)
WIDE = Shape(6, 4096, 32, 28672, 32000, 4, 2048)
DEEP = Shape(48, 512, 8, 2048, 32000, 64, 512)
LONG = Shape(12, 2048, 16, 8192, 50304, 1, 16384)
MEDIUM = Shape(24, 1024, 16, 4096, 50304, 8, 1024)
ALONE = (
    Loop("gpt2s-healthy", "none", SMALL),
    Loop("gpt2s-starved-heavily", "data-starvation", SMALL, wait=3.0),
    Loop("wide-bursts", "data-starvation", WIDE, burst_every=12, burst=0.9),
    Loop("deep-one", "small-batch", replace(DEEP, micro_batch=1, seq_len=256)),
    Loop("wide-hidden-recompute", "recompute", replace(WIDE, micro_batch=8), recompute=True, says_recompute=False),
    Loop("gpt2s-written-scores", "memory-bound", replace(SMALL, micro_batch=8), attention="written"),
    Loop("gpt2s-slow-host", "HostOverhead", replace(SMALL, micro_batch=16), host_gap=0.002),
    Loop("wide-healthy", "none", WIDE),
    Loop("deep-starved", "data-starvation", DEEP, wait=0.5),
    Loop("wide-fp32", "precision", replace(WIDE, micro_batch=1), runs="fp32", declared="fp32"),
    Loop("wide-optimizer", "small-batch", replace(WIDE, micro_batch=1, seq_len=256), fused_optimizer=False),
    Loop("deep-healthy", "none", DEEP),
    Loop("wide-saves", "data-starvation", WIDE, save_every=24),
    Loop("long-healthy", "none", LONG),
    Loop("gpt2s-undeclared-fp32", "precision", replace(SMALL, micro_batch=8), runs="fp32"),
    Loop("long-recompute", "recompute", LONG, recompute=True),
    Loop("wide-tf32", "precision", replace(WIDE, micro_batch=2), runs="tf32", declared="tf32"),
    Loop("gpt2s-starved-lightly", "data-starvation", SMALL, wait=0.2),
)
"""A save is a wait for storage: `data-starvation` says so."""
DECODING = (
    Decoding("decode-7b-one", "low-concurrency", 32, 4096, 32, 1, 1024),
    Decoding("decode-1b-many", "memory-bound", 24, 2048, 16, 192, 1024),
)
TOGETHER = (
    Loop("ddp-medium-healthy", "none", MEDIUM),
    Loop("ddp-medium-late", "straggler", MEDIUM, late_rank=0.6),
    Loop("ddp-wide-healthy", "none", WIDE),
    Loop("ddp-medium-loaded", "straggler", MEDIUM, loaded_rank=1.5),
    Loop("ddp-medium-starved", "data-starvation", MEDIUM, wait=0.7),
)
OVER_PCIE = (
    Loop("ddp-medium-pcie", "communication", replace(MEDIUM, micro_batch=2)),
    Loop("ddp-wide-pcie", "communication", WIDE),
)
"""Labels that hold where a step takes at least 8 % longer than over NVLink, `none` elsewhere."""
WARM_UP_STEPS = 3
BARE_STEPS = 4
TIMED_SECONDS = 9.0
RUN_NEEDS_SECONDS = 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--gpu", type=int, default=0, help="index of the one GPU by NVML")
    parser.add_argument("--pcie", action="store_true", help="what is run with peer-to-peer switched off")
    parser.add_argument("--timed", type=float, default=TIMED_SECONDS)
    arguments = parser.parse_args()
    ranks, end = int(os.environ.get("WORLD_SIZE", "1")), time.monotonic() + 60.0 * arguments.minutes
    _join(ranks)
    sampler = Sampler(range(ranks) if ranks > 1 else (arguments.gpu,))
    for loop in _chosen(ranks, pcie=arguments.pcie):
        if _agreed(time.monotonic() > end - RUN_NEEDS_SECONDS, ranks):
            break
        _record(loop, sampler, arguments)


def _chosen(ranks: int, *, pcie: bool) -> Sequence[Loop | Decoding]:
    if ranks == 1:
        return *ALONE[:-2], *DECODING, *ALONE[-2:]
    return OVER_PCIE if pcie else TOGETHER


def _join(ranks: int) -> None:
    import torch

    if ranks > 1:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl")


def _record(loop: Loop | Decoding, sampler: Sampler, arguments: argparse.Namespace) -> None:
    import torch

    try:
        line = recorded(loop, sampler, arguments.timed)
    except (torch.cuda.OutOfMemoryError, OSError) as error:
        line = {"scenario": loop.scenario, "error": repr(error)[:300]}
    gc.collect()
    torch.cuda.empty_cache()
    if _rank() == 0:
        line["link"] = "" if sampler.gpus == (arguments.gpu,) else "pcie" if arguments.pcie else "nvlink"
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(loop.scenario, line.get("error") or f"{line['seconds'] / line['steps']:.4f} s", flush=True)


def recorded(loop: Loop | Decoding, sampler: Sampler, timed: float) -> dict[str, Any]:
    """One line: the run, and the readings that lie whole within it."""
    import torch

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if isinstance(loop, Decoding):
        bare = _bare_seconds(late := loop.step(torch))
    else:
        step, save = build(loop, torch, _rank(), ranks)
        bare = _bare_seconds(step)
        late = planted(loop, step, save, bare, last_rank=_rank() == ranks - 1 and ranks > 1)
    steps, seconds, rows = _watched(late, sampler, timed, ranks)
    line = _decoded(loop, steps, seconds) if isinstance(loop, Decoding) else _line(loop, ranks, steps, seconds)
    return line | {"bare_step_s": bare, "gpu": sampler.name, "series": rows}


def _watched(late: Step, sampler: Sampler, timed: float, ranks: int) -> tuple[int, float, list[dict[str, Any]]]:
    stop, rows = threading.Event(), list[dict[str, Any]]()
    watching = threading.Thread(target=sampler.during, args=(stop, rows))
    if _rank() == 0:
        watching.start()
    try:
        steps, seconds = _timed(late, timed, ranks)
    finally:
        stop.set()
        if _rank() == 0:
            watching.join()
        SAVED_TO.unlink(missing_ok=True)
    return steps, seconds, [row for row in rows if row["t"] <= seconds]


def _bare_seconds(step: Step) -> float:
    for _ in range(WARM_UP_STEPS):
        step()
    began = time.perf_counter()
    for _ in range(BARE_STEPS):
        step()
    return (time.perf_counter() - began) / BARE_STEPS


def _timed(late: Step, timed: float, ranks: int) -> tuple[int, float]:
    """All ranks make the same steps: every few of them they ask each other whether it is over."""
    began, steps, over = time.perf_counter(), 0, False
    while not over:
        late()
        steps += 1
        if ranks == 1 or steps % BARE_STEPS == 0:
            over = _agreed(time.perf_counter() - began > timed, ranks)
    return steps, time.perf_counter() - began


def _agreed(mine: bool, ranks: int) -> bool:
    import torch

    if ranks == 1:
        return mine
    told = torch.tensor([float(mine)], device="cuda")
    torch.distributed.all_reduce(told)
    return bool(told.item() > 0.0)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _line(loop: Loop, ranks: int, steps: int, seconds: float) -> dict[str, Any]:
    """The ranks' mean of FLOPs, where one is given more."""
    flops = loop.shape.flops_per_step * (ranks - 1 + loop.loaded_rank) / ranks
    return {
        "scenario": loop.scenario,
        "truth": loop.truth,
        "kind": "train",
        "gpus": ranks,
        "data_parallel": ranks,
        "precision": loop.declared,
        "recompute": "full" if loop.recompute and loop.says_recompute else "none",
        **loop.shape.facts(),
        "steps": steps,
        "seconds": seconds,
        "flops_per_step_per_gpu": flops,
        "mfu": flops * steps / seconds / PEAKS[loop.declared],
        "planted": {name: value for name, value in asdict(loop).items() if name not in ("scenario", "truth", "shape")},
    }


def _decoded(run: Decoding, steps: int, seconds: float) -> dict[str, Any]:
    told = {"kind": "decode", "gpus": 1, "precision": "bf16", "ffn": 4 * run.hidden, "vocab": VOCABULARY["decode"]}
    counted = {"steps": steps, "seconds": seconds, "flops_per_step_per_gpu": run.flops}
    return asdict(run) | told | counted | {"mfu": run.flops * steps / seconds / PEAKS["bf16"]}


if __name__ == "__main__":
    main()
