"""Deployments over a day, side by side: requests, replicas that start and drain, a scaler asked every 20 seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from benchmarks.scaling.day import CHUNK_SECONDS, DAY_SECONDS, Day, Requests
from benchmarks.scaling.engines import TICK_SECONDS, Batch, Engines, Tick
from benchmarks.scaling.service_times import Floats, Law

CYCLE_SECONDS: Final = 20
RATE_SECONDS: Final = 60
"""Rates are over a minute, as `rate(…[1m])`."""
LEAST_START, MOST_START = 120.0, 420.0
MOST_REPLICAS: Final = 48
GIVES_UP_SECONDS: Final = 60.0
"""A client that got no first token by then is gone."""
TTFT_LIMIT, TPOT_LIMIT = 2.0, 0.100
"""The promise: MLPerf Inference, Llama-3.1-8B, Server scenario, there at the 99th percentile (mlcommons/inference,
loadgen/mlperf.conf: ttft_latency 2000, tpot_latency 100)."""


class Metrics(NamedTuple):
    """What the engines' pages and the cluster say at one moment. Rates and queues count the whole deployment."""

    at: float
    ready: int
    pending: int
    input_tokens_per_s: float
    output_tokens_per_s: float
    running: float
    waiting: float
    cache_use: float
    """Mean over replicas, 0–1."""
    busy: float
    """Mean GPU utilisation over replicas in the last minute, 0–1."""
    first_tokens: float
    """Requests that got their first token in the last minute."""
    late_first_tokens: float
    """Of those, later than promised; engines publish both as a histogram."""
    answers: float
    """Requests that ended in the last minute."""
    slow_answers: float
    """Of those, with more time per token than promised."""


class Scaler(Protocol):
    def replicas(self, seen: Metrics | None) -> int | None:
        """How many there should be; None leaves them. `seen` is None while telemetry is lost."""


Lens = Callable[[Metrics], Metrics | None]
"""What becomes of the metrics on their way to the scaler."""


@dataclass
class Outcome:
    """What a day came to. `replicas` is one number a cycle, starting ones included."""

    requests: int = 0
    ttft_met: int = 0
    tpot_met: int = 0
    gpu_seconds: float = 0.0
    replicas: list[int] = field(default_factory=list)

    @property
    def gpu_hours(self) -> float:
        return self.gpu_seconds / 3600.0

    @property
    def slo_ttft(self) -> float:
        return self.ttft_met / max(1, self.requests)

    @property
    def slo_tpot(self) -> float:
        return self.tpot_met / max(1, self.requests)

    @property
    def direction_changes_per_hour(self) -> float:
        moves = np.sign(np.diff(np.array(self.replicas)))
        moves = moves[moves != 0]
        hours = len(self.replicas) * CYCLE_SECONDS / 3600.0
        return float(np.count_nonzero(np.diff(moves))) / max(hours, 1e-9)


@dataclass
class Case:
    """One day under one scaler. Cases of one day see the same requests and the same start-up times."""

    day: Day
    scaler: Scaler
    lens: Lens | None = None
    first: int = 4
    """Replicas that serve from the start."""
    start_seconds: tuple[float, float] = (LEAST_START, MOST_START)
    """Between which a start-up is drawn; the bound of perfect foresight lets replicas serve at once."""
    outcome: Outcome = field(default_factory=Outcome)


