"""Many bounded GETs in one round, shared fairly: whoever has a thousand endpoints waits as long as whoever has one.

Places of asking, bytes, and turns of being read are all shared by group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.http import RequestLimits
from mfu.telemetry.http_get import RawAnswer, get

Consume = Callable[[str, RawAnswer | TelemetryError], Awaitable[float]]
"""Takes the answer of an ask by name; gives the seconds of work that reading it was."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One GET. Asks of one `group` (a namespace) share what the group may cost."""

    name: str
    url: str
    group: str = ""


@dataclass(slots=True)
class Allowance:
    """What groups may cost a round, in bytes read and seconds of reading; a debt is paid before anything new is read.

    Each group has the same share, and one that is over its share is not asked at all until later rounds have paid.
    """

    bytes_per_round: float
    seconds_per_round: float
    _share: tuple[float, float] = (0.0, 0.0)
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def begin(self, groups: Iterable[str]) -> None:
        """A new round of these groups: each gets its share on top of what it owes, never on top of what it saved."""
        names = set(groups)
        count = max(1, len(names))
        self._share = (self.bytes_per_round / count, self.seconds_per_round / count)
        owed = {name: self._left.get(name, (0.0, 0.0)) for name in names}
        self._left = {
            name: (self._share[0] + min(0.0, left[0]), self._share[1] + min(0.0, left[1]))
            for name, left in owed.items()
        }

    def may(self, group: str) -> bool:
        size, seconds = self._left.get(group, self._share)
        return size > 0 and seconds > 0

    def may_read(self, group: str) -> bool:
        """May what it has sent still be read?"""
        return self._left.get(group, self._share)[1] > 0

    def spend(self, group: str, size: int, seconds: float) -> None:
        left = self._left.get(group, self._share)
        self._left[group] = (left[0] - size, left[1] - seconds)

    @property
    def over(self) -> frozenset[str]:
        """Groups that are over their share."""
        return frozenset(group for group in self._left if not self.may(group))


@dataclass(slots=True)
class Queue:
    """Asks by group. The next is of the group with the fewest under way; among those, of the one served longest ago.

    A heap of one entry a waiting group; an entry that a finished ask made wrong is passed over when it comes up.
    """

    allowance: Allowance | None = None
    _waiting: dict[str, deque[Ask]] = field(default_factory=dict)
    _under_way: dict[str, int] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)
    """By group, the place in the order in which groups came and were served last."""
    _order: list[tuple[int, int, str]] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=count)

    def add(self, asks: Iterable[Ask]) -> None:
        for ask in asks:
            known = self._waiting.get(ask.group)
            if known is not None:
                known.append(ask)
                continue
            self._waiting[ask.group] = deque((ask,))
            self._under_way.setdefault(ask.group, 0)
            self._line_up(ask.group)

    def next(self) -> Ask | None:
        """None when nothing may be asked any more in this round."""
        while self._order:
            under_way, place, group = heappop(self._order)
            if group not in self._waiting or (under_way, place) != (self._under_way[group], self._served[group]):
                continue
            if self.allowance is None or self.allowance.may(group):
                return self._serve(group)
            # What is spent in a round is not given back in it.
        return None

    def done(self, ask: Ask, size: int, seconds: float) -> None:
        self._under_way[ask.group] -= 1
        if self.allowance is not None:
            self.allowance.spend(ask.group, size, seconds)
        if ask.group in self._waiting:
            heappush(self._order, (self._under_way[ask.group], self._served[ask.group], ask.group))

    def _serve(self, group: str) -> Ask:
        waiting = self._waiting[group]
        ask = waiting.popleft()
        self._under_way[group] += 1
        if waiting:
            self._line_up(group)
        else:
            del self._waiting[group]
        return ask

    def _line_up(self, group: str) -> None:
        """At the end of those with as many under way."""
        self._served[group] = next(self._turns)
        heappush(self._order, (self._under_way[group], self._served[group], group))


@dataclass(slots=True)
class Desk:
    """One answer is read at a time: of the group that has been read for the shortest time, among those that wait."""

    _spent: dict[str, float] = field(default_factory=dict)
    _waiting: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list)
    _taken: bool = False

    @asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[None]:
        await self._take(group)
        try:
            yield
        finally:
            self._pass_on()

    def spend(self, group: str, seconds: float) -> None:
        self._spent[group] = self._spent.get(group, 0.0) + seconds

    async def _take(self, group: str) -> None:
        if not self._taken:
            self._taken = True
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append((group, mine))
        try:
            await mine
        except asyncio.CancelledError:
            # The turn may have been given just before: it goes to the next.
            if mine.done() and not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._waiting = [each for each in self._waiting if not each[1].done()]
        self._taken = bool(self._waiting)
        if self._waiting:
            chosen = min(self._waiting, key=lambda each: self._spent.get(each[0], 0.0))
            self._waiting.remove(chosen)
            chosen[1].set_result(None)


async def gather_fair(
    asks: Iterable[Ask],
    limits: RequestLimits,
    consume: Consume,
    allowance: Allowance | None = None,
) -> None:
    """Hand what each ask was sent, or what went wrong, to `consume` by name, one after the other.

    At most `concurrency` answers are in flight or wait to be read. What is not read within `round_seconds`, or what
    its group has no share for, is left for the next round and not consumed.
    """
    wanted = list(asks)
    if allowance is not None:
        allowance.begin(ask.group for ask in wanted)
    queue, desk = Queue(allowance), Desk()
    queue.add(wanted)

    async def work() -> None:
        while (ask := queue.next()) is not None:
            try:
                answer: RawAnswer | TelemetryError = await get(ask.url, limits)
            except TelemetryError as error:
                answer = error
            size = len(answer.text) if isinstance(answer, RawAnswer) else answer.size
            seconds = 0.0
            async with desk.turn(ask.group):
                if allowance is None or allowance.may_read(ask.group):
                    seconds = await consume(ask.name, answer)
                    desk.spend(ask.group, seconds)
                # Within the turn: the next one is chosen by what is left then.
                queue.done(ask, size, seconds)

    with suppress(TimeoutError):
        async with asyncio.timeout(limits.round_seconds), asyncio.TaskGroup() as group:
            for _ in range(min(limits.concurrency, len(wanted))):
                group.create_task(work())
