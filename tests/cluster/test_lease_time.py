"""A lease is as fresh as the moment before its renewal was asked for, whatever the answer took."""

from __future__ import annotations

import asyncio
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
