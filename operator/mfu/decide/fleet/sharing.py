"""Which workloads may share a GPU: MIG first, then what the policy lists; both must keep enough, with a margin.

What was advised is watched: where a side keeps less than the policy asks, the pair is undone and not advised again for
a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

from mfu.api.mfupolicy import SharingMethod
from mfu.decide.fleet.mig.layouts import layouts_of, profiles_of
from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Outcome, SharingRules
from mfu.hardware.types import GPU, MIGProfile
from mfu.memo import memo
from mfu.predict.sharing.pair import Kept, SharingMode, share
from mfu.predict.sharing.program import SharedProgram

MARGIN: Final = 0.07
"""Kept share beyond what the policy asks: of what GPUs pace, 19 of 20 keep what is predicted less this."""
SLEEPING_MARGIN: Final = 0.04
"""The same of what sleeps most of its time: it is told more closely."""
HOST_MARGIN: Final = 0.33
"""And so much more as the host sets the pace of one of them: with it, 99 of 100, for hosts drift (docs/sharing.md)."""
MEMORY_LEFT: Final = 0.05
"""Of the GPU's memory, for contexts and what grows."""
UNDONE_SECONDS: Final = 86_400.0
MOST_TOGETHER: Final = 1.2
"""Of the multiprocessors' time that two may fill together for their pair to be worth a closer look."""
MOST_WEIGHED: Final = 30
"""Workloads of one kind of GPU that are paired with each other, those that leave most of it first."""
_MODES: Final = {SharingMethod.MPS: SharingMode.MPS, SharingMethod.TIME_SLICING: SharingMode.TIME_SLICED}
_ORDER: Final = (SharingMethod.MIG, SharingMethod.MPS, SharingMethod.TIME_SLICING)


@dataclass(frozen=True, slots=True)
class Sharer:
    """One workload that holds one whole GPU by itself."""

    key: str
    namespace: str
    gpu: GPU
    program: SharedProgram
    memory_bytes: float
    serves: bool = False
    """Somebody waits for each step: its latency counts."""
    rules: SharingRules = field(default_factory=SharingRules)


@dataclass(frozen=True, slots=True)
class Shared:
    """Two workloads on one GPU. `kept` in the order of `keys`; `profiles` where it is cut by MIG."""

    keys: tuple[str, str]
    method: SharingMethod
    kept: tuple[float, float]
    profiles: tuple[str, str] | None = None

    @property
    def least(self) -> float:
        return min(self.kept)


@dataclass(frozen=True, slots=True)
class SharingMemory:
    """Pairs that lost more than was allowed, by when they may be advised again (Unix seconds)."""

    undone: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def barred(self, first: str, second: str, now: float) -> bool:
        return now < self.undone.get(_pair(first, second), 0.0)


def advise_pairs(sharers: Sequence[Sharer], memory: SharingMemory, now: float) -> tuple[Shared, ...]:
    """Pairs that may share, each workload once: isolated ones first, then those that keep most.

    Every pair that stands gives a GPU back. The order of the input does not matter.
    """
    possible = (
        found
        for group in _groups(sharers)
        for first, second in combinations(group, 2)
        if not memory.barred(first.key, second.key, now) and (found := best_way(first, second)) is not None
    )
    taken: set[str] = set()
    advised = []
    for each in sorted(possible, key=lambda pair: (_ORDER.index(pair.method), -pair.least, pair.keys)):
        if not taken.intersection(each.keys):
            taken.update(each.keys)
            advised.append(each)
    return tuple(advised)


def _groups(sharers: Iterable[Sharer]) -> Iterable[list[Sharer]]:
    by_gpu: dict[str, list[Sharer]] = {}
    for each in sorted(sharers, key=lambda one: (_filled(one.program), one.key)):
        by_gpu.setdefault(each.gpu.key, []).append(each)
    for key in sorted(by_gpu):
        yield sorted(by_gpu[key][:MOST_WEIGHED], key=lambda one: one.key)


def _filled(program: SharedProgram) -> float:
    """Share of a GPU's multiprocessors that it keeps working, sleep included."""
    return program.sms * program.busy_seconds / program.step_seconds


@memo(most=16_384)
def best_way(first: Sharer, second: Sharer) -> Shared | None:
    """The first method of MIG, MPS and time slices that both policies list and both sides stand; None without any."""
    if first.gpu.key != second.gpu.key or not _may_meet(first, second):
        return None
    if _filled(first.program) + _filled(second.program) > MOST_TOGETHER:
        return None
    for method in _ORDER:
        if method in first.rules.methods and method in second.rules.methods:
            found = _by_mig(first, second) if method is SharingMethod.MIG else _by_turns(first, second, method)
            if found is not None:
                return found
    return None


def _may_meet(first: Sharer, second: Sharer) -> bool:
    if first.key == second.key:
        return False
    same = first.namespace == second.namespace
    return same or (first.rules.across_namespaces and second.rules.across_namespaces)


