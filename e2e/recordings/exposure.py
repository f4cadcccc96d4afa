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
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

from e2e.recordings import ranks
from e2e.recordings.kernels import profiled
from e2e.recordings.llama import LLAMA_8B, checkpointed, filled, llama, loss_of
from e2e.recordings.shards import Run, to_float8

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
SECONDS_A_RUN: Final = 45.0


def main() -> None:
    import torch.distributed as dist

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default="", help="runs whose name holds one of these, with commas between")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60.0
    ranks.join()
    ranks.write(arguments.out, {"scenario": "collectives", "gpus": dist.get_world_size(), "rates": _collectives()})
    wanted = [run for run in RUNS if any(part in run.scenario for part in arguments.only.split(","))]
    ranks.record(wanted, _trained, out=arguments.out, end=end, seconds_a_run=SECONDS_A_RUN)
    dist.destroy_process_group()


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
    model = _sharded(run)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    one_step = _stepper(run, model, optimizer)
    phases: list[list[float]] = []
    found = ranks.timed(lambda: phases.append(one_step()), least_steps=8, least_seconds=4.0, look=_gpu_state)
    clock, power = (statistics.fmean(each) for each in zip(*found.looks, strict=True))
    gpus = dist.get_world_size()
    told = {key: value for key, value in asdict(run).items() if key != "measured_quiet"}
    names = ("forward", "backward", "clip", "optimizer")
    kept = phases[-found.steps :]
    return {
        **told,
        "truth": "none", "kind": "train", "engine": "PyTorch" if run.pure else "torchtitan",
        "gpus": gpus, "data_parallel": gpus,
        "precision": "fp8" if run.recipe else "bf16", "weights": "bf16",
        "sharding": "fsdp" if run.resharded else "zero2", "accumulation": 1, "attn": "sdpa",
        "optim": "adamw_torch_fused", "link": "nvlink", **ranks.measured(found),
        "gpu_state": {"sm_clock": clock, "power_w": power},
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
    model.to_empty(device=ranks.device())
    filled(model)
    model.prepare(run.seq_len)
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
