"""kopf's watch of what people declare, on a real API server behind a proxy that answers badly: nothing stays wrong.

While the watch is down one declaration comes, one changes and one goes. Afterwards the store holds what the API server
has, whatever ended the watch: kopf lists again, or ends and is started again, and neither tells of what went.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web

from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.credentials import write_kubeconfig
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.proxy import Proxy
from mfu.cluster import declared
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MFUPOLICIES
from mfu.cluster.state import ClusterState
from mfu.controller import watch

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]

CRDS: Final = Path(__file__).parents[2] / "crds"
GONE: Final = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
STATUS: Final = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X", "message": "not now"}
FAULTS: Final[dict[str, tuple[bytes, int]]] = {
    "410 in the stream": (json.dumps(GONE).encode() + b"\n", 200),
    "410": (json.dumps({**STATUS, "code": 410, "reason": "Expired"}).encode(), 410),
    "429": (json.dumps({**STATUS, "code": 429}).encode(), 429),
    "403": (json.dumps({**STATUS, "code": 403}).encode(), 403),
    "500": (json.dumps({**STATUS, "code": 500}).encode(), 500),
    "502 of a proxy": (b"<html>bad gateway</html>", 502),
    "HTML with 200": (b"<html>login</html>", 200),
    "a torn line": (b'{"type": "ADD', 200),
}
BAD_WATCHES: Final = 3
WITHIN_SECONDS: Final = 30.0


@dataclass
class Declared:
    """MFUPolicies of one test as the store has them, through the proxy; and straight to the API server."""

    client: KubeClient
    state: ClusterState
    watch: watch.DeclaredWatch
    proxy: Proxy
    prefix: str
    bad: int = 0
    """Watches that were answered badly."""

    def part(self) -> None:
        """Nothing goes through, and what is open ends."""
        self.proxy.watcher = lambda _: False
        self.proxy.cut_watches()

    def mend(self) -> None:
        self.proxy.watcher = lambda _: True

    def answer_badly(self, body: bytes, status: int) -> None:
        """The next watches, so many of them."""

        def instead(request: web.Request) -> web.Response | None:
            if "watch" not in request.query or "mfupolicies" not in request.path or self.bad >= BAD_WATCHES:
                return None
            self.bad += 1
            return web.Response(body=body, status=status, content_type="application/json")

        self.proxy.instead = instead

    async def make(self, name: str) -> None:
        body = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "spec": {"priority": 1}}
        await self.client.create(MFUPOLICIES, {**body, "metadata": {"name": self.prefix + name}})

    async def change(self, name: str, priority: int) -> None:
        await self.client.merge(MFUPOLICIES, self.prefix + name, {"spec": {"priority": priority}})

    async def delete(self, name: str) -> None:
        await self.client.delete(MFUPOLICIES, self.prefix + name)

    def held(self) -> dict[str, int]:
        """Priorities by name."""
        found = {}
        for name, view in self.state.policies.objects.items():
            if name.startswith(self.prefix) and view.spec is not None:
                found[name.removeprefix(self.prefix)] = view.spec.priority
        return found

    async def holds(self, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while self.held() != wanted:
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    """Of its own: it is killed."""
    with ControlPlane.start(scheduler=False, controller_manager=False, kwok=False, progress=cluster_progress) as made:
        made.kubectl("apply", "--server-side", "-f", str(CRDS))
        made.wait_established()
        yield made


@pytest_asyncio.fixture
async def there(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Declared]:
    """Three policies that the store has seen."""
    monkeypatch.setattr(declared, "SETTLED_SECONDS", 0.5)
    monkeypatch.setattr(watch, "BACKOFF_SECONDS", (0.5,))
    kubeconfig = tmp_path / "proxied.kubeconfig"
    with Proxy(plane.url, plane.ca_file).run() as proxy:
        write_kubeconfig(kubeconfig, url=proxy.url, token=plane.token, ca_file=plane.ca_file)
        async with KubeClient(connect(kubeconfig)) as near, KubeClient(connect(plane.kubeconfig)) as straight:
            state = ClusterState(near, changed=lambda: None, told=True)
            kopfs = watch.DeclaredWatch(state.told, kubeconfig)
            made = Declared(straight, state, kopfs, proxy, f"p-{secrets.token_hex(4)}-")
            running = [asyncio.create_task(each) for each in (state.run(), kopfs.run())]
            try:
                for name in ("stays", "changes", "goes"):
                    await made.make(name)
                await made.holds({"stays": 1, "changes": 1, "goes": 1})
                yield made
                assert not any(each.done() for each in running), "no fault ended a part of it"
            finally:
                for each in running:
                    each.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                plane.kubectl("delete", "mfupolicies", "--all")


async def one_of_each(there: Declared) -> None:
    await there.delete("goes")
    await there.change("changes", 7)
    await there.make("comes")


async def right_again(there: Declared) -> None:
    """And the watch lives: what changes from now on is told."""
    await there.holds({"stays": 1, "changes": 7, "comes": 1})
    await there.change("stays", 9)
    await there.delete("comes")
    await there.holds({"stays": 9, "changes": 7})


@pytest.mark.parametrize("fault", FAULTS)
async def test_watches_that_are_answered_badly_leave_nothing_wrong(there: Declared, fault: str) -> None:
    there.part()
    there.answer_badly(*FAULTS[fault])
    await one_of_each(there)
    there.mend()
    await right_again(there)
    assert there.bad


async def test_a_network_that_parts_leaves_nothing_wrong(there: Declared) -> None:
    there.part()
    await one_of_each(there)
    await asyncio.sleep(2.0)
    there.mend()
    await right_again(there)


async def test_an_api_server_that_is_killed_leaves_nothing_wrong(there: Declared, plane: ControlPlane) -> None:
    """Every connection ends, and what the watches stood at is compacted away."""
    there.part()
    await one_of_each(there)
    await asyncio.to_thread(plane.restart_apiserver, crash=True)
    there.mend()
    await right_again(there)


async def test_kopf_that_ends_by_itself_leaves_nothing_wrong(there: Declared) -> None:
    there.part()
    there.watch.end()
    await one_of_each(there)
    await asyncio.sleep(1.0)
    there.mend()
    await right_again(there)
    assert there.watch.starts >= 2


@pytest.mark.parametrize("fault", ["410 in the stream", "500"])
async def test_the_last_one_that_went_unseen_is_forgotten(there: Declared, fault: str) -> None:
    """Of nothing there is nothing to tell: a policy that is gone must not go on deciding."""
    # What followed the first list of the watch is over.
    await asyncio.sleep(4 * declared.SETTLED_SECONDS)
    there.part()
    there.answer_badly(*FAULTS[fault])
    for name in ("stays", "changes", "goes"):
        await there.delete(name)
    there.mend()
    await there.holds({})
