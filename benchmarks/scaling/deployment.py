"""A deployment over a day: requests, replicas that start and drain, a scaler asked every 20 seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from benchmarks.scaling.day import CHUNK_SECONDS, DAY_SECONDS, Day, Requests
from benchmarks.scaling.engines import CYCLE_SECONDS, replay
from benchmarks.scaling.service_times import Law

RATE_SECONDS: Final = 60
"""Rates are over a minute, as `rate(…[1m])`."""
LEAST_START, MOST_START = 120.0, 420.0
MOST_REPLICAS: Final = 48
STARTS: Final = 50_000
"""Start-up times that are drawn for a day, more than any scaler asks for."""
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


def simulate(cases: Sequence[Case], law: Law, *, seconds: int = DAY_SECONDS, begin: int = 0) -> list[Outcome]:
    """What each case comes to, in their order. Nobody is asked before a whole minute was seen."""
    days = {case.day.seed: case.day for case in cases}
    for seed, day in days.items():
        requests = _requests(day, begin, begin + seconds)
        for case in cases:
            if case.day.seed == seed:
                _replayed(case, law, requests, begin=begin, until=begin + seconds)
    return [case.outcome for case in cases]


def _requests(day: Day, begin: int, until: int) -> Requests:
    chunks = [day.chunk(number) for number in range(begin // CHUNK_SECONDS, until // CHUNK_SECONDS)]
    return Requests(*(np.concatenate(columns) for columns in zip(*chunks, strict=True)))


def _replayed(case: Case, law: Law, requests: Requests, *, begin: int, until: int) -> None:
    def ask(numbers: list[float]) -> int | None:
        seen = Metrics(numbers[0], int(numbers[1]), int(numbers[2]), *numbers[3:])
        return case.scaler.replicas(seen if case.lens is None else case.lens(seen))

    starts = np.random.default_rng((case.day.seed, 2)).uniform(*case.start_seconds, STARTS)
    counted, replicas = replay(
        law,
        requests,
        ask,
        limits=(TTFT_LIMIT, TPOT_LIMIT, MOST_REPLICAS),
        start_seconds=starts,
        first=case.first,
        begin=begin,
        until=until,
        asked_from=begin + RATE_SECONDS,
    )
    case.outcome = Outcome(
        int(counted.requests), int(counted.ttft_met), int(counted.tpot_met), counted.gpu_seconds, replicas
    )


__all__ = ["Case", "Lens", "Metrics", "Outcome", "Scaler", "simulate"]
