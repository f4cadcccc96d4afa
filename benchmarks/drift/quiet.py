"""Steady workloads over days through the search for changes alone, with the state that the operator keeps and restores.

Five hundred workloads over five days are 3.6 million samples: the whole cycle would take a day for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.drift.truth import LOSS, SCATTER, Floats, scatter, steady
from benchmarks.drift.watched import START
from mfu.engine.history.watch import restored_state
from mfu.engine.say.history import watch_row
from mfu.observe.drift import DriftState, Identity, update

MINUTES_OF_A_DAY: Final = 1440
UNWRITTEN: Final = 5
"""Minutes of memory that a restart loses: status is written that often."""
HERE: Final = Identity("llama-3.1-8b", "v1", "mbs 1 gbs 64 seq 4096 t2 d4 ZeRO1 None BF16", "H100-SXM5", 8)


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A change that was told of where there was none."""

    workload: int
    minute: int
    relative: float


def watched(workloads: int, days: int, *, restarts: bool, first: int = 0) -> list[FalseAlarm]:
    """Alarms over all of them, counted from the seed `first`: there should be none."""
    minutes = days * MINUTES_OF_A_DAY
    return [
        FalseAlarm(number, minute, relative)
        for number in range(first, first + workloads)
        for minute, relative in _alarms(steady(number, minutes).tolist(), minutes // 2 if restarts else None)
    ]


START_MINUTES: Final = 90
"""What the search has seen of a young workload: it knows neither its level nor its noise well."""


def noisy_starts(count: int) -> int:
    """Of so many starts with the most noise that recordings show, half of it carried over: those told as a change."""
    return sum(bool(_alarms(_noisiest(seed, START_MINUTES).tolist(), None)) for seed in range(count))


def noisy_regressions(count: int, *, within: int) -> int:
    """Of so many such jobs that lose 8 % after an hour to two: those that are not told of in so many minutes."""
    late = 0
    for seed in range(count):
        onset = START_MINUTES - 30 + seed % 60
        figures = _noisiest(seed, onset + within)
        figures[onset:] *= 1 - LOSS
        late += all(minute < onset for minute, _ in _alarms(figures.tolist(), None))
    return late


def _noisiest(seed: int, minutes: int) -> Floats:
    return np.asarray(0.4 * (1 + scatter(np.random.default_rng(seed), minutes, sd=SCATTER[1], carried=0.5)))


def _alarms(figures: list[float], restart: int | None) -> list[tuple[int, float]]:
    state, written, found = DriftState(), DriftState(), []
    for minute, mfu in enumerate(figures):
        at = START + 60.0 * minute
        if minute % UNWRITTEN == 0:
            written = state
        if minute == restart:
            said = watch_row(written, at)
            assert said is not None
            state, _ = restored_state(said, HERE)
        state, drift = update(state, mfu, at=at, identity=HERE)
        if drift is not None:
            found.append((minute, drift.relative))
    return found
