"""Two programs on one GPU: how far each stretches the other, and what each keeps of its rate alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from mfu.predict.sharing.program import GPU_BOUND_FROM, SharedProgram

_LONG_STEPS: Final = 6
_MOST_STEPS: Final = 60
_MOST_PHASES: Final = 3000
_LARGER_KERNELS: Final = 2.5
"""Kernels so many times longer than the other's leave it what it occupies, and take the rest of the GPU."""
_LEAST_ROOM: Final = 0.3
_MICROSECOND: Final = 1e-6


class SharingMode(StrEnum):
    TIME_SLICED = "time-sliced"
    MPS = "mps"


@dataclass(frozen=True, slots=True)
class SharingConstants:
    """Fitted by `tools.fit.sharing` to `e2e/recordings/h100_{pairs,kinds,paced}*.jsonl` (H100, driver 580)."""

    slice_seconds: float = 2.08e-3
    """How long one context keeps the GPU while another waits."""
    switching: float = 0.943
    """What is left of the GPU's time after switching between two contexts that both always want it."""
    visited: float = 0.947
    """What a context keeps beside one that wants the GPU now and then, but for what that one holds of it."""
    visit_hold: float = 0.847
    """What that one holds of the GPU, × the share of its time in which its kernels run."""
    sync: float = 0.421
    """Slices of the other that a host-paced step waits for at its end."""
    twice: float = 0.254
    """Of the time in which its kernels run, what a host-paced step takes longer because they take turns."""
    wait_scale: float = 0.634
    """MPS: µs that a kernel waits beside another's of 1 µs of few warps, whose gaps let it in."""
    wait_power: float = 0.681
    """MPS: how that wait grows with the other's kernel: the longer it is, the more pass by at once."""
    wait_whole: float = 0.499
    """MPS: of the other's kernel, what one waits that finds no room beside it."""
    roomy: float = 0.566
    """MPS: occupancy up to which the other's kernels leave room beside them."""
    roomy_range: float = 0.0716
    """MPS: from there until none is left."""
    grid_power: float = 3.38
    """MPS: a kernel that fills this power of the multiprocessors needs them all to itself."""
    gap_power: float = 1.52
    """MPS: how sharply pauses between the other's kernels shorten the wait."""
    pace_power: float = 4.21
    """MPS: how sharply the host's launches and the GPU's kernels take turns in setting the pace: 1 adds them."""
    capacity: float = 0.968
    """MPS: share of the multiprocessors that two programs together keep busy."""


FITTED: Final = SharingConstants()


@dataclass(frozen=True, slots=True)
class Kept:
    """One side: `share` of its rate alone; its mean step, and its step under full overlap, × the step alone."""

    share: float
    latency: float
    latency_worst: float


def share(
    first: SharedProgram, second: SharedProgram, mode: SharingMode, constants: SharingConstants = FITTED
) -> tuple[Kept, Kept]:
    """What each keeps. Both start together; programs that sleep overlap as their steps fall.

    Two saturating decodes time-sliced: each 3.96 ms needs two slices of 2.08 ms and waits two of the other's, and
    switching costs 6 %: 3.96 ÷ (3.96 + 4.15) × 0.94 = 0.46 (measured 0.47).
    """
    if _order(second) < _order(first):
        kept_second, kept_first = share(second, first, mode, constants)
        return kept_first, kept_second
    pair = (first, second)
    stretched = stretches(first, second, mode, constants)
    shares = _overlapping(pair, stretched)
    first_kept, second_kept = (
        Kept(got, 1.0 / got, (each.asleep_seconds + stretch * each.active_seconds) / each.step_seconds)
        for each, got, stretch in zip(pair, shares, stretched, strict=True)
    )
    return first_kept, second_kept


def _order(program: SharedProgram) -> tuple[float, ...]:
    """The shorter step first, so that who is named first does not matter."""
    return program.step_seconds, program.active_seconds, program.busy_seconds, program.kernels, program.sms


def stretches(
    first: SharedProgram, second: SharedProgram, mode: SharingMode, constants: SharingConstants
) -> tuple[float, float]:
    """How many times longer each one's active time takes while the other is active too."""
    if mode is SharingMode.TIME_SLICED:
        return _sliced(first, second, constants), _sliced(second, first, constants)
    waited = _queued(first, second, constants), _queued(second, first, constants)
    return _within_capacity((first, second), waited, constants)


