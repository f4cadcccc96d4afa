"""What recorders on several GPUs share: joining, agreeing, timing steps, writing lines. On CPUs too, to try them."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

WARM_UP_STEPS = 4


class Named(Protocol):
    @property
    def scenario(self) -> str: ...


R = TypeVar("R", bound=Named)


@dataclass(frozen=True)
class Timed:
    """Seconds of all steps, and of each as the GPU saw it."""

    seconds: float
    steps: int
    each: list[float]
    looks: list[Any] = field(default_factory=list)


@cache
def device() -> Any:
    import torch

    on_gpu = torch.cuda.is_available()
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")


def join() -> None:
    """The group of all ranks, of one alone too."""
    import torch
    import torch.distributed as dist

    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29511"), ("RANK", "0"), ("WORLD_SIZE", "1")):
        os.environ.setdefault(name, value)
    if device().type == "cuda":
        torch.cuda.set_device(device())
        dist.init_process_group("nccl", device_id=device())
    else:
        dist.init_process_group("gloo")


def any_says(mine: bool) -> bool:
    """Whether any rank says so: all must do the same, or some would wait for the others for ever."""
    return most(float(mine)) > 0.0


def most(mine: float) -> float:
    """The largest of what the ranks say."""
    import torch
    import torch.distributed as dist

    told = torch.tensor([mine], device=device())
    dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return float(told.item())


def record(
    runs: Sequence[R], trained: Callable[[R], dict[str, Any]], *, out: str, end: float, seconds_a_run: float
) -> None:
    """A line each, until too little time is left for one more."""
    for run in runs:
        if any_says(time.monotonic() > end - seconds_a_run):
            break
        try:
            line = trained(run)
        except Exception as error:  # a run that does not fit is a result too
            line = {"scenario": run.scenario, "error": repr(error)[:300]}
        write(out, line)
        let_go()


def write(path: str, line: dict[str, Any]) -> None:
    import torch.distributed as dist

    if dist.get_rank() == 0:
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")
        shown = {key: value for key, value in line.items() if key not in ("config", "quiet", "each_s")}
        print(json.dumps(shown)[:900], flush=True)


def let_go() -> None:
    import torch

    gc.collect()
    torch._dynamo.reset()
    if device().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def timed(
    work: Callable[[], Any],
    *,
    least_steps: int,
    least_seconds: float,
    most_seconds: float = 1e9,
    look: Callable[[], Any] = lambda: None,
    every: int = 4,
) -> Timed:
    """Steps after the warm-up; `look` is asked before each synchronisation."""
    import torch.distributed as dist

    for _ in range(WARM_UP_STEPS):
        work()
    wait()
    dist.barrier()
    marks, looks, begin = [_mark()], [], time.perf_counter()
    while True:
        work()
        marks.append(_mark())
        steps = len(marks) - 1
        if steps % every:
            continue
        looks.append(look())
        wait()
        spent = most(time.perf_counter() - begin)
        if (steps >= least_steps and spent > least_seconds) or spent > most_seconds:
            return Timed(spent, steps, _between(marks), looks)


def wait() -> None:
    import torch

    if device().type == "cuda":
        torch.cuda.synchronize()


def _mark() -> Any:
    import torch

    if device().type == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(marks: Sequence[Any]) -> list[float]:
    pairs = pairwise(marks)
    if device().type == "cpu":
        return [after - before for before, after in pairs]
    return [before.elapsed_time(after) / 1e3 for before, after in pairs]


@cache
def operation_seconds() -> float:
    """The host's time for one small operation, forward and backward: a chain of products that the GPU runs faster."""
    import torch

    x = torch.ones(8, device=device(), requires_grad=True)
    spent: list[float] = []
    for _ in range(12):
        wait()
        began, y = time.perf_counter(), x
        for _ in range(200):
            y = y * 1.001
        y.backward(torch.ones_like(y))
        spent.append((time.perf_counter() - began) / 200)
        wait()
    return statistics.median(spent[2:])


def measured(found: Timed) -> dict[str, Any]:
    """Fields of a line that tell what was measured: seconds, spread of the steps, memory of the fullest rank."""
    import torch

    on_gpu = device().type == "cuda"
    peak, reserved = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if on_gpu else (0, 0)
    return {
        "gpu": torch.cuda.get_device_name() if on_gpu else "CPU",
        "steps": found.steps,
        "seconds": found.seconds,
        "step_s": found.seconds / found.steps,
        "operation_s": operation_seconds(),
        "step_sd_s": statistics.stdev(found.each) if found.steps > 1 else 0.0,
        "peak_gib": most(peak / 2**30),
        "reserved_gib": most(reserved / 2**30),
        "torch": torch.__version__,
    }