class _Deployment:
    """One case while it runs: what waits at its door, and replicas that start."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.queue = Requests(np.zeros(0), np.zeros(0), np.zeros(0))
        self.starting: list[float] = []
        self._starts = np.random.default_rng((case.day.seed, 2))

    def arrive(self, now: float, arriving: Requests) -> None:
        self.case.outcome.requests += len(arriving.at)
        if not len(self.queue.at):
            self.queue = arriving
            return
        both = Requests(*(np.concatenate(pair) for pair in zip(self.queue, arriving, strict=True)))
        # Who gave up counts as arrived, and as promised nothing that was kept.
        stays = int(np.searchsorted(both.at, now - GIVES_UP_SECONDS))
        self.queue = Requests(*(each[stays:] for each in both))

    def take(self, number: int) -> Requests:
        taken = Requests(*(each[:number] for each in self.queue))
        self.queue = Requests(*(each[number:] for each in self.queue))
        return taken

    def start(self, now: float, number: int) -> None:
        self.starting += [now + self._starts.uniform(*self.case.start_seconds) for _ in range(number)]

    def cancel(self, number: int) -> int:
        """As many of those that start, the last ones first. How many it were."""
        cancelled = min(number, len(self.starting))
        self.starting = sorted(self.starting)[: len(self.starting) - cancelled]
        return cancelled

    def ready(self, now: float) -> int:
        done = sum(each <= now for each in self.starting)
        self.starting = [each for each in self.starting if each > now]
        return done


class Simulation:
    """All cases in step: what one tick costs is shared by them."""

    def __init__(self, cases: Sequence[Case], law: Law) -> None:
        self._all = [_Deployment(case) for case in cases]
        self._asked_from = 0.0
        self._engines = Engines(law, len(cases))
        self._recent = np.zeros((RATE_SECONDS // TICK_SECONDS, 7, len(cases)))
        """The last minute, tick by tick: inputs, outputs, busy, first tokens, late ones, answers, slow ones."""
        for owner, case in enumerate(cases):
            for _ in range(case.first):
                self._engines.add(owner, 0.0)

    def run(self, seconds: int = DAY_SECONDS, *, begin: int = 0) -> list[Outcome]:
        """Says on standard error, hour by hour, how far it is. Nobody is asked before a whole minute was seen."""
        self._asked_from = float(begin + RATE_SECONDS)
        for number in range(begin // CHUNK_SECONDS, (begin + seconds) // CHUNK_SECONDS):
            if number % 60 == 0:
                print(f"{len(self._all)} runs: {number // 60} h of the day", file=sys.stderr, flush=True)
            days = {each.case.day.seed: each.case.day for each in self._all}
            chunks = {seed: day.chunk(number) for seed, day in days.items()}
            starts = number * CHUNK_SECONDS + np.arange(0, CHUNK_SECONDS + 1, TICK_SECONDS)
            cuts = {seed: np.searchsorted(chunk.at, starts) for seed, chunk in chunks.items()}
            for tick, start in enumerate(starts[:-1].tolist()):
                arriving = {
                    seed: Requests(*(each[cuts[seed][tick] : cuts[seed][tick + 1]] for each in chunk))
                    for seed, chunk in chunks.items()
                }
                self._tick(float(start), arriving)
        return [each.case.outcome for each in self._all]

    def _tick(self, now: float, arriving: dict[int, Requests]) -> None:
        for owner, each in enumerate(self._all):
            for _ in range(each.ready(now)):
                self._engines.add(owner, now)
            each.arrive(now, arriving[each.case.day.seed])
        batch = self._batch()
        came = self._engines.tick(now, batch)
        self._count(now, batch, came)
        self._engines.drop_drained()
        replicas = np.bincount(self._engines.owner, minlength=len(self._all))
        for each, number in zip(self._all, replicas.tolist(), strict=True):
            each.case.outcome.gpu_seconds += TICK_SECONDS * (number + len(each.starting))
        if int(now) % CYCLE_SECONDS == 0:
            self._scale(now)

    def _batch(self) -> Batch:
        """Whatever fits of each queue."""
        room = self._engines.room.astype(int).tolist()
        parts = [each.take(min(len(each.queue.at), free)) for each, free in zip(self._all, room, strict=True)]
        owner = np.repeat(np.arange(len(parts)), [len(part.at) for part in parts])
        return Batch(owner, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _count(self, now: float, batch: Batch, came: Tick) -> None:
        cases = len(self._all)
        in_time = came.first_tokens <= TTFT_LIMIT
        fast = came.token_seconds <= TPOT_LIMIT
        first, met = np.bincount(batch.owner, minlength=cases), np.bincount(batch.owner[in_time], minlength=cases)
        ended = np.bincount(came.ended_owner, minlength=cases)
        quick = np.bincount(came.ended_owner[fast], minlength=cases)
        for each, kept, swift in zip(self._all, met.tolist(), quick.tolist(), strict=True):
            each.case.outcome.ttft_met += kept
            each.case.outcome.tpot_met += swift
        serving = np.maximum(1.0, self._engines.per_owner(~self._engines.draining))
        busy = self._engines.per_owner(np.where(self._engines.draining, 0.0, self._engines.busy)) / serving
        inputs = np.bincount(batch.owner, weights=batch.inputs, minlength=cases)
        row = int(now) // TICK_SECONDS % len(self._recent)
        self._recent[row] = inputs, came.outputs, busy, first, first - met, ended, ended - quick

    def _scale(self, now: float) -> None:
        for owner, (each, seen) in enumerate(zip(self._all, self._metrics(now), strict=True)):
            lens = each.case.lens
            have = seen.ready + seen.pending
            each.case.outcome.replicas.append(have)
            if now < self._asked_from:
                continue
            wanted = each.case.scaler.replicas(seen if lens is None else lens(seen))
            if wanted is None:
                continue
            wanted = min(max(wanted, 1), MOST_REPLICAS)
            each.start(now, max(0, wanted - have))
            surplus = max(0, have - wanted)
            if surplus:
                self._engines.drain(owner, surplus - each.cancel(surplus))

    def _metrics(self, now: float) -> list[Metrics]:
        engines = self._engines
        serving = ~engines.draining
        ready = engines.per_owner(serving)
        waits = engines.waiting(now + TICK_SECONDS)
        waiting, running = engines.per_owner(waits), engines.per_owner(engines.running - waits)
        cache = engines.per_owner(np.where(serving, engines.cache_use, 0.0)) / np.maximum(1.0, ready)
        rates = self._recent.mean(axis=0)
        counts = self._recent.sum(axis=0)
        return [
            Metrics(
                at=now,
                ready=int(ready[owner]),
                pending=len(each.starting),
                input_tokens_per_s=float(rates[0, owner]) / TICK_SECONDS,
                output_tokens_per_s=float(rates[1, owner]) / TICK_SECONDS,
                running=float(running[owner]),
                waiting=float(waiting[owner]) + len(each.queue.at),
                cache_use=float(cache[owner]),
                busy=float(rates[2, owner]),
                first_tokens=float(counts[3, owner]),
                late_first_tokens=float(counts[4, owner]),
                answers=float(counts[5, owner]),
                slow_answers=float(counts[6, owner]),
            )
            for owner, each in enumerate(self._all)
        ]


def simulate(cases: Sequence[Case], law: Law, *, seconds: int = DAY_SECONDS, begin: int = 0) -> list[Outcome]:
    """What each case comes to, in their order."""
    return Simulation(cases, law).run(seconds, begin=begin)


__all__ = ["Case", "Floats", "Lens", "Metrics", "Outcome", "Scaler", "simulate"]
