"""Runs with a planted fault, composed of phases that were recorded on real GPUs. Knows nothing of any rule.

A run is a timeline of 20 ms ticks; every tick is in one phase (computing, idle, spinning in a collective…), each phase
is a row of counters measured on an H200, and a second of telemetry is the mean of its ticks. Noise is resampled from
the second-to-second deviations of the recordings themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from mfu.api.causes import Cause
from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Unmatched
from mfu.observe.readings import (
    METRICS,
    Floats,
    GPUIdentity,
    GPUKey,
    Metric,
    ProgressReading,
    WorkloadSeries,
)
from mfu.predict.types import (
    Attainable,
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Setup,
    Sharding,
    Training,
)
from mfu.telemetry.recorded import parse
from mfu.workload.architecture import Architecture

DATA = Path(__file__).parents[3] / "shared" / "data" / "h200"
TICK_SECONDS = 0.02
TICKS = round(1 / TICK_SECONDS)
NVML_TICKS = 8
"""NVML's utilisation covers the last 1/6 s."""
SECONDS = 60
GIB = 2**30
NOISY: tuple[Metric, ...] = (
    Metric.TENSOR_ACTIVE,
    Metric.SM_ACTIVE,
    Metric.SM_OCCUPANCY,
    Metric.DRAM_ACTIVE,
    Metric.SM_CLOCK,
    Metric.POWER,
)
NOISY += (
    Metric.POWER,
    Metric.FP32_ACTIVE,
    Metric.INTEGER_ACTIVE,
    Metric.NVLINK_TX,
    Metric.NVLINK_RX,
    Metric.PCIE_TX,
    Metric.PCIE_RX,
)


@dataclass(frozen=True)
class Run:
    """One simulated workload and the cause planted in it."""

    name: str
    cause: Cause
    setup: Setup | None
    placement: Placement
    series: WorkloadSeries
    attainable: Attainable | None = None


@lru_cache(maxsize=1)
def recordings() -> dict[str, Floats]:
    """Steady seconds of every shared recording, [seconds, devices, METRICS]."""
    found = {}
    for line in (DATA / "traces.jsonl").read_text(encoding="utf-8").splitlines():
        trace = parse(line)
        found[trace.scenario] = trace.series.values[:-1]
    return found


def phase(scenario: str, device: int = 0) -> Floats:
    """Mean counters of one recorded run: a row of METRICS."""
    seconds = recordings()[scenario][:, device]
    return np.asarray(np.where(np.isfinite(seconds), seconds, 0.0).mean(axis=0))


@lru_cache(maxsize=1)
def unrecorded() -> list[int]:
    """Columns that no recording has: unknown in every run too."""
    rows = recordings().values()
    return [int(each) for each in Metric if not any(np.isfinite(row[..., each]).any() for row in rows)]


def idle_phase(like: Floats) -> Floats:
    """Nothing on the GPU, memory still held."""
    row = np.zeros(METRICS)
    row[Metric.SM_CLOCK], row[Metric.POWER] = 1.98e9, 125.0
    row[Metric.FB_USED] = like[Metric.FB_USED]
    return row


def spin_phase(like: Floats) -> Floats:
    """Waiting in a collective: the difference of the waiting and the late rank of the recorded straggler."""
    waiting, late = phase("ddp-straggler-nvlink", 0), phase("ddp-straggler-nvlink", 1)
    share = waiting[Metric.GR_ENGINE_ACTIVE] - late[Metric.GR_ENGINE_ACTIVE]
    row = idle_phase(like)
    for metric in (Metric.SM_ACTIVE, Metric.SM_OCCUPANCY, Metric.INTEGER_ACTIVE):
        row[metric] = max(0.0, (waiting[metric] - late[metric]) / share)
    row[Metric.GR_ENGINE_ACTIVE], row[Metric.POWER] = 1.0, 240.0
    return row


def transfer_phase(like: Floats, *, nvlink: float = 0.0, pcie: float = 0.0) -> Floats:
    """A collective that moves bytes: few SMs, a busy link."""
    row = spin_phase(like)
    row[Metric.SM_ACTIVE] = 0.5 if nvlink else 0.07
    row[[Metric.NVLINK_RX, Metric.NVLINK_TX]] = nvlink
    row[[Metric.PCIE_RX, Metric.PCIE_TX]] = pcie
    return row


def mixed(*parts: tuple[float, Floats]) -> Floats:
    """One row that alternates too fast for a tick to see: kernels and the gaps between them."""
    return np.asarray(sum(share * row for share, row in parts))


@dataclass(frozen=True)
class Rank:
    """What one GPU does in every step: (seconds, counters) one after the other, with `jitter` of each duration."""

    parts: tuple[tuple[float, Floats], ...]
    jitter: float = 0.05