def _by_turns(first: Sharer, second: Sharer, method: SharingMethod) -> Shared | None:
    room = first.gpu.memory_bytes * (1.0 - MEMORY_LEFT)
    if first.memory_bytes + second.memory_bytes > room:
        return None
    kept = share(first.program, second.program, _MODES[method])
    doubt = HOST_MARGIN * max(_drifts(first.program), _drifts(second.program))
    if not all(stands(side, result, doubt) for side, result in zip((first, second), kept, strict=True)):
        return None
    return Shared((first.key, second.key), method, (kept[0].share, kept[1].share))


def _drifts(program: SharedProgram) -> float:
    """Share of its step whose length is its host's."""
    return program.host_paced * program.active_seconds / program.step_seconds


def stands(side: Sharer, kept: Kept, doubt: float = 0.0) -> bool:
    """Keeps the policy's share with the margin; and, where somebody waits for it, its latency."""
    awake = side.program.active_seconds / side.program.step_seconds
    margin = SLEEPING_MARGIN + (MARGIN - SLEEPING_MARGIN) * awake
    if kept.share < side.rules.min_kept + margin + doubt:
        return False
    return not side.serves or kept.latency <= 1.0 + side.rules.max_latency_increase


def _by_mig(first: Sharer, second: Sharer) -> Shared | None:
    """The two profiles that fit one GPU together and of which the worse side keeps most."""
    ways = (
        Shared((first.key, second.key), SharingMethod.MIG, (kept_one.share, kept_other.share), (one.name, other.name))
        for one, kept_one in _slices(first)
        for other, kept_other in _slices(second)
        if _beside(first.gpu.key, one, other)
    )
    return max(ways, key=lambda way: (way.least, way.kept, way.profiles), default=None)


def _slices(side: Sharer) -> list[tuple[MIGProfile, Kept]]:
    found = [(each, in_slice(side.program, each)) for each in profiles_of(side.gpu.key)]
    return [(each, kept) for each, kept in found if each.memory_bytes >= side.memory_bytes and stands(side, kept)]


def in_slice(program: SharedProgram, profile: MIGProfile) -> Kept:
    """What a program keeps in a slice of its own: kernels stretch where they used more than the slice has.

    A decode that keeps half of the multiprocessors and 0.44 of the bandwidth busy, on 3g.40gb of an H100 (0.455 of the
    multiprocessors, half of the memory): 0.5 ÷ 0.455 = 1.10 times as long.
    """
    memory = profile.memory_slices / profile.memory_slices_total
    stretch = max(1.0, program.sms / profile.sm_fraction, program.dram / memory)
    active = max(program.active_seconds, program.busy_seconds * stretch)
    longer = (program.asleep_seconds + active) / program.step_seconds
    return Kept(1.0 / longer, longer, longer)


def _beside(gpu_key: str, one: MIGProfile, other: MIGProfile) -> bool:
    names = [profile.name for profile in profiles_of(gpu_key)]
    counts = [0] * len(names)
    counts[names.index(one.name)] += 1
    counts[names.index(other.name)] += 1
    return tuple(counts) in layouts_of(gpu_key)


def shared(pair: Shared, key: str, policy: EffectivePolicy) -> Decision:
    """What one side of a pair is told."""
    mine = pair.keys.index(key)
    other = pair.keys[1 - mine]
    way = {SharingMethod.MPS: "under MPS", SharingMethod.TIME_SLICING: "in time slices"}.get(pair.method, "")
    if pair.profiles is not None:
        way = f"in MIG slices, {pair.profiles[mine]} for it and {pair.profiles[1 - mine]} for the other"
    message = (
        f"could share one GPU with {other} {way}: it is expected to keep {pair.kept[mine]:.0%} of its own rate "
        f"({policy.sharing.min_kept:.0%} is asked), the other {pair.kept[1 - mine]:.0%}. One GPU would be free; "
        "nothing is moved unless you do"
    )
    hint = {"shareWith": other, "method": str(pair.method)}
    mode = policy.mode_of(DecisionType.SHARING)
    return Decision(DecisionType.SHARING, Outcome.SHARE, Why.KEEP_ENOUGH_TOGETHER, message, mode, hint)


@dataclass(frozen=True, slots=True)
class KeptAsRead:
    """What each side of a pair keeps of its rate alone, as read; None where it is not known."""

    kept: tuple[float | None, float | None]
    min_kept: tuple[float, float]
    """What the policy of each asks."""


def watched(pair: Shared, seen: KeptAsRead, memory: SharingMemory, now: float) -> tuple[str | None, SharingMemory]:
    """Why a pair that shares is to be undone, and the memory of it; None while both keep enough or nothing is known."""
    worse = [
        (key, kept, least)
        for key, kept, least in zip(pair.keys, seen.kept, seen.min_kept, strict=True)
        if kept is not None and kept < least
    ]
    if not worse:
        return None, memory
    key, kept, least = min(worse, key=lambda each: each[1] - each[2])
    predicted = pair.kept[pair.keys.index(key)]
    why = f"{key} keeps {kept:.0%} of its own rate beside the other, {predicted:.0%} was expected, {least:.0%} is asked"
    undone = {known: until for known, until in memory.undone.items() if until > now}
    return why, replace(memory, undone={**undone, _pair(*pair.keys): now + UNDONE_SECONDS})


def _pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)
