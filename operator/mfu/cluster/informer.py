"""List and watch one kind into a small store. A re-list replaces the store: what vanished unseen is gone here too."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from mfu.cluster.client import ApiError, Gone, KubeClient, ServerUnreachable
from mfu.cluster.resources import JSON, ResourcePath

T = TypeVar("T")
log = logging.getLogger(__name__)

# A proxy that ends every stream at once must not make us spin.
SHORTEST_STREAM_SECONDS: Final = 1.0
BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SHORTEST_WATCH_SECONDS: Final = 30.0
"""A server that forgets faster than this is not listed in a row."""
RELIST_AFTER: Final = 3
"""Tries to take up a watch before everything is listed again."""
NOT_SERVED_SECONDS: Final = 30.0
"""Between two looks whether an optional kind is served by now."""
LONGEST_ASKED_SECONDS: Final = 60.0
"""A Retry-After beyond this is not waited for."""


class Stalled(Exception):
    """The watch can not be taken up; `cause` is what the last try met."""

    def __init__(self, cause: ApiError | ServerUnreachable) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Informer(Generic[T]):
    """Keeps `objects`, keyed "namespace/name" (or "name"), in step with the API server.

    `project` turns a raw object into the few fields that are kept; None leaves the object out. `changed` is called
    after each change with no argument: callers look at the store, never at the event.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: ResourcePath,
        project: Callable[[JSON], T | None],
        *,
        changed: Callable[[], None] = lambda: None,
        namespace: str | None = None,
        selectors: dict[str, str] | None = None,
        optional: bool = False,
        spare: bool = False,
    ) -> None:
        """`optional`: where the kind is not served there is nothing of it, until it is. `spare`: also where we may not
        read it."""
        self.resource = resource
        self.objects: dict[str, T] = {}
        self.synced = asyncio.Event()
        self.relists = 0
        self.events = 0
        self.version = 0
        """Counts changes of `objects`: what was derived from them stays right while it stays."""
        self.last_contact: float | None = None
        self._client, self._project, self._changed = client, project, changed
        self._namespace, self._selectors = namespace, selectors or {}
        self._none = frozenset(({404} if optional else set()) | ({403} if spare else set()))

    async def run(self) -> None:
        """For ever: list, watch from there, and list again when the watch can not go on."""
        failures = 0
        while True:
            try:
                version = await self._list()
                listed_at = asyncio.get_running_loop().time()
                gone = await self._follow(version)
                lasted = asyncio.get_running_loop().time() - listed_at
                failures = 0 if lasted > SHORTEST_WATCH_SECONDS else failures + 1
                if failures > 1:
                    await self._pause(failures, gone)
            except Stalled as error:
                # Lists answer and watches do not: what is known grows old, and listing all is dear.
                await self._pause(min(failures + RELIST_AFTER, len(BACKOFF_SECONDS) - 1), error.cause)
                failures += 1
            except (ApiError, ServerUnreachable) as error:
                if isinstance(error, ApiError) and error.status in self._none:
                    self._hold_none()
                    await asyncio.sleep(NOT_SERVED_SECONDS * random.uniform(0.8, 1.2))
                    continue
                await self._pause(failures, error)
                failures += 1

    def _hold_none(self) -> None:
        self._touch()
        if self.objects or not self.synced.is_set():
            self.objects = {}
            self.synced.set()
            self._note()

    async def _pause(self, failures: int, error: Exception) -> None:
        """Ever longer, and at least as long as the server asked for."""
        delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        delay = max(delay, min(asked or 0.0, LONGEST_ASKED_SECONDS))
        log.warning("informer kind=%s retry_in=%.1fs error=%s", self.resource.kind, delay, error)
        await asyncio.sleep(delay)

    async def _list(self) -> str:
        """Page by page: what a page does not add to the store is forgotten before the next one comes."""
        fresh: dict[str, T] = {}
        version = ""
        async for page in self._client.pages(self.resource, namespace=self._namespace, **self._selectors):
            fresh |= {key_of(item): value for item in page.items if (value := self._projected(item)) is not None}
            version = page.version
        self.relists += 1
        self._touch()
        if fresh != self.objects or not self.synced.is_set():
            self.objects = fresh
            self.synced.set()
            self._note()
        return version

    async def _follow(self, version: str) -> Gone:
        """Watch until the version is too old. A stream that ends is taken up again where it stopped.

        Raises Stalled when it could not be taken up for several times.
        """
        failures = 0
        while True:
            try:
                started = asyncio.get_running_loop().time()
                async for kind, item in self._client.watch(
                    self.resource, version, namespace=self._namespace, **self._selectors
                ):
                    failures = 0
                    version = item["metadata"]["resourceVersion"]
                    self._touch()
                    if kind != "BOOKMARK":
                        self._take(kind, item)
                if self._touch() - started < SHORTEST_STREAM_SECONDS:
                    await asyncio.sleep(SHORTEST_STREAM_SECONDS)
            except Gone as gone:
                return gone
            except (ApiError, ServerUnreachable) as error:
                # A server that comes back may have lost its past; after some tries a full list is safer.
                if failures >= RELIST_AFTER:
                    raise Stalled(error) from error
                await self._pause(failures, error)
                failures += 1

    def _take(self, kind: str, item: JSON) -> None:
        key = key_of(item)
        value = None if kind == "DELETED" else self._projected(item)
        self.events += 1
        if value == self.objects.get(key):
            return
        if value is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = value
        self._note()

    def _projected(self, item: JSON) -> T | None:
        """An object that can not be read is left out: one alone must not end the watch over all."""
        try:
            return self._project(item)
        except Exception:
            log.exception("informer kind=%s object=%s can not be read", self.resource.kind, key_of(item))
            return None

    def _note(self) -> None:
        self.version += 1
        self._changed()

    def _touch(self) -> float:
        self.last_contact = asyncio.get_running_loop().time()
        return self.last_contact


def key_of(item: JSON) -> str:
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
