"""One deployment over a day: requests, replicas that start and drain, a scaler that is asked every 20 seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from benchmarks.scaling.day import CHUNK_SECONDS, DAY_SECONDS, Day, Requests
from benchmarks.scaling.engines import TICK_SECONDS, Engines
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


class Deployment:
    """Lives for one run. Two runs of one day see the same requests and the same start-up times."""

    def __init__(self, day: Day, law: Law, scaler: Scaler, *, first: int = 4, lens: Lens | None = None) -> None:
        self._day, self._scaler = day, scaler
        self._lens = lens or (lambda seen: seen)
        self._engines = Engines(law)
        self._starts = np.random.default_rng((day.seed, 2))
        self._starting: list[float] = []
        self._queue = Requests(np.zeros(0), np.zeros(0), np.zeros(0))
        self._recent: deque[tuple[float, ...]] = deque(maxlen=RATE_SECONDS // TICK_SECONDS)
        self.outcome = Outcome()
        for _ in range(first):
            self._engines.add(0.0)

    def run(self, seconds: int = DAY_SECONDS, *, begin: int = 0) -> Outcome:
        for chunk in range(begin // CHUNK_SECONDS, (begin + seconds) // CHUNK_SECONDS):
            arriving = self._day.chunk(chunk)
            starts = chunk * CHUNK_SECONDS + np.arange(0, CHUNK_SECONDS + 1, TICK_SECONDS)
            cuts = np.searchsorted(arriving.at, starts)
            for tick, start in enumerate(starts[:-1].tolist()):
                part = slice(cuts[tick], cuts[tick + 1])
                self._tick(float(start), Requests(*(each[part] for each in arriving)))
        return self.outcome

    def _tick(self, now: float, arriving: Requests) -> None:
        self._turn_ready(now)
        if len(self._queue.at):
            arriving_all = Requests(*(np.concatenate(pair) for pair in zip(self._queue, arriving, strict=True)))
        else:
            arriving_all = arriving
        self._queue = arriving_all
        self.outcome.requests += len(arriving.at)
        self._forget_the_gone(now)
        fit = min(len(self._queue.at), self._engines.room)
        came = self._engines.tick(now, Requests(*(each[:fit] for each in self._queue)))
        self._queue = Requests(*(each[fit:] for each in self._queue))
        first, answers = len(came.first_tokens), len(came.token_seconds)
        in_time = int(np.count_nonzero(came.first_tokens <= TTFT_LIMIT))
        fast = int(np.count_nonzero(came.token_seconds <= TPOT_LIMIT))
        self.outcome.ttft_met += in_time
        self.outcome.tpot_met += fast
        busy = float(self._engines.busy[~self._engines.draining].mean()) if self._engines.count else 0.0
        self._recent.append((came.inputs, came.outputs, busy, first, first - in_time, answers, answers - fast))
        self._engines.drop_drained()
        self.outcome.gpu_seconds += TICK_SECONDS * (self._engines.count + len(self._starting))
        if int(now) % CYCLE_SECONDS == 0:
            self._scale(now)

    def _forget_the_gone(self, now: float) -> None:
        """Counted as arrived and as promised nothing that was kept."""
        stays = int(np.searchsorted(self._queue.at, now - GIVES_UP_SECONDS))
        if stays:
            self._queue = Requests(*(each[stays:] for each in self._queue))

    def _turn_ready(self, now: float) -> None:
        for at in [each for each in self._starting if each <= now]:
            self._starting.remove(at)
            self._engines.add(now)

    def _scale(self, now: float) -> None:
        wanted = self._scaler.replicas(self._lens(self._metrics(now)))
        have = self._serving + len(self._starting)
        self.outcome.replicas.append(have)
        if wanted is None:
            return
        wanted = int(np.clip(wanted, 1, MOST_REPLICAS))
        for _ in range(have, wanted):
            self._starting.append(now + self._starts.uniform(LEAST_START, MOST_START))
        surplus = have - wanted
        if surplus > 0:
            cancelled = min(surplus, len(self._starting))
            self._starting = sorted(self._starting)[: len(self._starting) - cancelled]
            self._engines.drain(surplus - cancelled)

    @property
    def _serving(self) -> int:
        return int(np.count_nonzero(~self._engines.draining))

    def _metrics(self, now: float) -> Metrics:
        recent = np.array(self._recent)
        engines = self._engines
        serving = ~engines.draining
        inputs, outputs, busy = (float(each) for each in recent[:, :3].mean(axis=0))
        first, late, answers, slow = (float(each) for each in recent[:, 3:].sum(axis=0))
        waits = engines.waiting(now + TICK_SECONDS)
        return Metrics(
            at=now,
            ready=self._serving,
            pending=len(self._starting),
            input_tokens_per_s=inputs / TICK_SECONDS,
            output_tokens_per_s=outputs / TICK_SECONDS,
            running=float((engines.running - waits).sum()),
            waiting=float(waits.sum()) + len(self._queue.at),
            cache_use=float(engines.cache_use[serving].mean()) if serving.any() else 0.0,
            busy=busy,
            first_tokens=first,
            late_first_tokens=late,
            answers=answers,
            slow_answers=slow,
        )


def simulate(day: Day, law: Law, scaler: Scaler, *, lens: Lens | None = None) -> Outcome:
    return Deployment(day, law, scaler, lens=lens).run()


__all__ = ["Deployment", "Floats", "Metrics", "Outcome", "Scaler", "simulate"]
