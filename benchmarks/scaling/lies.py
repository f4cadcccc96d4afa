"""What may happen to metrics on their way: lost, zero, frozen, and wrong by a factor, for an hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.scaling.deployment import Lens, Metrics

FROM, UNTIL = 9 * 3600.0, 10 * 3600.0
"""Seconds of the day between which metrics are not what they should be."""


def lost(_: Metrics) -> None:
    return None


def zero(seen: Metrics) -> Metrics:
    """An empty answer taken for 0, as KEDA's prometheus trigger does unless it is told not to."""
    return seen._replace(
        input_tokens_per_s=0.0, output_tokens_per_s=0.0, running=0.0, waiting=0.0, cache_use=0.0, busy=0.0
    )


def more_tokens(seen: Metrics) -> Metrics:
    """A counter that counts everything ten times."""
    return seen._replace(
        input_tokens_per_s=10 * seen.input_tokens_per_s, output_tokens_per_s=10 * seen.output_tokens_per_s
    )


def longer_queue(seen: Metrics) -> Metrics:
    """A gauge that is never taken back."""
    return seen._replace(waiting=50 * seen.waiting + 500)


def full_cache(seen: Metrics) -> Metrics:
    """Cache and GPU always read as full."""
    return seen._replace(cache_use=1.0, busy=1.0)


class Frozen:
    """The first page of the hour, again and again."""

    def __init__(self) -> None:
        self._first: Metrics | None = None

    def __call__(self, seen: Metrics) -> Metrics:
        self._first = self._first or seen
        return self._first._replace(at=seen.at, ready=seen.ready, pending=seen.pending)


LIES: Final[dict[str, Callable[[], Callable[[Metrics], Metrics | None]]]] = {
    "lost": lambda: lost,
    "zero": lambda: zero,
    "frozen": Frozen,
    "tokens × 10": lambda: more_tokens,
    "queue × 50": lambda: longer_queue,
    "cache and GPU full": lambda: full_cache,
}


def for_an_hour(name: str) -> Lens:
    lie = LIES[name]()
    return lambda seen: lie(seen) if FROM <= seen.at < UNTIL else seen
