"""The lease on a real API server: one writer at a time, handed over when asked, taken when it runs out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import pytest

from mfu.cluster.client import KubeClient
from mfu.cluster.lease import Lease, LeaseLost
from mfu.cluster.resources import LEASES
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def contender(client: KubeClient) -> Callable[[str], Lease]:
    """Makes holders of one lease, with times short enough for a test."""
    name = f"lease-{secrets.token_hex(4)}"

    def make(identity: str) -> Lease:
        lease = Lease(client, namespace="default", name=name, identity=identity)
        lease.duration_seconds, lease.renew_seconds, lease.fresh_seconds = 1, 0.1, 0.6
        return lease

    return make


async def spec_of(client: KubeClient, lease: Lease) -> dict[str, object]:
    found = await client.get(LEASES, lease._name, "default")
    return dict(found["spec"])


@pytest.mark.prove(times=20)
async def test_the_second_waits_while_the_first_renews(client: KubeClient, contender: Callable[[str], Lease]) -> None:
    first, second = contender("first"), contender("second")
    assert not first.fresh
    await first.acquire()
    renewing, waiting = asyncio.create_task(first.hold()), asyncio.create_task(second.acquire())
    await asyncio.sleep(2.0)
    assert not waiting.done()
    assert first.fresh
    assert not second.fresh
    renewing.cancel()
    await asyncio.wait_for(waiting, 10)
    assert second.fresh
    assert not first.fresh, "the first had stopped writing before the second could begin"
    found = await spec_of(client, second)
    assert (found["holderIdentity"], found["leaseTransitions"]) == ("second", 1)


async def test_a_graceful_stop_hands_over_at_once(client: KubeClient, contender: Callable[[str], Lease]) -> None:
    first, second = contender("first"), contender("second")
    first.duration_seconds = 3600
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await first.release()
    await asyncio.wait_for(waiting, 5)
    assert (await spec_of(client, second))["holderIdentity"] == "second"


async def test_a_lease_that_was_taken_ends_the_holder(client: KubeClient, contender: Callable[[str], Lease]) -> None:
    first = contender("first")
    await first.acquire()
    holding = asyncio.create_task(first.hold())

    async def steal() -> bool:
        taken = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}}
        await client.merge(LEASES, first._name, taken, namespace="default")
        await asyncio.sleep(0.2)
        return holding.done()

    await eventually(steal)
    with pytest.raises(LeaseLost, match="another operator"):
        await holding
    await eventually(lambda: not first.fresh)
