"""Every cause at three strengths on several shapes, and the healthy runs that nobody may accuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mfu.api.causes import Cause
from mfu.hardware.types import Precision
from mfu.observe.readings import Counter, Gauge, Metric, ProgressReading
from mfu.predict import attainable, predict
from mfu.predict.types import (
    Attainable,
    Parallelism,
    Placement,
    Precisions,
    Prediction,
    Recompute,
    Sharding,
    Tunable,
)
from mfu.workload.presets import preset
from tests.builders.faults import (
    GIB,
    H100,
    H200,
    SECONDS,
    Rank,
    Run,
    decoding,
    device,
    gpt,
    idle_phase,
    mixed,
    phase,
    run,
    series,
    spin_phase,
    timeline,
    training,
    transfer_phase,
)

STEP = 0.276
"""Seconds of a healthy step of eight sequences of 2048 tokens (gpu_runs.csv, H200-run-train-1.3b-b8-eager)."""


def every_run() -> Iterator[Run]:
    for make in (
        healthy,
        starved,
        stragglers,
        communicating,
        small,
        unfused,
        wrong_precision,
        recomputing,
        lonely,
        throttled,
        degraded,
        host_bound,
        pressed,
        variable,
        idle,
        bubbling,
        misplaced,
    ):
        yield from make()


def _row(scenario: str = "ddp-healthy-nvlink", memory_gib: float | None = 44.0) -> np.ndarray:
    row = phase(scenario).copy()
    if memory_gib is not None:
        row[Metric.FB_USED] = memory_gib * GIB
    return row


def _eager() -> np.ndarray:
    """A healthy single GPU: the data-parallel recording without its links."""
    row = _row()
    row[[Metric.NVLINK_RX, Metric.NVLINK_TX]] = 0.0
    return row


def healthy() -> Iterator[Run]:
    for seed, product in enumerate((H200, H100)):
        values = timeline((Rank(((STEP, _eager()),)),), seed=seed, events=4)
        yield run("healthy one GPU", Cause.NONE, training(), values, product=product)
        values = timeline((Rank(((STEP, _row()),)),) * 8, seed=seed + 10, events=4)
        yield run("healthy eight GPUs", Cause.NONE, training(ranks=8), values, product=product)
        compiled = _row("healthy", 61.0)
        values = timeline((Rank(((0.383, compiled),)),), seed=seed + 20, events=4)
        yield run("healthy compiled", Cause.NONE, training(12), values, product=product)
        values = timeline((Rank(((0.0095, _row("decode-b64", 50.0)),)),), seed=seed + 30, events=4)
        yield run("healthy decode", Cause.NONE, decoding(64), values, product=product)
    wide = training(4, 4096, arch=gpt(16, 4096))
    values = timeline((Rank(((0.5, _row(memory_gib=75.0)),)),) * 2, seed=40, events=4)
    yield run("healthy wide", Cause.NONE, replace(wide, global_batch_size=8, parallelism=Parallelism(data=2)), values)


def starved() -> Iterator[Run]:
    for seed, wait in enumerate((0.12, 0.30, 0.60)):
        gap = STEP * wait / (1 - wait)
        work = _eager()
        rank = Rank(((STEP, work), (gap, idle_phase(work))), jitter=0.15)
        yield run(f"starved {wait}", Cause.DATA_STARVATION, training(), timeline((rank,), seed=seed, events=4))
        both = _row()
        shared = Rank(((STEP, both), (gap, idle_phase(both))), jitter=0.15)
        values = timeline((shared,) * 2, seed=seed + 3, events=4, lockstep=False)
        yield run(f"starved pair {wait}", Cause.DATA_STARVATION, training(ranks=2), values, product=H100)
        burst = Rank(((10.0, work), (10.0 * wait / (1 - wait), idle_phase(work))))
        values = timeline((burst,), seed=seed + 6, events=4)
        yield run(f"starved in bursts {wait}", Cause.DATA_STARVATION, training(), values)


def stragglers() -> Iterator[Run]:
    work = _row()
    for seed, wait in enumerate((0.12, 0.25, 0.50)):
        gap = STEP * wait / (1 - wait)
        late = Rank(((STEP, work), (gap, idle_phase(work))), jitter=0.1)
        waiting = Rank(((STEP, work), (gap, spin_phase(work))), jitter=0.1)
        for ranks in (2, 8):
            values = timeline((late,) + (waiting,) * (ranks - 1), seed=seed, events=4)
            yield run(f"late rank {wait} of {ranks}", Cause.STRAGGLER, training(ranks=ranks), values)
        busy = Rank(((STEP + gap, work),))
        values = timeline((waiting, busy, waiting, waiting), seed=seed + 3, events=4)
        yield run(f"loaded rank {wait}", Cause.STRAGGLER, training(ranks=4), values, product=H100)
        slow = work.copy()
        slow[Metric.SM_CLOCK] *= 1 - wait
        values = timeline((Rank(((STEP + gap, slow),)), waiting), seed=seed + 6, events=4)
        yield run(f"slow clock {wait}", Cause.STRAGGLER, training(ranks=2), values)


def communicating() -> Iterator[Run]:
    for seed, share in enumerate((0.20, 0.40, 0.65)):
        work = _row(memory_gib=20.0)
        work[Metric.TENSOR_ACTIVE], work[Metric.SM_ACTIVE], work[Metric.SM_CLOCK] = 0.45, 0.82, 1.87e9
        work[[Metric.NVLINK_RX, Metric.NVLINK_TX]] = 0.0
        compute = 0.042
        exchange = compute * share / (1 - share)
        over_pcie = Rank(((compute, work), (exchange, transfer_phase(work, pcie=40e9))))
        values = timeline((over_pcie,) * 2, seed=seed)
        yield run(f"PCIe {share}", Cause.COMMUNICATION, training(1, ranks=2), values, nvlink=False)
        over_nvlink = Rank(((compute, work), (exchange, transfer_phase(work, nvlink=300e9))))
        values = timeline((over_nvlink,) * 4, seed=seed + 3, events=4)
        yield run(f"NVLink {share}", Cause.COMMUNICATION, training(1, ranks=4), values, product=H100)
    for seed, share in enumerate((0.35, 0.50, 0.70)):
        work = _row()
        slow = Rank(((STEP, work), (STEP * share / (1 - share), transfer_phase(work, pcie=3e9))))
        values = timeline((slow,) * 8, seed=seed + 6)
        yield run(f"slow network {share}", Cause.COMMUNICATION, training(ranks=16), values, gpus=16)


def small() -> Iterator[Run]:
    for seed, (sequence, more) in enumerate(((128, 0.0), (256, 0.06), (384, 0.12))):
        row = mixed((1 - more, phase("small-batch")), (more, _eager()))
        row[Metric.FB_USED] = 12 * GIB
        for product in (H200, H100):
            values = timeline((Rank(((0.026, row),)),), seed=seed)
            yield run(f"small batch {sequence}", Cause.SMALL_BATCH, training(1, sequence), values, product=product)


def unfused() -> Iterator[Run]:
    for seed, share in enumerate((1.0, 0.85, 0.7)):
        row = mixed((share, phase("naive-attention")), (1 - share, _eager()))
        row[Metric.FB_USED] = 70 * GIB
        setup = training(4, 4096, arch=gpt(24, 1024, 64))
        yield run(f"unfused {share}", Cause.MEMORY_BOUND, setup, timeline((Rank(((0.5, row),)),), seed=seed))
        values = timeline((Rank(((0.5, row),)),) * 2, seed=seed + 3)
        pair = training(8, 2048, 2, arch=gpt(24, 1024, 64))
        yield run(f"unfused pair {share}", Cause.MEMORY_BOUND, pair, values, product=H100)


def wrong_precision() -> Iterator[Run]:
    for seed, share in enumerate((1.0, 0.85, 0.7)):
        row = mixed((share, phase("fp32")), (1 - share, _eager()))
        row[Metric.FB_USED] = 46 * GIB
        values = timeline((Rank(((1.4, row),)),), seed=seed)
        declared = replace(training(4), precisions=Precisions(Precision.FP32, Precision.FP32, Precision.FP32))
        yield run(f"fp32 declared {share}", Cause.PRECISION, declared, values)
        yield run(f"fp32 undeclared {share}", Cause.PRECISION, training(4), values, product=H100)


def recomputing() -> Iterator[Run]:
    for seed, (micro_batch, memory, arch) in enumerate(((8, 23.4, gpt()), (16, 33.0, gpt()), (8, 26.0, gpt(16, 3072)))):
        row = _row("recompute", memory)
        values = timeline((Rank(((0.33, row),)),), seed=seed, events=4)
        yield run(f"recompute {micro_batch}", Cause.RECOMPUTE, training(micro_batch, arch=arch), values)
        declared = replace(training(micro_batch, arch=arch), recompute=Recompute.FULL)
        yield run(f"recompute declared {micro_batch}", Cause.RECOMPUTE, declared, values)


def lonely() -> Iterator[Run]:
    for seed, batch in enumerate((1, 4, 8)):
        row = phase("decode-b64").copy()
        row[Metric.TENSOR_ACTIVE] *= batch / 64
        row[Metric.FB_USED] = 20 * GIB
        for product in (H200, H100):
            values = timeline((Rank(((0.005, row),)),), seed=seed, events=4)
            yield run(f"decode batch {batch}", Cause.LOW_CONCURRENCY, decoding(batch), values, product=product)


def throttled() -> Iterator[Run]:
    for seed, factor in enumerate((0.85, 0.7, 0.5)):
        row = _row()
        row[Metric.SM_CLOCK] *= factor
        row[Metric.POWER] *= factor
        values = timeline((Rank(((STEP / factor, row),)),) * 4, seed=seed, events=0x20)
        yield run(f"hot {factor}", Cause.POWER_OR_THERMAL, training(ranks=4), values)
        values = timeline((Rank(((STEP / factor, row),)),) * 2, seed=seed + 3, events=0x4)
        values[..., Metric.POWER_LIMIT] = 700.0 * factor
        yield run(f"capped {factor}", Cause.POWER_OR_THERMAL, training(ranks=2), values, product=H100)


def degraded() -> Iterator[Run]:
    for seed, (metric, before, after) in enumerate(
        ((Metric.XID, 0.0, 79.0), (Metric.ECC_UNCORRECTED, 2.0, 5.0), (Metric.PCIE_LINK_WIDTH, 8.0, 8.0))
    ):
        values = timeline((Rank(((STEP, _row()),)),) * 4, seed=seed, events=4)
        values[..., metric] = 16.0 if metric is Metric.PCIE_LINK_WIDTH else before
        values[: SECONDS // 2, 2, metric], values[SECONDS // 2 :, 2, metric] = before, after
        yield run(f"degraded {metric.name}", Cause.DEGRADED_HARDWARE, training(ranks=4), values)


def host_bound() -> Iterator[Run]:
    for seed, wait in enumerate((0.2, 0.35, 0.5)):
        work = _eager()
        row = mixed((1 - wait, work), (wait, idle_phase(work)))
        for product in (H200, H100):
            values = timeline((Rank(((STEP / (1 - wait), row),)),), seed=seed)
            yield run(f"slow launches {wait}", Cause.HOST_OVERHEAD, training(), values, product=product)


def _serving(name: str, cause: Cause, gauges: list[dict[Gauge, float]], *, batch: float = 64) -> Run:
    values = timeline((Rank(((0.0095, _row("decode-b64", 120.0)),)),), seed=len(name), events=4)
    made = run(name, cause, decoding(batch), values)
    step = SECONDS / len(gauges)
    progress = tuple(
        ProgressReading("default", "pod-0", "vllm", step * (i + 1), {Counter.DECODE_TOKENS: 1e3 * i}, each)
        for i, each in enumerate(gauges)
    )
    return replace(made, series=series(values, progress=progress))


def pressed() -> Iterator[Run]:
    for queue in (4.0, 20.0, 60.0):
        gauges = [
            {
                Gauge.KV_CACHE_USAGE: 0.97 + 0.01 * (i % 3),
                Gauge.WAITING_REQUESTS: queue + i % 2,
                Gauge.PREEMPTIONS: float(i),
                Gauge.RUNNING_REQUESTS: 60.0,
            }
            for i in range(12)
        ]
        yield _serving(f"cache full, {queue:.0f} wait", Cause.KV_CACHE_PRESSURE, gauges)


def variable() -> Iterator[Run]:
    for high, low in ((64.0, 16.0), (64.0, 8.0), (64.0, 2.0)):
        gauges = [{Gauge.RUNNING_REQUESTS: high if i % 4 < 2 else low} for i in range(20)]
        yield _serving(f"waves {high:.0f} to {low:.0f}", Cause.REQUEST_VARIABILITY, gauges)


def idle() -> Iterator[Run]:
    for seed, active in enumerate((0.0, 0.01, 0.02)):
        row = mixed((active, _eager()), (1 - active, idle_phase(_eager())))
        row[Metric.FB_USED] = 5 * GIB
        values = timeline((Rank(((1.0, row),)),) * 2, seed=seed)
        yield run(f"idle {active}", Cause.IDLE_ALLOCATION, training(ranks=2), values)


def misplaced() -> Iterator[Run]:
    """Tensor parallelism far wider than the model needs: the time goes to all-reduces that were asked for."""
    for seed, parallel in enumerate((Parallelism(tensor=8), Parallelism(tensor=8, data=2), Parallelism(tensor=16))):
        gpus = parallel.tensor * parallel.data
        setup = replace(
            training(1, 4096, arch=preset("llama-3.1-8b")),
            parallelism=parallel,
            sharding=Sharding.ZERO1,
            global_batch_size=4 * gpus,
            engine="Megatron",
        )
        placement = Placement(device(H100), gpus)
        expected, best = predict(setup, placement), attainable(setup, placement, frozenset({Tunable.LAYOUT}))
        if not isinstance(expected, Prediction) or not isinstance(best, Attainable):
            raise AssertionError(f"{expected} {best}")
        work = _row(memory_gib=60.0)
        busy = min(0.95, expected.mfu / 0.5)
        rank = Rank(((0.2 * busy, work), (0.2 * (1 - busy), transfer_phase(work, nvlink=250e9))))
        made = run(f"layout {parallel}", Cause.WRONG_LAYOUT, setup, timeline((rank,) * gpus, seed=seed), product=H100)
        yield replace(made, attainable=best)


def bubbling() -> Iterator[Run]:
    for seed, (stages, micro) in enumerate(((4, 8), (4, 4), (8, 4))):
        bubble = (stages - 1) / (micro + stages - 1)
        work = _row(memory_gib=60.0)
        rank = Rank(((STEP, work), (STEP * bubble / (1 - bubble), spin_phase(work))))
        setup = replace(
            training(2, 4096, arch=gpt(32, 4096)),
            parallelism=Parallelism(pipeline=stages),
            global_batch_size=2 * micro,
        )
        values = timeline((rank,) * stages, seed=seed, events=4)
        yield run(f"pipeline {stages} stages {micro} micro-batches", Cause.PIPELINE_BUBBLE, setup, values)
