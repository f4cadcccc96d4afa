"""A lease is as fresh as the moment before its renewal was asked for, whatever the answer took."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from mfu.cluster.client import KubeClient
from mfu.cluster.lease import RENEW_DEADLINE_SECONDS, Lease
from tests.builders.virtual_time import run


class Slow:
    """Answers after four seconds."""

    async def get(self, *_: Any) -> dict[str, Any]:
        await asyncio.sleep(2.0)
        return {"metadata": {"name": "l", "namespace": "n"}, "spec": {}}

    async def replace(self, *_: Any) -> dict[str, Any]:
        await asyncio.sleep(2.0)
        return {}


@pytest.mark.parametrize(("after", "fresh"), [(RENEW_DEADLINE_SECONDS - 0.1, True), (RENEW_DEADLINE_SECONDS, False)])
def test_it_is_fresh_from_before_the_request(after: float, fresh: bool) -> None:
    async def work() -> None:
        lease = Lease(cast(KubeClient, Slow()), namespace="n", name="l", identity="me")
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        await lease.acquire()
        assert loop.time() == pytest.approx(asked_at + 4.0)
        assert lease.fresh_at(asked_at + after) is fresh
        await asyncio.sleep(asked_at + after - loop.time())
        assert lease.fresh is fresh

    run(work())


def test_one_that_was_never_held_is_not_fresh() -> None:
    lease = Lease(cast(KubeClient, Slow()), namespace="n", name="l", identity="me")
    assert not lease.fresh_at(0.0)


class Kept(Slow):
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {}

    async def get(self, *_: Any) -> dict[str, Any]:
        return {"metadata": {"name": "l", "namespace": "n"}, "spec": dict(self.spec)}

    async def replace(self, _: Any, lease: dict[str, Any]) -> dict[str, Any]:
        self.spec = lease["spec"]
        return lease


def test_each_renewal_is_dated_anew() -> None:
    """A rival tells a live holder by a renewTime that moves on."""

    async def work() -> None:
        server = Kept()
        lease = Lease(cast(KubeClient, server), namespace="n", name="l", identity="me")
        began = datetime.now(UTC)
        await lease.acquire()
        first = datetime.fromisoformat(server.spec["renewTime"])
        assert began <= first <= datetime.now(UTC)
        assert await lease._try(first + timedelta(seconds=5))
        assert datetime.fromisoformat(server.spec["renewTime"]) - first == timedelta(seconds=5)

    run(work())


@pytest.mark.parametrize("spec", [None, [], "x", {"leaseDurationSeconds": "soon"}, {"leaseTransitions": None}])
def test_an_odd_lease_is_taken_over_or_waited_for_and_ends_nothing(spec: Any) -> None:
    class Odd(Kept):
        async def get(self, *_: Any) -> dict[str, Any]:
            return {"metadata": {"name": "l", "namespace": "n"}, "spec": spec}

    async def work() -> None:
        server = Odd()
        async with asyncio.timeout(60.0):
            await Lease(cast(KubeClient, server), namespace="n", name="l", identity="me").acquire()
        assert server.spec["holderIdentity"] == "me"

    run(work())
