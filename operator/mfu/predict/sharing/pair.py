"""Two programs on one GPU: how far each stretches the other, and what each keeps of its rate alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from mfu.predict.sharing.program import SharedProgram

_HOST_BOUND_BELOW: Final = 0.75
_GPU_BOUND_FROM: Final = 0.95
_LONG_STEPS: Final = 6
_MOST_STEPS: Final = 60
_MOST_PHASES: Final = 3000
_LARGER_KERNELS: Final = 2.5
"""Kernels so many times longer than the other's leave it what it occupies, and take the rest of the GPU."""
_LEAST_ROOM: Final = 0.3


class SharingMode(StrEnum):
    TIME_SLICED = "time-sliced"
    MPS = "mps"


@dataclass(frozen=True, slots=True)
class SharingConstants:
    """Fitted by `tools.fit.sharing` to `e2e/recordings/h100_pairs.jsonl` (H100, driver 580); seconds and fractions."""

    slice_seconds: float = 2.04e-3
    """How long one context keeps the GPU while another waits."""
    switching: float = 0.943
    """What is left of the GPU's time after switching contexts."""
    host_bound_hold: float = 0.757
    """Of a slice, what a host-bound program holds though its kernels leave gaps."""
    wait_seconds: float = 2.86e-6
    """MPS: what a kernel waits whenever another program runs."""
    wait_share: float = 0.464
    """MPS: and of the other's mean kernel."""
    launch: float = 0.757
    """MPS: launches take this share of their time without it."""
    pace_power: float = 1.64
    """MPS: how sharply the host's launches and the GPU's kernels take turns in setting the pace: 1 adds them."""
    capacity: float = 0.926
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

    Two saturating decodes time-sliced: each 3.95 ms needs two slices of 2.11 ms and waits two of the other's, and
    switching costs 6 %: 3.95 ÷ (3.95 + 4.22) × 0.94 = 0.45 (measured 0.47).
    """
    if _order(second) < _order(first):
        kept_second, kept_first = share(second, first, mode, constants)
        return kept_first, kept_second
    pair = (first, second)
    alone = tuple(_active_alone(each, mode, constants) for each in pair)
    stretched = stretches(first, second, mode, constants)
    within = (stretched[0] * first.active_seconds / alone[0], stretched[1] * second.active_seconds / alone[1])
    shares = _overlapping(pair, (alone[0], alone[1]), within)
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


def _active_alone(program: SharedProgram, mode: SharingMode, constants: SharingConstants) -> float:
    """Under MPS a program alone on the GPU launches quicker than without."""
    return program.active_seconds if mode is SharingMode.TIME_SLICED else _paced(program, 0.0, constants)


def _paced(program: SharedProgram, wait: float, constants: SharingConstants) -> float:
    """Seconds that its launches and kernels take, each kernel waiting so long: they combine as the p-th root of the sum
    of their p-th powers, operation by operation, as they do without MPS."""
    power, kernel = constants.pace_power, program.kernel_seconds
    launch = max((program.active_seconds / program.kernels) ** power - kernel**power, 0.0)
    spent: float = (constants.launch**power * launch + (kernel + wait) ** power) ** (1.0 / power)
    return spent * program.kernels


def _sliced(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """Contexts take turns. A step that needs n slices waits for n of the other's; a host-bound one fits into half."""
    paced, period = _host_paced(mine), constants.slice_seconds
    held = _host_paced(other)
    hold = held * constants.host_bound_hold * period + (1.0 - held) * min(period, other.busy_seconds)
    exact = mine.busy_seconds / period
    turns = exact if exact >= _LONG_STEPS else max(1, ceil(exact - 0.3))
    sliced = (1.0 + turns * hold / mine.busy_seconds) / constants.switching
    return paced * max(1.0, 2.0 * mine.busy_share) + (1.0 - paced) * sliced


def _host_paced(program: SharedProgram) -> float:
    """How far its host sets the pace: wholly where kernels run for at most 0.75 of its time, not at all from 0.95."""
    return min(max((_GPU_BOUND_FROM - program.busy_share) / (_GPU_BOUND_FROM - _HOST_BOUND_BELOW), 0.0), 1.0)


def _queued(mine: SharedProgram, other: SharedProgram, constants: SharingConstants) -> float:
    """Each of my kernels waits for the tail of one of the other's; gaps between a host's launches hide some of that."""
    wait = constants.wait_seconds + constants.wait_share * other.kernel_seconds * other.busy_share
    return _paced(mine, wait, constants) / mine.active_seconds


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


def _overlapping(
    pair: tuple[SharedProgram, SharedProgram], alone: tuple[float, float], within: tuple[float, float]
) -> tuple[float, float]:
    """Steps laid out in time: each runs at 1 ÷ its stretch while the other is active, at full speed while it sleeps."""
    if not any(each.asleep_seconds for each in pair):
        return (
            pair[0].active_seconds / (alone[0] * within[0]),
            pair[1].active_seconds / (alone[1] * within[1]),
        )
    awake, left = _start(pair, alone)
    done, elapsed = [0.0, 0.0], 0.0
    until = _MOST_STEPS * max(each.step_seconds for each in pair)
    for _ in range(_MOST_PHASES):
        if elapsed >= until:
            break
        rates = [1.0 / within[side] if all(awake) else 1.0 for side in (0, 1)]
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
