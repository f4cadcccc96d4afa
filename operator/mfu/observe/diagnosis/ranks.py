"""One rank holds up the others: late, slow, or loaded with more work. Ranks in lockstep differ by little otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.evidence import Evidence, mean_or_nan
from mfu.observe.readings import Metric

UNEVEN = 0.05
"""Difference between ranks from which one is slower: healthy GPUs of one node differ by up to 5 %."""
UNEVEN_WAIT = 0.10
UNEVEN_WORK = 0.08
NOISE = 3.0
"""Standard errors that a difference must exceed."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """`index` of the rank, share of time its peers `lost` to it, `why`, and who can mend that."""

    index: int
    lost: float
    why: str
    actor: Actor


def straggler(situation: Situation) -> Finding | None:
    """The rank that its peers wait for, by whichever sign shows it most."""
    evidence = situation.evidence
    if evidence.devices < 2 or situation.inference is not None:
        return None
    suspects = [each for each in (_late(evidence), _waited_for(evidence), _slow(evidence), _loaded(evidence)) if each]
    if not suspects:
        return None
    worst = max(suspects, key=lambda each: each.lost)
    name = evidence.names[worst.index]
    accusation = Accusation(
        cause=Cause.STRAGGLER,
        explains=Explains.RUNTIME,
        actor=worst.actor,
        confidence=graded(worst.lost, UNEVEN, 4 * UNEVEN),
        speedup=1 / max(1 - worst.lost, 0.05),
        action=f"look at GPU {name} and its host: {worst.why}; its peers wait {100 * worst.lost:.0f} % of the time",
        device=name,
    )
    active = evidence.active
    return finding(
        situation,
        accusation,
        fraction("active share of the slow rank", active[worst.index]),
        fraction("active share of the other ranks", mean_or_nan(np.delete(active, worst.index))),
        count("SM clock of the slow rank", evidence.of(Metric.SM_CLOCK)[worst.index] / 1e6, "MHz"),
    )


def even(evidence: Evidence) -> bool:
    """All ranks are active for about as long: none is late, none waits."""
    return bool(np.ptp(evidence.active) <= 2 * UNEVEN) if np.isfinite(evidence.active).all() else True


def _late(evidence: Evidence) -> Suspect | None:
    """Its GPU has nothing to do while the others hold a collective open: active 52 % beside active 100 %.

    Peers that idle as much themselves do not wait for it: all of them wait for something else.
    """
    active = evidence.active
    if not np.isfinite(active).all():
        return None
    index = int(np.argmin(active))
    peers = float(np.delete(active, index).mean())
    lost = peers - float(active[index])
    if lost <= max(UNEVEN, 1 - peers, _error(evidence, Metric.GR_ENGINE_ACTIVE)):
        return None
    return Suspect(index, lost, "late", Actor.TENANT)


def _waited_for(evidence: Evidence) -> Suspect | None:
    """Waiting in a collective keeps a GPU active and its SMs empty: the rank that never waits is the slow one."""
    empty = evidence.unfilled
    if not np.isfinite(empty).all():
        return None
    index = int(np.argmin(empty))
    lost = float(np.delete(empty, index).min() - empty[index])
    if lost <= max(UNEVEN_WAIT, _error(evidence, Metric.SM_ACTIVE)):
        return None
    return Suspect(index, lost, "never waiting while all others do", Actor.PROVIDER)


def _slow(evidence: Evidence) -> Suspect | None:
    """A clock below its peers' while it is at least as busy."""
    clock, tensor = evidence.of(Metric.SM_CLOCK), evidence.of(Metric.TENSOR_ACTIVE)
    if not np.isfinite(clock).all() or not np.isfinite(tensor).all():
        return None
    index = int(np.argmin(clock))
    peers = float(np.delete(clock, index).mean())
    behind = 1 - clock[index] / peers
    if (
        behind <= max(UNEVEN, _error(evidence, Metric.SM_CLOCK) / peers)
        or tensor[index] < np.delete(tensor, index).mean()
    ):
        return None
    return Suspect(index, float(behind), f"clocked {100 * behind:.0f} % lower than its peers", Actor.PROVIDER)


def _loaded(evidence: Evidence) -> Suspect | None:
    """Longer at work than all its peers, step after step: an uneven split of the batch or of the layers."""
    work = evidence.of(Metric.TENSOR_ACTIVE)
    if not np.isfinite(work).all() or work.max() <= 0:
        return None
    index = int(np.argmax(work))
    ahead = float(1 - np.delete(work, index).max() / work[index])
    noise = _error(evidence, Metric.TENSOR_ACTIVE) / max(evidence.average(Metric.TENSOR_ACTIVE), 1e-9)
    if ahead <= max(UNEVEN_WORK, noise) or evidence.active[index] < evidence.active.mean() - UNEVEN:
        return None
    return Suspect(index, ahead, f"given {100 * ahead:.0f} % more work than its peers", Actor.TENANT)


def _error(evidence: Evidence, metric: Metric) -> float:
    """What two means of so many samples may differ by through chance alone."""
    spread = mean_or_nan(evidence.sd[:, metric])
    return NOISE * spread * (2 / max(evidence.samples, 1)) ** 0.5 if np.isfinite(spread) else 0.0
