"""Progress bars (tqdm and rich) → readings. Clocks of whole seconds; rates are smoothed, or means since the start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mfu.observe.steps import StepReading
from mfu.telemetry.pods.logs.numbers import duration

_RATE: Final = r"(?P<rate>[\d.,]+)\s*(?P<unit>[A-Za-z]+/s|s/[A-Za-z]+|ms/[A-Za-z]+|min/[A-Za-z]+)"
_TQDM: Final = re.compile(
    r"\b(?P<done>\d{1,12})(?:/(?P<total>\d{1,12}|\?)|[a-z]{2,12})\s?\[(?P<elapsed>\d{1,6}:\d\d(?::\d\d)?)"
    r"(?:<(?P<left>[^,\]]*))?(?:,\s*(?:" + _RATE + r"|\?[^,\]]*))?(?P<rest>[^\]]*)\]?"
)
_RICH: Final = re.compile(
    r"\b(?P<done>\d{1,12})/(?P<total>\d{1,12})\s+(?P<elapsed>\d+:\d\d:\d\d)\s+•\s+"
    r"(?P<left>\S+)\s+" + _RATE + r"(?P<rest>.*)"
)
_ABOUT: Final = 160
"""Characters before the numbers in which the bar is named."""
_OTHER: Final = re.compile(
    r"valid|sanity|eval|predict|\btest|\bmap\b|token|download|load|generat|filter|pack|group|sav|merg|shard|fetch|"
    r"convert|process|running|cache|writ|read|extract|split|quantiz|compil|warm",
    re.IGNORECASE,
)
"""Bars of anything but training steps."""
_UNITS: Final = {"s": 1.0, "ms": 1e-3, "min": 60.0}
_CLOCK_STEP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One state of a bar. `rate_seconds` is what it says of one iteration."""

    about: str
    rest: str
    done: int
    total: str
    elapsed_seconds: float
    rate_seconds: float | None
    after_pause: bool = False


def bar(text: str) -> Bar | None:
    """The training bar in a line, None where there is none.

    `bar("Epoch 0:  22%|##| 4/18 [00:17<01:02,  4.47s/it, loss=9.9]")`: 4 iterations after 17 s, each 4.47 s.
    """
    match = _TQDM.search(text) or (_RICH.search(text) if "•" in text else None)
    if match is None:
        return None
    about = text[max(0, match.start() - _ABOUT) : match.start()]
    if _OTHER.search(about) is not None:
        return None
    elapsed = duration(match["elapsed"])
    if elapsed is None:
        return None
    seconds = None if match["rate"] is None else _seconds(match["rate"], match["unit"])
    return Bar(about.strip(), match["rest"], int(match["done"]), match["total"] or "?", elapsed, seconds)


def _seconds(rate: str, unit: str) -> float | None:
    try:
        number = float(rate.replace(",", ""))
    except ValueError:
        return None
    if number <= 0:
        return None
    time, _, other = unit.partition("/")
    return 1.0 / number if other == "s" else _UNITS.get(time, 1.0) * number


def readings(bars: Sequence[Bar], *, micro: bool) -> list[StepReading]:
    """Time of an iteration from each state to the next. `micro`: iterations are micro-steps (Lightning)."""
    found: list[StepReading] = []
    for run in _runs(bars):
        found += [_reading(done, seconds, paused, micro=micro) for done, seconds, paused in _times(run)]
    return found


def _reading(done: int, seconds: float, paused: bool, *, micro: bool) -> StepReading:
    if micro:
        return StepReading(micro_step=done, micro_seconds=seconds, after_pause=paused)
    return StepReading(step=done, seconds=seconds, after_pause=paused)


def _runs(bars: Sequence[Bar]) -> list[list[Bar]]:
    """Split where a bar began anew: another epoch, a restart."""
    runs: list[list[Bar]] = []
    for each in bars:
        if runs and each.total == runs[-1][-1].total and each.done >= runs[-1][-1].done:
            if each.done > runs[-1][-1].done:
                runs[-1].append(each)
            continue
        runs.append([each])
    return runs


def _times(run: Sequence[Bar]) -> list[tuple[int, float, bool]]:
    moving = [each for each in run if each.done > 0]
    rates = [(each, each.rate_seconds) for each in moving if each.rate_seconds is not None]
    if not rates:
        return _by_elapsed(moving)
    if len(rates) > 1 and all(_is_mean(each, rate) for each, rate in rates):
        return _by_mean(rates)
    return [(each.done, rate, each.after_pause) for each, rate in rates]


def _is_mean(each: Bar, rate: float) -> bool:
    """The rate is elapsed time over iterations, not a moving average (Lightning switches smoothing off)."""
    return abs(each.done * rate - each.elapsed_seconds) <= _CLOCK_STEP_SECONDS + 0.01 * each.elapsed_seconds


def _by_mean(rates: Sequence[tuple[Bar, float]]) -> list[tuple[int, float, bool]]:
    """The mean since the start gives a finer clock than the one that is shown."""
    clock = [
        (each, min(max(each.done * rate, each.elapsed_seconds), each.elapsed_seconds + 0.999)) for each, rate in rates
    ]
    found = [(clock[0][0].done, clock[0][1] / clock[0][0].done, clock[0][0].after_pause)]
    before, paused = clock[0], False
    least = min(5 * _CLOCK_STEP_SECONDS, (clock[-1][1] - clock[0][1]) / 5)
    for after in clock[1:]:
        paused = paused or after[0].after_pause
        if after[1] - before[1] < least or after[1] <= before[1]:
            continue
        found.append((after[0].done, (after[1] - before[1]) / (after[0].done - before[0].done), paused))
        before, paused = after, False
    return found


def _by_elapsed(run: Sequence[Bar]) -> list[tuple[int, float, bool]]:
    found: list[tuple[int, float, bool]] = []
    for before, after in pairwise(_spaced(run)):
        time = after.elapsed_seconds - before.elapsed_seconds
        if time > 0:
            found.append((after.done, time / (after.done - before.done), after.after_pause))
    return found


def _spaced(run: Sequence[Bar]) -> list[Bar]:
    """States far enough apart that whole seconds tell the time between them."""
    if not run:
        return []
    least = min(20 * _CLOCK_STEP_SECONDS, (run[-1].elapsed_seconds - run[0].elapsed_seconds) / 2)
    kept = [run[0]]
    for each in run[1:]:
        if each.elapsed_seconds - kept[-1].elapsed_seconds >= least:
            kept.append(each)
    return kept
