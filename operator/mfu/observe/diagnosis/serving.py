"""Serving: decode is judged on memory bandwidth; what more concurrency would bring is shown, waste or not."""

from __future__ import annotations

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.catalog import device_bandwidth, device_memory, device_peak
from mfu.hardware.types import BYTES_PER_VALUE
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.situation import WORTH, Situation
from mfu.observe.diagnosis.waiting import short_of_requests
from mfu.observe.progress import gauge
from mfu.observe.readings import Gauge, Metric
from mfu.predict.types import Inference
from mfu.workload.stored_bytes import kv_bytes, weight_bytes, weight_bytes_read

HEALTHY_DRAM = 0.50
"""Memory activity from which decode is at its limit in practice (about 0.8 of the peak is the most that DRAM gives)."""
WEIGHT_BOUND = 0.60
"""Share of moved bytes that are weights from which doubling concurrency adds at least 43 % more tokens."""
FEW = 0.10
"""Share of the sequences that would balance compute and memory, below which the tensor cores are all but unused."""
UNDERLOADED = 0.15
"""Idle share from which a serving engine without a queue has too little to do."""
FULL_CACHE = 0.95
VARIABLE = 0.5
"""Coefficient of variation of running requests from which load, not the engine, sets the pace."""


def kv_cache_pressure(situation: Situation) -> Finding | None:
    """The cache is full and requests wait or are thrown out of it."""
    usage, waiting = _gauge(situation, Gauge.KV_CACHE_USAGE), _gauge(situation, Gauge.WAITING_REQUESTS)
    preempted = _gauge(situation, Gauge.PREEMPTIONS)
    if not usage or float(np.mean(usage)) < FULL_CACHE:
        return None
    thrown = bool(preempted) and preempted[-1] > preempted[0]
    queue = float(np.mean(waiting)) if waiting else 0.0
    if not thrown and queue < 1:
        return None
    running = _gauge(situation, Gauge.RUNNING_REQUESTS)
    mean_running = float(np.mean(running)) if running else 0.0
    speedup = 1 + min(1.0, queue / mean_running) if mean_running > 0 else 1.2
    accusation = Accusation(
        cause=Cause.KV_CACHE_PRESSURE,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=0.9 if thrown else 0.75,
        speedup=speedup,
        action="give the cache more room: FP8 KV cache, more tensor parallelism or replicas, a shorter context limit",
    )
    return finding(
        situation,
        accusation,
        fraction("KV cache in use", float(np.mean(usage))),
        count("requests waiting", queue, "requests"),
    )


def low_concurrency(situation: Situation) -> Finding | None:
    """Decode that moves the weights for too few sequences: more of them cost almost nothing."""
    inference = situation.inference
    if inference is None:
        return None
    if situation.evidence.working < 1 - UNDERLOADED and short_of_requests(situation):
        return _underloaded(situation)
    return _lonely(situation, inference) if situation.decoding else None


def _lonely(situation: Situation, inference: Inference) -> Finding | None:
    running = _gauge(situation, Gauge.RUNNING_REQUESTS)
    batch = float(np.mean(running)) if running else inference.concurrency
    if not batch or batch <= 0:
        return None
    weights, cache = _bytes(inference)
    share = weights / (weights + batch * cache)
    room = _room(situation, inference, cache)
    target = min(room, max(2 * batch, weights / max(cache, 1.0)))
    more = _weights(inference, target) + target * cache
    speedup = (target / batch) * (weights + batch * cache) / more if target > batch else 1.0
    if share < WEIGHT_BOUND or speedup < 1.3 or batch > FEW * _ridge(situation, inference):
        return None
    accusation = Accusation(
        cause=Cause.LOW_CONCURRENCY,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=graded(share, WEIGHT_BOUND, 0.95),
        speedup=speedup,
        wasted=_allowed(situation),
        action=f"serve {target:.0f} sequences at once instead of {batch:.0f}: {speedup:.1f} × the tokens per second",
    )
    return finding(
        situation,
        accusation,
        count("sequences in a batch", batch, "sequences"),
        fraction("weights among the bytes moved", share),
        fraction("memory activity", situation.evidence.average(Metric.DRAM_ACTIVE)),
    )


