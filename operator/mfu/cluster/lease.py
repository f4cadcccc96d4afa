"""One writer at a time, by a coordination.k8s.io Lease. Losing it ends the process: a standby re-syncs in seconds."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Final

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.resources import JSON, LEASES

log = logging.getLogger(__name__)

DURATION_SECONDS: Final = 15
RENEW_SECONDS: Final = 5.0
RENEW_DEADLINE_SECONDS: Final = 10.0


class LeaseLost(Exception):
    """Somebody else holds the lease, or it could not be renewed in time: stop writing at once."""


class Lease:
    """`await acquire()` blocks until held; then run `hold()` beside the work, it raises LeaseLost."""

    duration_seconds: int = DURATION_SECONDS
    renew_seconds: float = RENEW_SECONDS
    fresh_seconds: float = RENEW_DEADLINE_SECONDS

    def __init__(self, client: KubeClient, *, namespace: str, name: str, identity: str) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._seen: tuple[Any, float] | None = None
        self._renewed: float | None = None

    async def acquire(self) -> None:
        while True:
            try:
                if await self._try(datetime.now(UTC)):
                    log.info("lease name=%s holder=%s acquired", self._name, self._identity)
                    return
            except (ApiError, ServerUnreachable) as error:
                log.warning("lease name=%s error=%s", self._name, error)
            await asyncio.sleep(self.renew_seconds / 2)

    @property
    def fresh(self) -> bool:
        """Whether we may still write. A rival may begin once the duration has passed: we stop some seconds before."""
        return self.fresh_at(asyncio.get_running_loop().time())

    def fresh_at(self, now: float) -> bool:
        """The same at a time of the loop's clock, for those who ask from another thread."""
        return self._renewed is not None and now - self._renewed < self.fresh_seconds

    async def hold(self) -> None:
        """Renew for ever; raises LeaseLost when another holds it. An API server that is away is waited for."""
        while True:
            await asyncio.sleep(self.renew_seconds)
            try:
                async with asyncio.timeout(RENEW_DEADLINE_SECONDS):
                    if not (await self._try(datetime.now(UTC)) or await self._try(datetime.now(UTC))):
                        raise LeaseLost(f"lease {self._name} was taken by another operator")
            except (ApiError, ServerUnreachable, TimeoutError) as error:
                log.warning("lease name=%s renewal failed: %s", self._name, error)

    async def release(self) -> None:
        """Hand over at once on a graceful stop."""
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.replace(LEASES, lease)
        except (ApiError, ServerUnreachable) as error:
            log.info("lease name=%s not released: %s", self._name, error)

    async def _try(self, now: datetime) -> bool:
        # Counted from before the request: the server dates the renewal somewhere in between.
        asked_at = asyncio.get_running_loop().time()
        if not await self._take(now):
            return False
        self._renewed = asked_at
        return True

    async def _take(self, now: datetime) -> bool:
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._create(now)
        found = lease.get("spec")
        spec = found if isinstance(found, dict) else {}
        holder = spec.get("holderIdentity")
        if holder and holder != self._identity and not self._expired(spec):
            return False
        transitions = _whole(spec.get("leaseTransitions"), 0) + (holder != self._identity)
        lease["spec"] = {**self._spec(now), "acquireTime": spec.get("acquireTime") or _micro(now)}
        lease["spec"]["leaseTransitions"] = transitions
        if holder != self._identity:
            lease["spec"]["acquireTime"] = _micro(now)
        try:
            await self._client.replace(LEASES, lease)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    async def _create(self, now: datetime) -> bool:
        body: JSON = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._spec(now), "acquireTime": _micro(now), "leaseTransitions": 0},
        }
        try:
            await self._client.create(LEASES, body, self._namespace)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _spec(self, now: datetime) -> JSON:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self.duration_seconds,
            "renewTime": _micro(now),
        }

    def _expired(self, spec: JSON) -> bool:
        """By our own clock since we first saw this renewTime: clocks of two machines need not agree."""
        now, renewed = asyncio.get_running_loop().time(), spec.get("renewTime")
        if self._seen is None or self._seen[0] != renewed:
            self._seen = (renewed, now)
        return now - self._seen[1] > _whole(spec.get("leaseDurationSeconds"), DURATION_SECONDS)


def _whole(value: object, otherwise: int) -> int:
    """What a server says, or what stands for it where that is no number: an odd lease ends nobody."""
    return value if isinstance(value, int) and value >= 0 else otherwise


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
