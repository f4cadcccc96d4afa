"""GPUs that wait for the host: a late batch, a slow rank, or kernels launched slower than they run."""

from __future__ import annotations

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Blame, count, finding, fraction, graded
from mfu.observe.diagnosis.case import Case
from mfu.observe.diagnosis.shape import host_seconds, launch_bound
from mfu.observe.evidence import mean_or_nan
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Metric

IDLE = 0.06
"""Share of time without work from which a training GPU is said to wait; healthy recordings idle 0.1 to 1.2 %."""
UNEVEN = 0.05
"""Difference between ranks, in share of time or of work, above which one is slower: GPUs of one node differ by up to
5 % in speed (facts/existing-mfu-tools), and ranks in lockstep by far less."""
ALLOCATED_IDLE = 0.03
"""Active share below which nothing is running at all."""


def idle_allocation(case: Case) -> Finding | None:
    """Nothing runs on any device."""
    active = mean_or_nan(case.evidence.active)
    if not np.isfinite(active) or active > ALLOCATED_IDLE:
        return None
    blame = Blame(
        cause=Cause.IDLE_ALLOCATION,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(ALLOCATED_IDLE - active, 0.0, ALLOCATED_IDLE),
        speedup=1 / ALLOCATED_IDLE,
        action=f"release {case.evidence.devices} idle GPUs, or start the work that they were allocated for",
        counterfactual_mfu=case.expected.mfu if case.expected else None,
    )
    return finding(case, blame, fraction("GPU active", active), count("window", case.evidence.seconds, "s"))


def straggler(case: Case) -> Finding | None:
    """One rank is late and the others spin for it, or one does more work or runs at a lower clock than its peers."""
    evidence = case.evidence
    if evidence.devices < 2 or case.inference is not None:
        return None
    late = _late_rank(case)
    slow = _slow_rank(case)
    if late is None and slow is None:
        return None
    index, lost, why = max((each for each in (late, slow) if each), key=lambda each: each[1])
    name = evidence.names[index]
    blame = Blame(
        cause=Cause.STRAGGLER,
        explains=Explains.RUNTIME,
        actor=Actor.PROVIDER if slow and index == slow[0] and slow[1] >= lost else Actor.TENANT,
        confidence=graded(lost, UNEVEN, 4 * UNEVEN),
        speedup=1 / max(1 - lost, 0.05),
        action=f"look at GPU {name} and its host: it is {why}; its peers wait {100 * lost:.0f} % of the time",
        device=name,
    )
    active = evidence.active
    return finding(
        case,
        blame,
        fraction("active share of the slow rank", active[index]),
        fraction("active share of the other ranks", mean_or_nan(np.delete(active, index))),
        count("SM clock of the slow rank", evidence.of(Metric.SM_CLOCK)[index] / 1e6, "MHz"),
    )


def _late_rank(case: Case) -> tuple[int, float, str] | None:
    """A rank whose GPU has nothing to do while the others hold a collective open: active 100 % beside active 50 %."""
    evidence = case.evidence
    active = evidence.active
    if not np.isfinite(active).all():
        return None
    index = int(np.argmin(active))
    others = np.delete(active, index)
    lost = float(others.mean() - active[index])
    noise = 3 * float(np.mean(evidence.sd[:, Metric.GR_ENGINE_ACTIVE])) / max(evidence.samples, 1) ** 0.5
    if not np.isfinite(noise):
        noise = UNEVEN
    return (index, lost, "late") if lost > max(UNEVEN, noise) else None


def _slow_rank(case: Case) -> tuple[int, float, str] | None:
    """Ranks in lockstep do the same work, so one with a lower clock, or with more pipe time, sets the pace."""
    evidence = case.evidence
    clock, tensor = evidence.of(Metric.SM_CLOCK), evidence.of(Metric.TENSOR_ACTIVE)
    if not (np.isfinite(clock).all() and np.isfinite(tensor).all()) or tensor.mean() <= 0:
        return None
    low = int(np.argmin(clock))
    behind = 1 - clock[low] / np.delete(clock, low).mean()
    steady = 3 * float(np.mean(evidence.sd[:, Metric.SM_CLOCK])) / max(evidence.samples, 1) ** 0.5 / clock.mean()
    more_busy = tensor[low] >= np.delete(tensor, low).mean()
    if behind > max(UNEVEN, steady) and more_busy:
        return low, float(behind), f"clocked {100 * behind:.0f} % lower than its peers"
    work = tensor * clock
    high = int(np.argmax(work))
    ahead = 1 - np.delete(work, high).mean() / work[high]
    spread = 3 * float(np.mean(evidence.sd[:, Metric.TENSOR_ACTIVE])) / max(evidence.samples, 1) ** 0.5 / tensor.mean()
    if ahead > max(2 * UNEVEN, spread) and evidence.active[high] >= evidence.active.mean() - UNEVEN:
        return high, float(ahead), f"given {100 * ahead:.0f} % more work than its peers"
    return None


def data_starvation(case: Case) -> Finding | None:
    """GPUs go quiet for longer than launches take, and work at their usual pace in between."""
    waited = _reported_wait(case)
    idle = case.evidence.idle
    if waited is None and not _starved(case, idle):
        return None
    lost = max(idle if np.isfinite(idle) else 0.0, waited or 0.0)
    if lost < IDLE:
        return None
    reported = () if waited is None else (fraction("time waiting for data, reported", waited),)
    where = "the loader" if waited is not None else "loader or storage: indistinguishable by counters"
    blame = Blame(
        cause=Cause.DATA_STARVATION,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(lost, IDLE, 0.25),
        speedup=1 / max(1 - lost, 0.02),
        action=f"feed the GPUs ({where}): they wait {100 * lost:.0f} % of the time; more workers, prefetching, caching",
    )
    return finding(
        case,
        blame,
        fraction("GPU active", 1 - idle),
        fraction("tensor activity while active", case.evidence.busy(Metric.TENSOR_ACTIVE)),
        *reported,
    )


def _starved(case: Case, idle: float) -> bool:
    if not np.isfinite(idle) or idle < IDLE or case.inference is not None:
        return False
    if launch_bound(case):
        return False
    return case.evidence.long_gaps is not False or host_seconds(case) is not None


def _reported_wait(case: Case) -> float | None:
    seconds = rate(case.series.progress, Counter.DATA_WAIT_SECONDS, since=case.since, now=case.now)
    return None if seconds is None else min(1.0, seconds.per_second / max(1, case.evidence.devices))


def host_overhead(case: Case) -> Finding | None:
    """Many short gaps: the host launches kernels more slowly than the GPU finishes them."""
    idle = case.evidence.idle
    if not np.isfinite(idle) or idle < IDLE or case.evidence.long_gaps is not False:
        return None
    blame = Blame(
        cause=Cause.HOST_OVERHEAD,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=graded(idle, IDLE, 0.4) - 0.1,
        speedup=1 / max(1 - idle, 0.02),
        action="launch less: torch.compile or CUDA graphs, fewer and larger kernels, a faster or less contended CPU",
    )
    return finding(
        case,
        blame,
        fraction("GPU active", 1 - idle),
        fraction("SM activity while active", case.evidence.busy(Metric.SM_ACTIVE)),
    )