def _allowed(situation: Situation) -> bool:
    """Where the planner was asked, more concurrency must be among the changes that spec and latency limits allow."""
    if situation.attainable is None or situation.expected is None:
        return True
    gain = situation.attainable.prediction.tokens_per_s_per_gpu / max(situation.expected.tokens_per_s_per_gpu, 1e-9)
    return gain >= WORTH and situation.allows("concurrency")


def _underloaded(situation: Situation) -> Finding:
    """The engine waits for requests: nothing is slow, there is too little to do."""
    working = situation.evidence.working
    speedup = 1 / max(working, 0.05)
    accusation = Accusation(
        cause=Cause.LOW_CONCURRENCY,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(1 - working, UNDERLOADED, 0.7),
        speedup=speedup,
        action=f"send more requests to fewer replicas: this one works {100 * working:.0f} % of the time",
    )
    return finding(situation, accusation, fraction("GPU active", working))


def _ridge(situation: Situation, inference: Inference) -> float:
    """Sequences at which a decode step's products take as long as reading the weights: H200, BF16: 206."""
    peak = device_peak(situation.device, inference.precisions.compute) or 0.0
    return peak * BYTES_PER_VALUE[inference.precisions.weights] / 2 / device_bandwidth(situation.device)


def bandwidth_bound(situation: Situation) -> Finding | None:
    """Decode at its memory limit: low MFU by nature, nothing wasted; shown with what more concurrency would bring."""
    inference = situation.inference
    dram = situation.evidence.average(Metric.DRAM_ACTIVE)
    if inference is None or not situation.decoding or not np.isfinite(dram) or dram < HEALTHY_DRAM:
        return None
    weights, cache = _bytes(inference)
    batch = inference.concurrency or 1.0
    double = 2 * (weights + batch * cache) / (_weights(inference, 2 * batch) + 2 * batch * cache)
    fits = 2 * batch <= _room(situation, inference, cache)
    more = f"twice the sequences would give {double:.2f} × the tokens" + ("" if fits else ", yet do not fit in memory")
    accusation = Accusation(
        cause=Cause.MEMORY_BOUND,
        explains=Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=graded(dram, HEALTHY_DRAM, 0.7),
        speedup=double if fits else 1.0,
        action=f"nothing is wrong: decode runs at the memory's pace; {more}",
        wasted=False,
    )
    return finding(
        situation, accusation, fraction("memory activity", dram), count("sequences in a batch", batch, "sequences")
    )


def request_variability(situation: Situation) -> Finding | None:
    """Load comes in waves: batches are full at times and empty at others, so the mean is neither."""
    running = _gauge(situation, Gauge.RUNNING_REQUESTS)
    if len(running) < 6 or float(np.mean(running)) <= 0:
        return None
    spread = float(np.std(running) / np.mean(running))
    if spread < VARIABLE:
        return None
    peak = float(np.quantile(running, 0.95))
    accusation = Accusation(
        cause=Cause.REQUEST_VARIABILITY,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(spread, VARIABLE, 1.0),
        speedup=max(1.1, min(3.0, peak / float(np.mean(running)))),
        action="smooth the load: scale replicas with it, move background requests to quiet times, cap the peaks",
    )
    return finding(
        situation,
        accusation,
        count("running requests, mean", float(np.mean(running)), "requests"),
        count("running requests, 95th percentile", peak, "requests"),
    )


def _bytes(inference: Inference) -> tuple[float, float]:
    """Bytes a decode step reads: weights once, and the cache of one sequence at its mean context; the whole replica."""
    arch, kinds = inference.architecture, inference.precisions
    context = inference.input_tokens + inference.output_tokens / 2
    return _weights(inference, inference.concurrency or 1.0), kv_bytes(arch, kinds.kv_cache, context)


def _weights(inference: Inference, sequences: float) -> float:
    """Of a mixture, the experts that so many tokens touch."""
    return weight_bytes_read(inference.architecture, inference.precisions.weights, sequences)


def _room(situation: Situation, inference: Inference, cache: float) -> float:
    """Sequences that fit beside the weights at 90 % of memory."""
    weights = weight_bytes(inference.architecture, inference.precisions.weights)
    gpus = situation.placement.gpus if situation.placement else situation.evidence.devices
    return max(0.0, (0.9 * device_memory(situation.device) * gpus - weights) / max(cache, 1.0))


def _gauge(situation: Situation, name: Gauge) -> tuple[float, ...]:
    return gauge(situation.series.progress, name, since=situation.since, now=situation.now)