def timeline(ranks: tuple[Rank, ...], *, seed: int, events: int = 0, lockstep: bool = True) -> Floats:
    """Telemetry [SECONDS, ranks, METRICS] of ranks that repeat their parts."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(4096, 4))
    columns = []
    for rank in ranks:
        draws = shared if lockstep else random.normal(size=shared.shape)
        columns.append(_seconds(_ticks(rank, draws)))
    values = _noisy(np.stack(columns, axis=1), random)
    values[..., Metric.CLOCK_EVENTS] = events
    values[..., unrecorded()] = np.nan
    return values


def _ticks(rank: Rank, draws: Floats) -> tuple[Floats, Floats]:
    rows = np.stack([row for _, row in rank.parts])
    index: list[np.ndarray] = []
    length, step = 0, 0
    while length < SECONDS * TICKS:
        for part, (seconds, _) in enumerate(rank.parts):
            exact = seconds * (1 + rank.jitter * draws[step % len(draws), part]) / TICK_SECONDS
            ticks = int(exact) + (draws[(step * 7 + part) % len(draws), 3] % 1 < exact % 1)
            index.append(np.full(max(0, ticks), part))
            length += max(0, ticks)
        step += 1
    chosen = np.concatenate(index)[: SECONDS * TICKS]
    return rows, chosen


def _seconds(ticks: tuple[Floats, Floats]) -> Floats:
    rows, chosen = ticks
    share = np.stack([(chosen == part).reshape(SECONDS, TICKS).mean(axis=1) for part in range(len(rows))], axis=1)
    seconds = share @ rows
    active = rows[chosen, Metric.GR_ENGINE_ACTIVE].reshape(SECONDS, TICKS)
    seconds[:, Metric.GPU_UTIL] = np.round(active[:, -NVML_TICKS:].mean(axis=1), 2)
    seconds[:, Metric.FB_USED] = rows[:, Metric.FB_USED].max()
    return np.asarray(seconds)


def _noisy(values: Floats, random: np.random.Generator) -> Floats:
    """Relative deviations of a steady recorded second from the run's mean, drawn with replacement."""
    steady = recordings()["ddp-healthy-nvlink"].reshape(-1, METRICS)
    steady = np.where(np.isfinite(steady), steady, 0.0)
    mean = steady.mean(axis=0)
    deviation = np.where(mean > 0, steady / np.where(mean > 0, mean, 1.0), 1.0)
    picked = deviation[random.integers(0, len(deviation), values.shape[:2])]
    noisy = values.copy()
    for metric in NOISY:
        noisy[..., metric] *= picked[..., metric]
    shares = slice(Metric.TENSOR_ACTIVE, Metric.DFMA_ACTIVE + 1)
    noisy[..., shares] = np.clip(noisy[..., shares], 0.0, 1.0)
    return noisy


def device(name: str) -> Device:
    found = load().resolve(name)
    if isinstance(found, Unmatched):
        raise ValueError(name)
    return found


H200, H100 = "NVIDIA H200", "NVIDIA H100 80GB HBM3"


def gpt(layers: int = 24, hidden: int = 2048, head_dim: int = 128) -> Architecture:
    heads = hidden // head_dim
    return Architecture("gpt", layers, hidden, heads, heads, head_dim, 4 * hidden, 50304, gated_ffn=False)


def training(micro_batch: int = 8, sequence: int = 2048, ranks: int = 1, arch: Architecture | None = None) -> Training:
    return Training(
        architecture=arch or gpt(),
        precisions=Precisions(),
        sequence_length=sequence,
        global_batch_size=micro_batch * ranks,
        micro_batch_size=micro_batch,
        parallelism=Parallelism(data=ranks),
        sharding=Sharding.DDP,
    )


def decoding(batch: float, context: float = 1024) -> Inference:
    arch = Architecture("gpt-7b", 32, 4096, 32, 32, 128, 16384, 32000, gated_ffn=False)
    return Inference(arch, Precisions(), Phase.DECODE, context, 1.0, batch, Parallelism())


def series(
    values: Floats, product: str = H200, progress: tuple[ProgressReading, ...] = (), seconds: int = SECONDS
) -> WorkloadSeries:
    names = tuple(GPUIdentity(GPUKey(f"GPU-{i}"), product, index=str(i)) for i in range(values.shape[1]))
    return WorkloadSeries(names, np.arange(1.0, seconds + 1), values, 1.0, progress, ("simulated",))


def run(name: str, cause: Cause, setup: Setup | None, values: Floats, *, product: str = H200, **place: object) -> Run:
    gpus = values.shape[1]
    placement = replace(Placement(device(product), gpus), **place)  # type: ignore[arg-type]
    return Run(name, cause, setup, placement, series(values, product))
