"""What the kernels of a program spend a GPU's time on, by PyTorch's profiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

KINDS: Final = (
    ("nccl", ("nccl",)),
    ("attention", ("flash", "fmha", "sdpa", "attention")),
    ("product", ("gemm", "nvjet", "cutlass", "xmma", "cublas")),
    ("copy_in", ("chunk_cat",)),
    ("copy_out", ("split_with_sizes",)),
    ("optimizer", ("multi_tensor", "fused_adam")),
    ("moved", ("memcpy", "memset")),
    ("fused", ("triton",)),
)
"""Kinds of kernels and parts of their names; the first that matches."""


def profiled(work: Callable[[], Any], times: int = 3) -> dict[str, float]:
    """Seconds of each kind of kernel in one turn of the work, seen on this GPU."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    work()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(times):
            work()
        torch.cuda.synchronize()
    assert found.profiler is not None and found.profiler.kineto_results is not None
    events = [
        (kind_of(each.name()), each.start_ns() / 1e9, (each.start_ns() + each.duration_ns()) / 1e9)
        for each in found.profiler.kineto_results.events()
        if each.device_type() == torch.autograd.DeviceType.CUDA and each.duration_ns() > 0 and not _annotation(each)
    ]
    return {name: value / times for name, value in spent_on(events).items()}


def _annotation(event: Any) -> bool:
    """A named stretch of the program on the GPU's time line, no kernel."""
    told = getattr(event, "is_user_annotation", None)
    return bool(told is not None and told())


def kind_of(name: str) -> str:
    """What a kernel of that name does."""
    low = name.lower()
    return next((kind for kind, parts in KINDS if any(part in low for part in parts)), "other")


def spent_on(events: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds of each kind; `span` from first to last, `nccl_alone` while only exchanges run, `idle` while nothing.

    An exchange from 0 to 3 s and a product from 1 to 2 s: nccl 3, product 1, nccl_alone 2, idle 0, span 3.
    """
    found: dict[str, float] = {}
    for kind, begin, end in events:
        found[kind] = found.get(kind, 0.0) + end - begin
    span = max(end for *_, end in events) - min(begin for _, begin, _ in events)
    computing = _covered([each[1:] for each in events if each[0] != "nccl"])
    busy = _covered([each[1:] for each in events])
    return {**found, "span": span, "nccl_alone": busy - computing, "idle": span - busy}


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that at least one of the spans holds."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total
