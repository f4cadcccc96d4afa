"""How much work one replica carries within its promise, for the mix of prompts and answers that arrives.

Three things give out, each at another mix: the time per token (answers slow each other down), the places of a batch
(requests wait at the door) and the turn of a prompt (prompts are read one after the other, with a decode step in
between). A flat number of tokens a second has to be set for the worst mix; here each mix has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.decide.replicas.law import Law

TARGET_UTILISATION: Final = 0.8
"""Without a promised latency: room for bursts."""
MOST_UTILISATION: Final = 0.9
TYPICAL_OF_PROMISE: Final = 0.8
"""The mean time per token that is planned for, as a share of the promise: single answers wait behind long prompts."""
QUEUED_PROMPTS: Final = 5.0
"""Mean prompts that one in a hundred prompts waits for when half of the time goes into them: 2.3 (1 + cv²) for arrivals
at random, so 5 where lengths differ by 1.08 times their mean (0.96 in each of Azure's two services, 2023)."""
MOST_OF_PLACES: Final = 0.88
"""Requests that run on average, as a share of those that an engine admits: the rest is room for chance."""
LEAST_UTILISATION: Final = 0.1
"""Of a replica whose promise is out of reach: more replicas would not mend it."""
_HALVINGS: Final = 20


@dataclass(frozen=True, slots=True)
class ReplicaPromise:
    """What each replica is to keep, and what its engine takes; None is not promised, or not known."""

    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    places: float | None = None
    """Requests that one engine runs at once."""
    chunk_tokens: float | None = None
    """Prompt tokens between two decode steps."""
    prompt_tokens: float = 0.0
    """Of a usual request."""


def carried(law: Law, promise: ReplicaPromise, inputs: float, outputs: float) -> float:
    """Work of one replica, 0–1, at this mix of input and output tokens/s; the same for twice of both.

    base 6 ms and a promise of 40 ms, planned at 32: 1 − 6 ÷ 32 = 0.81 of its time where nothing else gives out.
    """
    promised = promise.ttft_seconds is not None or promise.tpot_seconds is not None
    most = MOST_UTILISATION if promised else TARGET_UTILISATION
    total = law.work(inputs, outputs)
    share = law.per_input * inputs / total if total > 0 else 0.5
    if _keeps(law, promise, most, share):
        return most
    low, high = LEAST_UTILISATION, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _keeps(law, promise, middle, share) else (low, middle)
    return low


def _keeps(law: Law, promise: ReplicaPromise, work: float, share: float) -> bool:
    """Whether a replica keeps all of it at this work, of which prompts are `share`."""
    token = law.token_seconds(work)
    running = (1.0 - share) * work / law.per_output * token
    if promise.tpot_seconds is not None and token > TYPICAL_OF_PROMISE * promise.tpot_seconds:
        return False
    if promise.ttft_seconds is None:
        return True
    if promise.places is not None and running > MOST_OF_PLACES * promise.places:
        # More would wait at the door.
        return False
    return _in_turn(law, promise, share * work, running)


def _in_turn(law: Law, promise: ReplicaPromise, reading: float, running: float) -> bool:
    """Prompts arrive at random and are read in turn: what waits grows as 1 ÷ (1 − share of time with prompts)."""
    step = law.base + law.per_output * running
    chunk = law.per_input * promise.chunk_tokens if promise.chunk_tokens else 0.0
    between = 1.0 + step / chunk if chunk else 1.0
    prompt = law.per_input * promise.prompt_tokens * between
    spare = (promise.ttft_seconds or 0.0) - prompt - step
    return spare > 0 and reading * between <= 1.0 - QUEUED_PROMPTS * prompt / spare