def _sliced(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """Contexts take turns. How far its host sets the pace, a step waits for the other at its end alone."""
    paced = mine.host_paced
    return paced * _paced_in_turns(mine, other, constants) + (1.0 - paced) * _filled_in_turns(mine, other, constants)


def _filled_in_turns(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """A step that needs n slices waits for n of the other's; one that wants the GPU now and then takes no equal part.

    Beside a program whose kernels run a quarter of its time: 1 ÷ (0.95 − 0.85 × 0.25) = 1.36 (measured 1.27 to 1.43).
    """
    period = constants.slice_seconds
    exact = mine.busy_seconds / period
    turns = exact if exact >= _LONG_STEPS else max(1, ceil(exact - 0.3))
    equal = (1.0 + turns * min(period, other.busy_seconds) / mine.busy_seconds) / constants.switching
    if other.busy_share >= GPU_BOUND_FROM:
        return equal
    return min(equal, 1.0 / (constants.visited - constants.visit_hold * other.busy_share))


def _paced_in_turns(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """Its launches pile up while the other has the GPU and drain in its own slice: it is late by the last of them."""
    held = min(constants.slice_seconds, other.busy_seconds)
    fills = min(1.0, other.busy_share / GPU_BOUND_FROM)
    taken = constants.twice * mine.busy_seconds * held / constants.slice_seconds * fills
    return 1.0 + (constants.sync * held + taken) / mine.active_seconds


def _queued(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """Each of my kernels waits behind one of the other's; what a host still launches meanwhile is no loss.

    Its launches and kernels take the p-th root of the sum of their p-th powers, operation by operation.
    """
    power, kernel = constants.pace_power, mine.kernel_seconds
    launch = max((mine.active_seconds / mine.kernels) ** power - kernel**power, 0.0)
    waits = kernel + kernel_wait(mine, other, constants)
    spent: float = (launch + waits**power) ** (1.0 / power)
    return spent * mine.kernels / mine.active_seconds


def kernel_wait(mine: SharedProgram, other: SharedProgram, constants: SharingConstants = FITTED) -> float:
    """Seconds that one of my kernels waits under MPS.

    Blocks of few warps leave room beside them: what is small slips in, after a time that grows slower than the kernels
    it passes. Kernels that fill every multiprocessor's warps, and mine where it needs the whole GPU, wait for the end.
    """
    met = other.met_kernel_seconds / _MICROSECOND
    passed, whole = constants.wait_scale * met**constants.wait_power, constants.wait_whole * met
    full = min(max((other.occupancy - constants.roomy) / constants.roomy_range, 0.0), 1.0)
    beside: float = (1.0 - full) * (1.0 - mine.sms**constants.grid_power)
    waits: float = _MICROSECOND * ((1.0 - beside) * whole + beside * min(passed, whole))
    # Two that both always have one waiting take turns, kernel by kernel.
    meets: float = other.busy_share**constants.gap_power
    return min(waits, other.kernel_seconds) * meets


def _within_capacity(
    pair: tuple[SharedProgram, SharedProgram], waited: tuple[float, float], constants: SharingConstants
) -> tuple[float, float]:
    """Multiprocessors are shared: what both occupy together is bounded, and long kernels get what short ones leave."""
    held = [each.sms * each.busy_share / stretch for each, stretch in zip(pair, waited, strict=True)]
    total = sum(held)
    if total <= constants.capacity:
        return waited
    lengths = [each.kernel_seconds for each in pair]
    long = 0 if lengths[0] >= lengths[1] else 1
    if max(lengths) <= _LARGER_KERNELS * min(lengths):
        return waited[0] * total / constants.capacity, waited[1] * total / constants.capacity
    room = max(_LEAST_ROOM, constants.capacity - held[1 - long])
    grown = waited[long] * max(1.0, held[long] / room)
    return (grown, waited[1]) if long == 0 else (waited[0], grown)


def _overlapping(pair: tuple[SharedProgram, SharedProgram], stretched: tuple[float, float]) -> tuple[float, float]:
    """Steps laid out in time: each runs at 1 ÷ its stretch while the other is active, at full speed while it sleeps."""
    if not any(each.asleep_seconds for each in pair):
        return 1.0 / stretched[0], 1.0 / stretched[1]
    alone = (pair[0].active_seconds, pair[1].active_seconds)
    awake, left = _start(pair, alone)
    done, elapsed = [0.0, 0.0], 0.0
    until = _MOST_STEPS * max(each.step_seconds for each in pair)
    for _ in range(_MOST_PHASES):
        if elapsed >= until:
            break
        rates = [1.0 / stretched[side] if all(awake) else 1.0 for side in (0, 1)]
        passed = min(left[side] / rates[side] for side in (0, 1) if pair[side].asleep_seconds)
        for side in (0, 1):
            done[side] += rates[side] * passed / alone[side] if awake[side] else 0.0
            left[side] -= rates[side] * passed
            if pair[side].asleep_seconds and left[side] <= 1e-12:
                awake[side] = not awake[side]
                left[side] = alone[side] if awake[side] else pair[side].asleep_seconds
        elapsed += passed
    return (done[0] / elapsed * pair[0].step_seconds, done[1] / elapsed * pair[1].step_seconds)


def _start(pair: tuple[SharedProgram, SharedProgram], alone: tuple[float, float]) -> tuple[list[bool], list[float]]:
    """Long steps that start together stay together; short ones are served in turn, and so fall apart at once."""
    awake = [each.asleep_seconds == 0 for each in pair]
    left = [each.asleep_seconds or active for each, active in zip(pair, alone, strict=True)]
    if not any(awake) and max(alone) < _LONG_STEPS * FITTED.slice_seconds:
        left[1] += alone[0]
    return awake, left
