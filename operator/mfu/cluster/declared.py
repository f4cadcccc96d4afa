"""What people declared, as another watch tells it; deletions that the other misses are found by a list of names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from mfu.cluster.client import METADATA_ONLY, ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import key_of
from mfu.cluster.resources import JSON, ResourcePath

log = logging.getLogger(__name__)

T = TypeVar("T")

REPAIR_SECONDS: Final = 180.0
"""At the longest between two lists of names."""
LEAST_REPAIR_SECONDS: Final = 10.0
"""Between two lists of few names: where the other watch lists anew and finds nothing at all, it says nothing, and a
policy that is gone must not go on deciding for minutes."""
NAMES_A_SECOND: Final = 60.0
"""That are listed when all is in step: of more names, a list is made less often."""
FIRST_REPAIR_SECONDS: Final = 2.0
"""Until everything that is listed by name has come, names are listed this often: what went meanwhile never comes."""
SHARE_OF_REPAIRS: Final = 0.1
"""Of the time until then: to list ten thousand names again and again keeps the objects themselves from coming."""
SETTLED_SECONDS: Final = 3.0
"""After a re-list of the other watch, this much later."""


class DeclaredStore(Generic[T]):
    """Keeps `objects`, keyed "namespace/name" (or "name"), in step with what is told through `take`.

    The other watch (kopf's) lists again after it lost its place, and then says nothing of what is gone: the names that
    the API server lists now and then, and after each such re-list, repair that. `synced` once every name that is
    listed has come. Everything here runs on one event loop; `project` may be called from anywhere.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: ResourcePath,
        project: Callable[[JSON], T | None],
        *,
        changed: Callable[[], None] = lambda: None,
        news: Callable[[T, T], bool] = lambda _before, _now: True,
        redeclared: Callable[[str], None] = lambda _key: None,
    ) -> None:
        """`changed` after any news; `redeclared` before it with the key of what was there and says something new."""
        self.resource = resource
        self.objects: dict[str, T] = {}
        self.synced = asyncio.Event()
        self.relists = 0
        """Lists of names."""
        self.events = 0
        self.version = 0
        """Counts changes of `objects`: what was derived from them stays right while it stays."""
        self.last_contact: float | None = None
        self.repaired = 0
        """Objects that were gone without a word."""
        self._client, self._project, self._changed, self._news = client, project, changed, news
        self._redeclared = redeclared
        self._unreadable: set[str] = set()
        self._awaited: set[str] | None = None
        self._soon = asyncio.Event()

    def read(self, item: JSON) -> T | None:
        """The few fields that are kept; None for an object that can not be read: one alone must not end the watch."""
        try:
            return self._project(item)
        except Exception:
            log.exception("declared kind=%s object=%s can not be read", self.resource.kind, key_of(item))
            return None

    def take(self, key: str, value: T | None, *, relisted: bool = False) -> None:
        """One object as it is now, None where it is gone. `relisted` where it comes from a list, not from a change."""
        self.events += 1
        self.last_contact = asyncio.get_running_loop().time()
        if relisted and self.synced.is_set():
            self._soon.set()
        if value is None:
            self._unreadable.add(key)
            if self.objects.pop(key, None) is not None:
                self._note()
        elif value != (before := self.objects.get(key)):
            self.objects[key] = value
            # What only we wrote comes back as well: it must not keep the loop from looking at the news.
            new = before is None or self._news(before, value)
            if new and before is not None:
                self._redeclared(key)
            self._note(news=new)
        if self._awaited is not None:
            self._awaited.discard(key)
            self._sync()

    async def run(self) -> None:
        """For ever: list the names, and forget what is not among them."""
        while True:
            clock = asyncio.get_running_loop().time
            began = clock()
            try:
                await self._repair()
            except (ApiError, ServerUnreachable) as error:
                log.warning("names kind=%s not listed: %s", self.resource.kind, error)
            await self._pause(clock() - began)

    async def _pause(self, took_seconds: float) -> None:
        self._soon.clear()
        if not self.synced.is_set():
            await asyncio.sleep(max(FIRST_REPAIR_SECONDS, took_seconds / SHARE_OF_REPAIRS))
            return
        try:
            async with asyncio.timeout(min(REPAIR_SECONDS, LEAST_REPAIR_SECONDS + len(self.objects) / NAMES_A_SECOND)):
                await self._soon.wait()
            await asyncio.sleep(SETTLED_SECONDS)
        except TimeoutError:
            return

    async def _repair(self) -> None:
        before, listed = dict(self.objects), set[str]()
        self._unreadable.clear()
        async for page in self._client.pages(self.resource, accept=METADATA_ONLY):
            listed |= {key_of(item) for item in page.items}
        self.relists += 1
        self.last_contact = asyncio.get_running_loop().time()
        # What came or changed while the names were listed is not judged by them.
        gone = [key for key, value in before.items() if key not in listed and self.objects.get(key) is value]
        for key in gone:
            del self.objects[key]
        if gone:
            self.repaired += len(gone)
            log.info("names kind=%s gone=%d", self.resource.kind, len(gone))
            self._note()
        if not self.synced.is_set():
            self._awaited = listed - set(self.objects) - self._unreadable
            self._sync()

    def _sync(self) -> None:
        if not self._awaited and not self.synced.is_set():
            self._awaited = None
            self.synced.set()
            self._note()

    def _note(self, *, news: bool = True) -> None:
        self.version += 1
        if news:
            self._changed()
