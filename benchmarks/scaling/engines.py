"""Engines of many deployments at once: arrays of shape (replicas, slots), two seconds a tick.

An engine reads prompts in the order of arrival, in chunks of 2,048 tokens with a decode step for the others between two
chunks, and gives every running sequence one token a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.scaling.service_times import KV_TOKENS, MOST_RUNNING, Floats, Law

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]
TICK_SECONDS: Final = 2
"""First tokens and last ones are timed inside a tick; slots are freed and requests routed once a tick."""
CHUNK_TOKENS: Final = 2048.0
_LEFT, _FIRST = 0, 1
_LEAST_LEFT: Final = 1e-6
"""An answer of one token is over with its first; its slot is freed in the same tick."""
_CLOSED: Final = 10**9
_ROWS: Final = ("owner", "draining", "busy", "running", "_cached", "_free_at", "_step")


class Batch(NamedTuple):
    """Requests by deployment and then by time: whose, when, prompt tokens, answer tokens."""

    owner: Counts
    at: Floats
    inputs: Floats
    outputs: Floats


@dataclass
class Tick:
    """What one tick brought; everything that has one element a request goes with `owner` or `ended_owner`."""

    first_tokens: Floats
    """Seconds from arrival to first token, of those that were admitted."""
    ended_owner: Counts
    token_seconds: Floats
    """Mean seconds between two tokens of those that ended; 0 where the answer was one token."""
    outputs: Floats
    """Tokens given, by deployment."""


class Engines:
    """Every array has one row a replica; rows come and go with replicas."""

    def __init__(self, law: Law, deployments: int) -> None:
        self._law, self._deployments = law, deployments
        self._chunk = float(law.prefill_seconds(np.array(CHUNK_TOKENS)))
        self.owner: Counts = np.zeros(0, dtype=np.int64)
        """Whose replica it is; rows are in this order."""
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

    def add(self, owner: int, now: float) -> None:
        place = int(np.searchsorted(self.owner, owner, side="right"))
        for name, value in zip(_ROWS, (owner, False, 0.0, 0, 0.0, now, self._law.base), strict=True):
            setattr(self, name, np.insert(getattr(self, name), place, value))
        self._slots = np.insert(self._slots, place, 0.0, axis=1)

    def drain(self, owner: int, number: int) -> None:
        """The `number` of its replicas with the fewest sequences take no more requests."""
        rows = np.flatnonzero(~self.draining & (self.owner == owner))
        self.draining[rows[np.argsort(self.running[rows], kind="stable")[:number]]] = True

    def drop_drained(self) -> None:
        gone = self.draining & (self.running == 0)
        if not gone.any():
            return
        for name in _ROWS:
            setattr(self, name, getattr(self, name)[~gone])
        self._slots = self._slots[:, ~gone]

    def waiting(self, now: float) -> Counts:
        """Of `running`, those whose prompt is not read yet."""
        counts: Counts = np.count_nonzero((self._slots[_LEFT] > 0) & (self._slots[_FIRST] > now), axis=1)
        return counts

    @property
    def cache_use(self) -> Floats:
        """Share of the KV cache that is taken."""
        return self._cached / KV_TOKENS

    def per_owner(self, values: NDArray[np.generic]) -> Floats:
        """Sums over the replicas of each deployment."""
        sums = np.bincount(self.owner, weights=values.astype(float), minlength=self._deployments)
        return sums.astype(float)

    @property
    def room(self) -> Floats:
        """Requests that each deployment can still take."""
        return self.per_owner(np.where(self.draining, 0, MOST_RUNNING - self.running))

    def tick(self, start: float, requests: Batch) -> Tick:
        """Admit `requests` (no more than there is room for), and let a tick pass."""
        work = np.maximum(self._free_at - start, 0.0)
        first = np.zeros(0)
        if len(requests.at):
            first, added = self._admit(requests)
            work = work + added
        behind = np.maximum(self._free_at - start - TICK_SECONDS, 0.0)
        reading = np.minimum(np.maximum((work - behind) / TICK_SECONDS, 0.0), 1.0)
        ended, seconds, given = self._decode(start, reading)
        return Tick(first - requests.at, self.owner[ended], seconds, self.per_owner(given))

    def _admit(self, requests: Batch) -> tuple[Floats, Floats]:
        """Each goes to the replica with the fewest sequences. When each has its first token, and seconds of prompts."""
        shares = self._shares(np.bincount(requests.owner, minlength=self._deployments))
        place = np.arange(shares.max())[:, None] < shares[None, :]
        turns, rows = np.nonzero(place)
        order = np.argsort(self.owner[rows], kind="stable")
        turns, rows = turns[order], rows[order]
        at, service = np.full(place.shape, -np.inf), np.zeros(place.shape)
        at[turns, rows] = requests.at
        # Between two chunks of prompts the engine takes a step for those that decode.
        between = 1.0 + self._step / self._chunk
        service[turns, rows] = self._law.prefill_seconds(requests.inputs) * between[rows]
        done = np.cumsum(service, axis=0)
        opened = np.maximum(np.maximum.accumulate(at - (done - service), axis=0), self._free_at)
        finish = done + opened
        self._free_at = np.where(shares > 0, finish[-1], self._free_at)
        first = finish[turns, rows] + self._step[rows]
        by_row = np.argsort(rows, kind="stable")
        self._occupy(shares, np.stack((requests.outputs, first, requests.inputs))[:, by_row], rows[by_row])
        return first, done[-1]

    def _occupy(self, shares: Counts, arriving: Floats, rows: Counts) -> None:
        """`arriving`: answer, first token and prompt of each, in the order of `rows`."""
        outputs, first, inputs = arriving
        got = np.flatnonzero(shares)
        free = self._slots[_LEFT, got] == 0
        taken = free & (np.cumsum(free, axis=1) <= shares[got, None])
        places, slots = np.nonzero(taken)
        cached = inputs + outputs / 2
        left = np.maximum(outputs - 1.0, _LEAST_LEFT)
        self._slots[:, got[places], slots] = np.stack((left, first, outputs, cached))
        self.running = self.running + shares
        self._cached = self._cached + np.bincount(rows, weights=cached, minlength=len(self.owner))

    def _shares(self, numbers: Counts) -> Counts:
        """How many each replica gets so that all of a deployment end up with as equal a number as can be."""
        starts = np.searchsorted(self.owner, np.arange(self._deployments))
        column = np.arange(len(self.owner)) - starts[self.owner]
        held = np.full((self._deployments, int(column.max()) + 1), _CLOSED, dtype=np.int64)
        held[self.owner, column] = np.where(self.draining, _CLOSED, self.running)
        order = np.argsort(held, axis=1, kind="stable")
        ordered = np.take_along_axis(held, order, axis=1)
        behind = np.cumsum(ordered, axis=1)
        rank = np.arange(ordered.shape[1])
        open_rows = np.maximum(1, (ordered * (rank + 1) - behind <= numbers[:, None]).sum(axis=1))
        level, over = np.divmod(numbers + behind[np.arange(len(behind)), open_rows - 1], open_rows)
        gets = np.where(rank < open_rows[:, None], level[:, None] - ordered, 0) + (rank < over[:, None])
        gets[numbers == 0] = 0
        spread = np.zeros_like(held)
        np.put_along_axis(spread, order, gets, axis=1)
        shares: Counts = spread[self.owner, column]
        return shares

    def _decode(self, start: float, reading: Floats) -> tuple[Counts, Floats, Floats]:
        """A tick in which prompts take `reading` of each engine's time: rows and seconds a token of what ended."""
        left, first, tokens, cached = self._slots
        self._step = self._law.step_seconds(self.running.astype(float), self._cached)
        pace = (1.0 - reading / (1.0 + self._step / self._chunk)) / self._step
        began = np.maximum(first, start)
        given = np.minimum(pace[:, None] * np.maximum(start + TICK_SECONDS - began, 0.0), left)
        rows, slots = np.nonzero((left > 0) & (given >= left))
        finish = began[rows, slots] + left[rows, slots] / pace[rows]
        answer = tokens[rows, slots]
        seconds = (finish - first[rows, slots]) / np.maximum(answer - 1.0, 1.0)
        left -= given
        self.running = self.running - np.bincount(rows, minlength=len(self.owner))
        gone = np.bincount(rows, weights=cached[rows, slots], minlength=len(self.owner))
        self._cached = self._cached - gone
        by_row = given.sum(axis=1)
        self.busy = np.minimum(1.0, reading + by_row * self._step / TICK_SECONDS)
        return rows, np.where(answer > 1, seconds, 0.0), by_row
