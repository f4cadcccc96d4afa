"""kopf's watch of what people write by hand, ModelWorkload and MFUPolicy, feeding our stores.

kopf runs on a thread and an event loop of its own: when it ends, it cancels every task of its loop that began after it.
And it ends on any watch error but 410; so it is supervised, and the stores stay while it starts again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import kopf

from mfu.api.names import GROUP, VERSION
from mfu.cluster.declared import DeclaredStore
from mfu.cluster.informer import key_of
from mfu.controller.login import add_login
from mfu.controller.settings import configure

log = logging.getLogger(__name__)

BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS: Final = 60.0
"""After running this long it starts again at once."""
ENDING_SECONDS: Final = 10.0
LEFT_SECONDS: Final = 3.0
"""For what a kopf that failed has left running."""


@dataclass(slots=True)
class DeclaredWatch:
    """`stores` by plural name. `starts` counts how often kopf was started."""

    stores: Mapping[str, DeclaredStore[Any]]
    kubeconfig: Path | None = None
    starts: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> None:
        """For ever: run kopf, and start it again with back-off whenever it ends."""
        # Signals are ours; that kopf leaves them alone on its thread is no news.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        failures, clock = 0, asyncio.get_running_loop()
        while True:
            started = clock.time()
            error = await self._once()
            failures = 0 if clock.time() - started > STEADY_SECONDS else failures
            delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)
            log.warning("watch of declarations ended, again in %.1f s: %r", delay, error)
            failures += 1
            await asyncio.sleep(delay)

    def end(self) -> None:
        """Have the kopf that runs now end, as it does by itself on an error of its watch."""
        self._stop.set()

    async def _once(self) -> BaseException | None:
        """Until kopf ends by itself; why it did. When cancelled, kopf is asked to end and waited for a while."""
        loop, self._stop = asyncio.get_running_loop(), threading.Event()
        registry = registry_for(self.stores, self.kubeconfig, loop)
        self.starts += 1

        def run() -> None:
            _run(registry, self._stop)

        thread = ThreadPoolExecutor(1, "kopf")
        running = loop.run_in_executor(thread, run)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self.end()
            await asyncio.wait([running], timeout=ENDING_SECONDS)
            raise
        except Exception as error:
            return error
        finally:
            thread.shutdown(wait=False)
        return None


def _run(registry: kopf.OperatorRegistry, stop: threading.Event) -> None:
    """kopf on a loop of its own, which ends soon after kopf does, whatever of kopf is left on it."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_until_it_ends(registry, stop))
    finally:
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=LEFT_SECONDS))
        loop.close()


async def _until_it_ends(registry: kopf.OperatorRegistry, stop: threading.Event) -> None:
    """Ends with the error of whichever part of kopf failed.

    kopf's own ending would wait for ever then: it closes its session and leaves the other watches for last, and these
    wait for a login that nobody makes any more. Told to stop, it ends well.
    """
    before = asyncio.all_tasks()
    roots = await kopf.spawn_tasks(registry=registry, clusterwide=True, standalone=True, stop_flag=stop)
    ended, _ = await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
    for each in ended:
        each.result()
    await kopf.run_tasks(roots, ignored=before)


def registry_for(
    stores: Mapping[str, DeclaredStore[Any]], kubeconfig: Path | None, loop: asyncio.AbstractEventLoop
) -> kopf.OperatorRegistry:
    """Everything that kopf does in the operator. Its handlers read, hand over and return."""
    registry = kopf.OperatorRegistry()
    add_login(registry, kubeconfig)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    for plural, store in stores.items():
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(_handler(store, loop))
    return registry


def _handler(store: DeclaredStore[Any], loop: asyncio.AbstractEventLoop) -> Any:
    async def changed(event: Mapping[str, Any], **_: Any) -> None:
        item, kind = event["object"], event["type"]
        value = None if kind == "DELETED" else store.read(item)
        loop.call_soon_threadsafe(_take, store, key_of(item), value, kind is None)

    return changed


def _take(store: DeclaredStore[Any], key: str, value: Any, relisted: bool) -> None:
    store.take(key, value, relisted=relisted)
