"""A day of requests out of the two recorded hours: stretched 24 times, with a night and a spike, scaled to a size.

`../shared/data/traces/azure_2023_{code,conversation}.csv`: an hour of two production services (Azure public dataset,
CC-BY; Patel et al., Splitwise, ISCA 2024). Both hours run beside each other, as they did. A minute of the trace becomes
24 minutes of the day; between two such points the rate goes in a straight line, requests arrive at random, and their
lengths are those of requests that really came in that minute of the trace.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.scaling.service_times import ROOT, Floats, Law

TRACES: Final = ROOT.parent / "shared" / "data" / "traces"
SERVICES: Final = ("code", "conversation")
DAY_SECONDS: Final = 86_400
CHUNK_SECONDS: Final = 60
TRACE_MINUTES: Final = 58
NIGHT: Final = 0.15
"""Share of the day's rate that is left in the middle of the night."""
NIGHT_HOURS: Final = 8.0
SPIKE: Final = 1.8
"""Times the rate at the height of the spike."""
RISE_SECONDS, HOLD_SECONDS, FALL_SECONDS = 480.0, 1500.0, 900.0
PEAK_WORK: Final = 18.0
"""Replicas that would work without a pause in the busiest ten minutes: more than twenty are needed to work well."""


class Requests(NamedTuple):
    """What arrives in one chunk of a minute, by time: seconds, prompt tokens, answer tokens."""

    at: Floats
    inputs: Floats
    outputs: Floats


@dataclass(frozen=True)
class Recorded:
    """One service: requests per trace minute, and the lengths of those that came in it."""

    counts: Floats
    lengths: tuple[Floats, ...]


@lru_cache(maxsize=1)
def recorded() -> tuple[Recorded, ...]:
    return tuple(_read(TRACES / f"azure_2023_{each}.csv") for each in SERVICES)


def _read(path: Path) -> Recorded:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([datetime.fromisoformat(each["TIMESTAMP"][:26]).timestamp() for each in rows])
    sizes = np.array([[each["ContextTokens"], each["GeneratedTokens"]] for each in rows], dtype=float)
    minutes = ((times - times[0]) // 60).astype(int)
    lengths = tuple(sizes[minutes == minute] for minute in range(TRACE_MINUTES))
    return Recorded(np.array([len(each) for each in lengths], dtype=float), lengths)


class Day:
    """All that is drawn comes from `seed`: when the night and the spike are, and every single request."""

    def __init__(self, seed: int, law: Law) -> None:
        self.seed = seed
        chance = np.random.default_rng((seed, 0))
        self.midnight = chance.uniform(0.0, DAY_SECONDS)
        awake = self.midnight + DAY_SECONDS / 2 + chance.uniform(-4.0, 4.0) * 3600
        self.spike_at = float(np.clip(awake % DAY_SECONDS, 3600.0, DAY_SECONDS - 3 * 3600.0))
        self.law = law
        self.scale = 1.0
        self.scale = PEAK_WORK / float(self.work().reshape(-1, 10).mean(axis=1).max())

    def rates(self, at: Floats) -> Floats:
        """Requests a second of each service, shape (services, times)."""
        minute = at / DAY_SECONDS * TRACE_MINUTES - 0.5
        whole = np.arange(TRACE_MINUTES)
        shape = np.array([np.interp(minute, whole, each.counts) for each in recorded()])
        return self.scale * shape / 60.0 * self._night(at) * self._spike(at)

    def _night(self, at: Floats) -> Floats:
        """Flat by day, down to NIGHT in the middle of NIGHT_HOURS."""
        away = np.abs((at - self.midnight + DAY_SECONDS / 2) % DAY_SECONDS - DAY_SECONDS / 2) / 3600.0
        dip = np.cos(np.clip(away / (NIGHT_HOURS / 2), 0.0, 1.0) * np.pi) * 0.5 + 0.5
        return 1.0 - (1.0 - NIGHT) * dip

    def _spike(self, at: Floats) -> Floats:
        since = at - self.spike_at
        up = np.clip(since / RISE_SECONDS, 0.0, 1.0)
        down = np.clip((since - RISE_SECONDS - HOLD_SECONDS) / FALL_SECONDS, 0.0, 1.0)
        return 1.0 + (SPIKE - 1.0) * (up - down)

    def work(self) -> Floats:
        """Replicas that would be busy all the time, minute by minute: prefill, and a share of a full batch's steps."""
        at = np.arange(0.0, DAY_SECONDS, 60.0) + 30.0
        minute = np.clip(at / DAY_SECONDS * TRACE_MINUTES, 0, TRACE_MINUTES - 1).astype(int)
        rates = self.rates(at)
        total = np.zeros(len(at))
        for service, rate in zip(recorded(), rates, strict=True):
            each = np.array([_work(self.law, lengths) for lengths in service.lengths])
            usual = float(np.average(each[each > 0], weights=service.counts[each > 0]))
            total += rate * np.where(each[minute] > 0, each[minute], usual)
        return total

    def chunk(self, number: int) -> Requests:
        """Requests of minute `number`; the same seed and number give the same."""
        chance = np.random.default_rng((self.seed, 1, number))
        start = float(number * CHUNK_SECONDS)
        parts = [self._service(index, start, chance) for index in range(len(SERVICES))]
        at, lengths = np.concatenate([each[0] for each in parts]), np.concatenate([each[1] for each in parts])
        order = np.argsort(at, kind="stable")
        return Requests(at[order], lengths[order, 0], np.maximum(lengths[order, 1], 1.0))

    def _service(self, index: int, start: float, chance: np.random.Generator) -> tuple[Floats, Floats]:
        middle = np.array([start + CHUNK_SECONDS / 2])
        count = int(chance.poisson(self.rates(middle)[index, 0] * CHUNK_SECONDS))
        at = start + chance.uniform(0.0, CHUNK_SECONDS, count)
        pool = self._pool(index, start)
        return at, pool[chance.integers(0, len(pool), count)]

    def _pool(self, index: int, start: float) -> Floats:
        """Lengths seen in the nearest minute of the trace in which any request came."""
        lengths = recorded()[index].lengths
        minute = int(start / DAY_SECONDS * TRACE_MINUTES)
        busy = (each for each in range(TRACE_MINUTES) if len(lengths[each]))
        nearest = min(busy, key=lambda each: abs(each - minute))
        return lengths[nearest]


FULL: Final = 64.0
"""Sequences of the batch by which the work of an answer is counted."""


def _work(law: Law, lengths: Floats) -> float:
    """Mean seconds of a replica that one request takes: its prompt, and its share of the steps of a full batch."""
    if not len(lengths):
        return 0.0
    context = lengths[:, 0] + lengths[:, 1] / 2
    step = law.base / FULL + law.per_sequence + law.per_token * context
    return float((law.prefill_seconds(lengths[:, 0]) + lengths[:, 1] * step).mean())
