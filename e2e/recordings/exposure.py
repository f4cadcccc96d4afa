"""How much of a sharded step waits for its traffic, as JSON lines that `mfu validate runs` reads.

    PYTHONPATH=. torchrun --nproc-per-node 4 -m e2e.recordings.exposure --out runs.jsonl --minutes 9

The Llama of `shards.py`, short micro-batches among them, so that traffic outlasts computation. Beside the step's time a
line has `phases` (forward, backward, clipping, optimizer: seconds by events of the GPU), `kernels` (seconds of each
kind of kernel in a step, `nccl_alone` while nothing else runs and `idle` while nothing does: by the profiler on one
GPU), and where it fits `quiet`: the same of forward and backward with all weights gathered and nothing reduced. The
first line has the rates of collectives by themselves.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from e2e.recordings.kernels import profiled
from e2e.recordings.shards import LLAMA_8B, Run, checkpointed, llama, loss_of, to_float8

DEEP: Final = LLAMA_8B | {"num_hidden_layers": 16}
WIDE: Final = LLAMA_8B | {
    "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 6, "num_attention_heads": 64,
}  # fmt: skip
SMALL: Final = LLAMA_8B | {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
}  # fmt: skip


@dataclass(frozen=True)
class Sharded(Run):
    """`resharded` gathers weights again for the backward pass; `pure` keeps weights and states in 16 bit."""

    resharded: bool = True
    pure: bool = False
    measured_quiet: bool = False


RUNS: Final = (
    Sharded("deep-4k", DEEP, 1, 4096, "none", measured_quiet=True),
    Sharded("deep-2k", DEEP, 1, 2048, "none", measured_quiet=True),
    Sharded("8b-4k-eager", LLAMA_8B, 1, 4096, "none", compiled=False),
    Sharded("8b-4k", LLAMA_8B, 1, 4096, "none"),
    Sharded("8b-4k-float8", LLAMA_8B, 1, 4096, "none", "tensorwise"),
    Sharded("8b-4k-full-eager", LLAMA_8B, 1, 4096, "full", compiled=False),
    Sharded("8b-8k-op", LLAMA_8B, 1, 8192, "selective"),
    Sharded("deep-4k-kept", DEEP, 1, 4096, "none", resharded=False),
    Sharded("deep-4k-pure", DEEP, 1, 4096, "none", pure=True),
    Sharded("deep-4k-eager", DEEP, 1, 4096, "none", compiled=False, measured_quiet=True),
    Sharded("deep-8k-b2-full", DEEP, 2, 8192, "full"),
    Sharded("deep-1k", DEEP, 1, 1024, "none"),
    Sharded("wide-4k", WIDE, 1, 4096, "none", measured_quiet=True),
    Sharded("wide-2k", WIDE, 1, 2048, "none"),
    Sharded("small-4k", SMALL, 1, 4096, "none", measured_quiet=True),
    Sharded("small-4k-b4", SMALL, 4, 4096, "none"),
    Sharded("small-2k-eager", SMALL, 1, 2048, "none", compiled=False),
    Sharded("deep-4k-b2-eager", DEEP, 2, 4096, "none", compiled=False),
    Sharded("deep-4k-float8", DEEP, 1, 4096, "none", "tensorwise"),
    Sharded("wide-4k-full-eager", WIDE, 1, 4096, "full", compiled=False),
)
WARM_UP_STEPS: Final = 4
LEAST_STEPS: Final = 8
LEAST_SECONDS: Final = 4.0
SECONDS_A_RUN: Final = 45.0


def main() -> None:
    import torch
    import torch.distributed as dist

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default="", help="runs whose name holds one of these, with commas between")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60.0
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl", device_id=torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    _written(arguments.out, {"scenario": "collectives", "gpus": dist.get_world_size(), "rates": _collectives()})
    wanted = [run for run in RUNS if any(part in run.scenario for part in arguments.only.split(","))]
    for run in wanted:
        late = torch.tensor([float(time.monotonic() > end - SECONDS_A_RUN)], device="cuda")
        dist.all_reduce(late)
        if late.item() > 0.0:
            break
        try:
            line = _trained(run)
        except Exception as error:  # a run that does not fit is a result too
            line = {"scenario": run.scenario, "error": repr(error)[:300]}
        _written(arguments.out, line)
        gc.collect()
        torch.cuda.empty_cache()
        torch._dynamo.reset()
    dist.destroy_process_group()


def _written(path: str, line: dict[str, Any]) -> None:
    import torch.distributed as dist

    if dist.get_rank() == 0:
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")
        shown = {key: value for key, value in line.items() if key not in ("config", "quiet")}
        print(json.dumps(shown)[:900], flush=True)


def _collectives() -> dict[str, dict[str, float]]:
    """Bytes/s that one GPU sends, by name and message in MiB."""
    import torch
    import torch.distributed as dist

    count, found = dist.get_world_size(), {}
    for mib in (16, 64, 256, 1024):
        whole = torch.empty(mib * 2**19, dtype=torch.bfloat16, device="cuda")
        part = torch.empty(whole.numel() // count, dtype=torch.bfloat16, device="cuda")
        seconds = {
            "gather": _median_seconds(partial(dist.all_gather_into_tensor, whole, part)),
            "reduce": _median_seconds(partial(dist.reduce_scatter_tensor, part, whole)),
        }
        sent = whole.numel() * 2 * (count - 1) / count
        found[str(mib)] = {name: sent / spent for name, spent in seconds.items()}
    return found


def _median_seconds(work: Callable[[], Any], times: int = 12) -> float:
    import torch

    spent: list[float] = []
    for _ in range(times):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        spent.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(spent[2:])


def _trained(run: Sharded) -> dict[str, Any]:
    import torch
    import torch.distributed as dist

    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    model = _sharded(run)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    one_step = _stepper(run, model, optimizer)
    phases: list[list[float]] = []
    seconds, steps, gpu = _timed(lambda: phases.append(one_step()))
    gpus, peak = dist.get_world_size(), torch.cuda.max_memory_allocated() / 2**30
    told = {key: value for key, value in asdict(run).items() if key != "measured_quiet"}
    names = ("forward", "backward", "clip", "optimizer")
    kept = phases[-steps:]
    return {
        **told,
        "truth": "none", "kind": "train", "engine": "PyTorch" if run.pure else "torchtitan",
        "gpu": torch.cuda.get_device_name(), "gpus": gpus, "data_parallel": gpus,
        "precision": "fp8" if run.recipe else "bf16", "weights": "bf16",
        "sharding": "fsdp" if run.resharded else "zero2", "accumulation": 1, "attn": "sdpa",
        "optim": "adamw_torch_fused", "link": "nvlink", "steps": steps, "seconds": seconds, "step_s": seconds / steps,
        "peak_gib": peak, "torch": torch.__version__, "gpu_state": gpu,
        "phases": {name: statistics.median(each[i] for each in kept) for i, name in enumerate(names)},
        "kernels": profiled(one_step),
        "quiet": _quiet(run, model) if run.measured_quiet else None,
    }  # fmt: skip


def _sharded(run: Sharded) -> Any:
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    with torch.device("meta"):
        model = llama(run.config)
    if run.recipe:
        to_float8(model, run.recipe)
    if run.pure:
        model.to(torch.bfloat16)
    for name, layer in model.layers.named_children():
        kept = checkpointed(layer, run.recompute)
        model.layers.register_module(name, torch.compile(kept, fullgraph=True) if run.compiled else kept)
    mixed = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    policy = MixedPrecisionPolicy() if run.pure else mixed
    for layer in model.layers.children():
        fully_shard(layer, mp_policy=policy, reshard_after_forward=run.resharded)
    fully_shard(model, mp_policy=policy, reshard_after_forward=run.resharded)
    model.to_empty(device="cuda")
    with torch.no_grad():
        for each in model.parameters():
            each.normal_(std=0.02) if each.dim() > 1 else each.fill_(1.0)
    model.prepare()
    return model


def _stepper(run: Sharded, model: Any, optimizer: Any) -> Callable[[], list[float]]:
    """One whole step; seconds of its phases, known only once the GPU has done it, so those of the step before."""
    import torch

    rows = torch.randint(0, run.config["vocab_size"], (run.micro_batch, run.seq_len + 1), device="cuda")
    loss = torch.compile(loss_of) if run.compiled else loss_of
    marks: list[list[Any]] = []

    def one_step() -> list[float]:
        marks.append([torch.cuda.Event(enable_timing=True) for _ in range(5)])
        now = marks[-1]
        now[0].record()
        found = loss(model(rows[:, :-1]), rows[:, 1:])
        now[1].record()
        found.backward()
        now[2].record()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        now[3].record()
        optimizer.step()
        optimizer.zero_grad()
        now[4].record()
        if len(marks) < 3:
            return [0.0] * 4
        old = marks.pop(0)
        old[4].synchronize()
        return [one.elapsed_time(other) / 1e3 for one, other in pairwise(old)]

    return one_step


def _timed(work: Callable[[], Any]) -> tuple[float, int, dict[str, float]]:
    """Seconds, steps, and what the GPU said meanwhile."""
    import torch
    import torch.distributed as dist

    for _ in range(WARM_UP_STEPS):
        work()
    torch.cuda.synchronize()
    dist.barrier()
    said: list[tuple[float, float]] = []
    begin, steps = time.perf_counter(), 0
    while True:
        work()
        steps += 1
        if steps % 4:
            continue
        said.append(_gpu_state())
        torch.cuda.synchronize()
        spent = torch.tensor([time.perf_counter() - begin], device="cuda")
        dist.all_reduce(spent, op=dist.ReduceOp.MAX)
        if steps >= LEAST_STEPS and spent.item() > LEAST_SECONDS:
            clock, power = (statistics.fmean(each) for each in zip(*said, strict=True))
            return float(spent.item()), steps, {"sm_clock": clock, "power_w": power}


def _gpu_state() -> tuple[float, float]:
    import torch

    return float(torch.cuda.clock_rate()), float(torch.cuda.power_draw()) / 1e3


def _quiet(run: Sharded, model: Any) -> dict[str, float] | None:
    """Kernels of forward and backward with nothing to gather or to reduce; None where that does not fit."""
    import torch

    for each in (model.set_reshard_after_forward, model.set_reshard_after_backward, model.set_requires_gradient_sync):
        each(False)
    rows = torch.randint(0, run.config["vocab_size"], (run.micro_batch, run.seq_len + 1), device="cuda")
    loss = torch.compile(loss_of) if run.compiled else loss_of

    def both_passes() -> None:
        loss(model(rows[:, :-1]), rows[:, 1:]).backward()

    try:
        for _ in range(2):
            both_passes()
        return profiled(both_passes)
    except torch.OutOfMemoryError:
        return None


if __name__ == "__main__":
    main()
