"""List and watch one kind into a small store. A re-list replaces the store: what vanished unseen is gone here too."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from mfu.cluster.client import JSON, ApiError, Gone, KubeClient, Unreachable
from mfu.cluster.resources import Resource

T = TypeVar("T")
log = logging.getLogger(__name__)

# A proxy that ends every stream at once must not make us spin.
SHORTEST_STREAM_SECONDS: Final = 1.0
BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Informer(Generic[T]):
    """Keeps `objects`, keyed "namespace/name" (or "name"), in step with the API server.

    `project` turns a raw object into the few fields that are kept; None leaves the object out. `changed` is called
    after each change with no argument: callers look at the store, never at the event.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        project: Callable[[JSON], T | None],
        *,
        changed: Callable[[], None] = lambda: None,
        namespace: str | None = None,
        selectors: dict[str, str] | None = None,
    ) -> None:
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

    async def run(self) -> None:
        """For ever: list, watch from there, and list again when the watch can not go on."""
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                await self._follow(version)
            except (ApiError, Unreachable) as error:
                delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                failures += 1
                log.warning("informer kind=%s retry_in=%.1fs error=%s", self.resource.kind, delay, error)
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))

    async def _list(self) -> str:
        items, version = await self._client.list(self.resource, namespace=self._namespace, **self._selectors)
        fresh = {key_of(item): value for item in items if (value := self._projected(item)) is not None}
        self.relists += 1
        self._touch()
        if fresh != self.objects or not self.synced.is_set():
            self.objects = fresh
            self.synced.set()
            self._note()
        return version

    async def _follow(self, version: str) -> None:
        """Watch until the version is too old. A stream that ends is taken up again where it stopped."""
        failures = 0
        while True:
            try:
                started = self._touch()
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
            except Gone:
                return
            except Unreachable as error:
                # A server that comes back may have lost its past; after some tries a full list is safer.
                if failures >= 3:
                    return
                log.info("watch kind=%s interrupted: %s", self.resource.kind, error)
                await asyncio.sleep(BACKOFF_SECONDS[failures])
                failures += 1

    def _take(self, kind: str, item: JSON) -> None:
        key = key_of(item)
        value = None if kind == "DELETED" else self._projected(item)
        self.events += 1
        if value == self.objects.get(key):
            return
        if value is None:
            del self.objects[key]
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
