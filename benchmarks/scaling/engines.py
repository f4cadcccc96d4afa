"""Engines of one deployment, all at once: arrays of shape (replicas, slots), two seconds a tick.

An engine reads prompts in the order of arrival, in chunks of 2,048 tokens with a decode step for the others between two
chunks, and then gives every running sequence one token a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.scaling.day import Requests
from benchmarks.scaling.service_times import KV_TOKENS, MOST_RUNNING, Floats, Law

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]
TICK_SECONDS: Final = 2
"""First tokens and last ones are timed inside a tick; slots are freed and requests routed once a tick."""
CHUNK_TOKENS: Final = 2048.0
_LEFT, _FIRST = 0, 1
_LEAST_LEFT: Final = 1e-6
"""An answer of one token is over with its first; its slot is freed in the same tick."""


@dataclass
class Tick:
    """What one tick brought."""

    first_tokens: Floats
    """Seconds from arrival to first token of those that were admitted."""
    token_seconds: Floats
    """Mean seconds between two tokens of those that ended; 0 where the answer was one token."""
    inputs: float
    outputs: float


class Engines:
    """Every array has one row a replica; rows come and go with replicas."""

    def __init__(self, law: Law) -> None:
        self._law = law
        self._chunk = float(law.prefill_seconds(np.array(CHUNK_TOKENS)))
        self.draining: Flags = np.zeros(0, dtype=bool)
        self.busy: Floats = np.zeros(0)
        """Share of the last tick in which a kernel ran."""
        self.running: Counts = np.zeros(0, dtype=np.int64)
        """Sequences that hold a slot, prompts that wait for their first token included."""
        self._cached: Floats = np.zeros(0)
        """Tokens in the caches of those sequences, each at half of its answer."""
        self._free_at: Floats = np.zeros(0)
        self._step: Floats = np.zeros(0)
        self._slots: Floats = np.zeros((4, 0, MOST_RUNNING))
        """Of each sequence: tokens still to give (0 in a free slot), when its first came, its answer, its cache."""

    @property
    def count(self) -> int:
        return len(self.draining)

    def add(self, now: float) -> None:
        self.draining = np.append(self.draining, False)
        self.busy = np.append(self.busy, 0.0)
        self.running = np.append(self.running, 0)
        self._cached = np.append(self._cached, 0.0)
        self._free_at = np.append(self._free_at, now)
        self._step = np.append(self._step, self._law.base)
        self._slots = np.concatenate((self._slots, np.zeros((4, 1, MOST_RUNNING))), axis=1)

    def drain(self, number: int) -> None:
        """The `number` with the fewest sequences take no more requests."""
        rows = np.flatnonzero(~self.draining)
        chosen = rows[np.argsort(self.running[rows], kind="stable")[:number]]
        self.draining[chosen] = True

    def drop_drained(self) -> None:
        if not self.draining.any():
            return
        kept = ~(self.draining & (self.running == 0))
        for name in ("draining", "busy", "running", "_cached", "_free_at", "_step"):
            setattr(self, name, getattr(self, name)[kept])
        self._slots = self._slots[:, kept]

    def waiting(self, now: float) -> Counts:
        """Of `running`, those whose prompt is not read yet."""
        counts: Counts = np.count_nonzero((self._slots[_LEFT] > 0) & (self._slots[_FIRST] > now), axis=1)
        return counts

    @property
    def cache_use(self) -> Floats:
        """Share of the KV cache that is taken."""
        return self._cached / KV_TOKENS

    @property
    def room(self) -> int:
        return int((MOST_RUNNING - self.running[~self.draining]).sum())

    def tick(self, start: float, requests: Requests) -> Tick:
        """Admit `requests` (no more than there is room for), and let a tick pass."""
        work = np.maximum(self._free_at - start, 0.0)
        first = np.zeros(0)
        if len(requests.at):
            first, added = self._admit(requests)
            work = work + added
        behind = np.maximum(self._free_at - start - TICK_SECONDS, 0.0)
        ended, given = self._decode(start, np.clip((work - behind) / TICK_SECONDS, 0.0, 1.0))
        return Tick(first - requests.at, ended, float(requests.inputs.sum()), given)

    def _admit(self, requests: Requests) -> tuple[Floats, Floats]:
        """Each goes to the replica with the fewest sequences. When each has its first token, and seconds of prompts."""
        shares = self._shares(len(requests.at))
        place = np.arange(shares.max())[:, None] < shares[None, :]
        at, service = np.full(place.shape, -np.inf), np.zeros(place.shape)
        at[place] = requests.at
        service[place] = self._law.prefill_seconds(requests.inputs)
        # Between two chunks of prompts the engine takes a step for those that decode.
        service *= 1.0 + self._step / self._chunk
        done = np.cumsum(service, axis=0)
        opened = np.maximum(np.maximum.accumulate(at - (done - service), axis=0), self._free_at)
        finish = done + opened
        self._free_at = np.where(shares > 0, finish[-1], self._free_at)
        first = (finish + self._step)[place]
        self._occupy(shares, place, first, requests)
        return first, done[-1]

    def _occupy(self, shares: Counts, place: Flags, first: Floats, requests: Requests) -> None:
        free = self._slots[_LEFT] == 0
        taken = free & (np.cumsum(free, axis=1) <= shares[:, None])
        number = np.zeros(place.shape, dtype=np.int64)
        number[place] = np.arange(len(first))
        by_replica = number.T[place.T]
        left = np.maximum(requests.outputs - 1.0, _LEAST_LEFT)
        cached = requests.inputs + requests.outputs / 2
        self._slots[:, taken] = np.stack((left, first, requests.outputs, cached))[:, by_replica]
        self.running = self.running + shares
        rows = np.repeat(np.arange(self.count), shares)
        self._cached = self._cached + np.bincount(rows, weights=cached[by_replica], minlength=self.count)

    def _shares(self, number: int) -> Counts:
        """How many each replica gets so that all end up with as equal a number as can be."""
        held = np.where(self.draining, MOST_RUNNING, self.running)
        order = np.argsort(held, kind="stable")
        sorted_held = held[order]
        filled = sorted_held * np.arange(1, len(held) + 1) - np.cumsum(sorted_held)
        open_rows = max(1, int(np.searchsorted(filled, number, side="right")))
        total = number + int(sorted_held[:open_rows].sum())
        level, over = divmod(total, open_rows)
        gets = np.zeros(len(held), dtype=np.int64)
        gets[order[:open_rows]] = level - sorted_held[:open_rows]
        gets[order[:over]] += 1
        return _within(gets, np.where(self.draining, 0, MOST_RUNNING - held))

    def _decode(self, start: float, reading: Floats) -> tuple[Floats, float]:
        """A tick in which prompts take `reading` of each engine's time. Seconds a token of what ended, tokens given."""
        left, first, tokens, cached = self._slots
        self._step = self._law.step_seconds(self.running.astype(float), self._cached)
        pace = (1.0 - reading / (1.0 + self._step / self._chunk)) / self._step
        began = np.maximum(first, start)
        active = left > 0
        given = np.minimum(pace[:, None] * np.maximum(start + TICK_SECONDS - began, 0.0), left)
        rows, slots = np.nonzero(active & (given >= left))
        finish = began[rows, slots] + left[rows, slots] / pace[rows]
        answer = tokens[rows, slots]
        seconds = (finish - first[rows, slots]) / np.maximum(answer - 1.0, 1.0)
        left -= given
        self.running = self.running - np.bincount(rows, minlength=self.count)
        self._cached = self._cached - np.bincount(rows, weights=cached[rows, slots], minlength=self.count)
        by_row = given.sum(axis=1)
        self.busy = np.minimum(1.0, reading + by_row * self._step / TICK_SECONDS)
        return np.where(answer > 1, seconds, 0.0), float(by_row.sum())


def _within(gets: Counts, room: Counts) -> Counts:
    """Nobody gets more than fits: what is too much goes where there is room."""
    over = int(np.maximum(gets - room, 0).sum())
    gets = np.minimum(gets, room)
    for row in np.flatnonzero(room > gets) if over else ():
        more = min(over, int(room[row] - gets[row]))
        gets[row] += more
        over -= more
    return gets
