"""GPUs that wait for their host: nothing allocated to do, batches that come late, kernels launched too slowly."""

from __future__ import annotations

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.gaps import Gaps, gap_kind
from mfu.observe.diagnosis.shape import launch_bound, only_restarts, outlasts_launches
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.evidence import mean_or_nan
from mfu.observe.progress import gauge, rate
from mfu.observe.readings import Counter, Gauge, Metric
from mfu.predict.names import StepTerm

IDLE = 0.06
"""Share of time without work from which a training GPU is said to wait; healthy recordings idle 0.1 to 1.2 %."""
ALLOCATED_IDLE = 0.03
"""Active share below which nothing is running at all."""
THIN_SM = 0.82
"""SM activity while active below which kernels do not fill the GPU: 0.67 launch-bound, 0.86 to 0.96 healthy."""
THIN_TENSOR = 0.40
HOST_AT_MOST = 0.6
"""Idle share that late launches of full kernels may bring."""


def idle_allocation(situation: Situation) -> Finding | None:
    """Nothing runs on any device."""
    active = mean_or_nan(situation.evidence.active)
    if not np.isfinite(active) or active > ALLOCATED_IDLE:
        return None
    accusation = Accusation(
        cause=Cause.IDLE_ALLOCATION,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(ALLOCATED_IDLE - active, 0.0, ALLOCATED_IDLE),
        speedup=1 / ALLOCATED_IDLE,
        action=f"release {situation.evidence.devices} idle GPUs, or start the work that they were allocated for",
        counterfactual_mfu=situation.expected.mfu if situation.expected else None,
    )
    return finding(
        situation, accusation, fraction("GPU active", active), count("window", situation.evidence.seconds, "s")
    )


def data_starvation(situation: Situation) -> Finding | None:
    """GPUs go quiet for longer than launches take, and work at their usual pace in between."""
    waited = _reported_wait(situation)
    idle = situation.evidence.idle
    if waited is None and not _starved(situation, idle):
        return None
    lost = max(idle - _launching(situation) if np.isfinite(idle) else 0.0, waited or 0.0)
    if lost < IDLE:
        return None
    where = "loader or storage: indistinguishable by counters" if waited is None else "the loop reports the wait itself"
    accusation = Accusation(
        cause=Cause.DATA_STARVATION,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(lost, IDLE, 0.25),
        speedup=1 / max(1 - lost, 0.02),
        action=f"feed the GPUs ({where}): they wait {100 * lost:.0f} % of the time; more workers, prefetching, caching",
    )
    reported = () if waited is None else (fraction("time waiting for data, reported", waited),)
    return finding(
        situation,
        accusation,
        fraction("GPU active", 1 - idle),
        fraction("tensor activity while active", situation.evidence.busy(Metric.TENSOR_ACTIVE)),
        *reported,
    )


def _starved(situation: Situation, idle: float) -> bool:
    """One gap a step proves it; unseen ones count as such where they are longer than a host needs to launch the whole
    step, or where neither launches nor kernels too small account for them."""
    if not np.isfinite(idle) or idle > 1 - ALLOCATED_IDLE or situation.inference is not None:
        return False
    if idle - _launching(situation) < IDLE:
        return False
    gaps = gap_kind(situation)
    if gaps is not Gaps.UNCLEAR:
        return gaps is Gaps.LONG or _no_host_is_that_slow(situation)
    if only_restarts(situation):
        return False
    return outlasts_launches(situation) or not (launch_bound(situation) or thin_kernels(situation))


def _launching(situation: Situation) -> float:
    """Share of the step that the program as declared leaves the GPU idle by itself: the Trainer reads its loss back in
    every micro-batch, and launches the next forward pass into an idle GPU."""
    expected = situation.expected
    if expected is None or situation.training is None or not expected.step_seconds:
        return 0.0
    return sum(each.seconds for each in expected.waterfall if each.name == StepTerm.HOST) / expected.step_seconds


def _no_host_is_that_slow(situation: Situation) -> bool:
    """Kernels that fill the GPU, and several times as long without any: launching them does not take that long."""
    return situation.evidence.idle > HOST_AT_MOST and outlasts_launches(situation) and not thin_kernels(situation)


def thin_kernels(situation: Situation) -> bool:
    """Tensor cores quiet and SMs few (where that is read) while anything runs: kernels do not fill the GPU."""
    full, tensor = situation.evidence.busy(Metric.SM_ACTIVE), situation.evidence.busy(Metric.TENSOR_ACTIVE)
    return bool(tensor < THIN_TENSOR and not full >= THIN_SM)


def _reported_wait(situation: Situation) -> float | None:
    seconds = rate(situation.series.progress, Counter.DATA_WAIT_SECONDS, since=situation.since, now=situation.now)
    return None if seconds is None else min(1.0, seconds.per_second / max(1, seconds.pods))


def host_overhead(situation: Situation) -> Finding | None:
    """Many short gaps between kernels that do fill the GPU: the host launches them more slowly than they finish."""
    idle = situation.evidence.idle
    if not np.isfinite(idle) or idle < IDLE or gap_kind(situation) is not Gaps.SHORT or short_of_requests(situation):
        return None
    if _no_host_is_that_slow(situation):
        return None
    accusation = Accusation(
        cause=Cause.HOST_OVERHEAD,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(idle, IDLE, 0.4) - 0.1,
        speedup=1 / max(1 - idle, 0.02),
        action="launch less: torch.compile or CUDA graphs, fewer and larger kernels, a faster or less contended CPU",
    )
    return finding(
        situation,
        accusation,
        fraction("GPU active", 1 - idle),
        fraction("SM activity while active", situation.evidence.busy(Metric.SM_ACTIVE)),
    )


def short_of_requests(situation: Situation) -> bool:
    """Serving that idles because nobody asks is not the host's fault."""
    if situation.inference is None:
        return False
    waiting = gauge(situation.series.progress, Gauge.WAITING_REQUESTS, since=situation.since, now=situation.now)
    running = gauge(situation.series.progress, Gauge.RUNNING_REQUESTS, since=situation.since, now=situation.now)
    wanted = situation.inference.concurrency
    queued = bool(waiting) and float(np.mean(waiting)) >= 1
    full = bool(running) and wanted is not None and float(np.mean(running)) >= wanted
    return not queued and not full
