"""When an object may be written again: what fails, and what is written in vain, waits longer each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

FAILURE_SECONDS: Final = 5.0
"""After a first failure; doubled with each further one."""
ECHO_SECONDS: Final = 10.0
"""The same body again within this time is our own write that has not come back through the watch yet."""
LONGEST_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Tried:
    digest: str
    failed: bool
    times: int
    not_before: float


@dataclass(slots=True)
class Attempts:
    """By write: the last try. A failure of any body holds the object back; success only holds back the same body."""

    _by_key: dict[str, _Tried] = field(default_factory=dict)

    def waits(self, key: str, now: float) -> bool:
        """Is it too early for anything, or for the same again? What was tried long ago needs no closer look."""
        last = self._by_key.get(key)
        return last is not None and now < last.not_before

    def held_back(self, key: str, digest: str, now: float) -> bool:
        last = self._by_key.get(key)
        if last is None or now >= last.not_before:
            return False
        return last.failed or last.digest == digest

    def failed(self, key: str, digest: str, now: float) -> float:
        """Seconds until the next try: 5, 10, 20 … at most 300."""
        last = self._by_key.get(key)
        times = last.times + 1 if last is not None and last.failed else 1
        wait = min(LONGEST_SECONDS, FAILURE_SECONDS * 2.0 ** (times - 1))
        self._by_key[key] = _Tried(digest, True, times, now + wait)
        return wait

    def succeeded(self, key: str, digest: str, now: float) -> None:
        """The same body wanted again means that somebody undoes it, or that it can not be had: ever more rarely."""
        last = self._by_key.get(key)
        again = last is not None and not last.failed and last.digest == digest
        times = last.times + 1 if again and last is not None else 1
        wait = min(LONGEST_SECONDS, ECHO_SECONDS * 2.0 ** (times - 1))
        self._by_key[key] = _Tried(digest, False, times, now + wait)

    def forget(self, now: float) -> None:
        """What has not been wanted again for long was mended, or is gone."""
        for key in [key for key, last in self._by_key.items() if now - last.not_before > LONGEST_SECONDS]:
            del self._by_key[key]

    def __len__(self) -> int:
        return len(self._by_key)


@dataclass(slots=True)
class Pace:
    """Spaces calls evenly at no more than `per_second`; after a rest, a second's worth may go at once."""

    per_second: float
    _next: float = 0.0

    def delay(self, now: float) -> float:
        """Seconds to wait before the call that asks."""
        self._next = max(self._next, now - 1.0) + 1.0 / self.per_second
        return max(0.0, self._next - now)
