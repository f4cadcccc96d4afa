"""What the bearer of a token may see, by the API server's own answers. Asked once a minute and token."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mfu.api.names import FLEET_REPORT, GROUP, MODEL_WORKLOAD
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.reviews import Bearer, bearer_of, may, token_of
from mfu.web.seen import Refusal, Rights

log = logging.getLogger(__name__)

REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 256
AT_ONCE: Final = 8
"""Questions to the API server at the same time, about one bearer."""
UNAUTHORIZED, FORBIDDEN, UNAVAILABLE = 401, 403, 503


@dataclass(slots=True)
class _Answered:
    """What is known of one token."""

    until: float
    bearer: Bearer | None
    everything: bool = False
    fleet: bool = False
    namespaces: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class KubeRights:
    """Nobody is shown more than `kubectl get modelworkloads` and `kubectl get fleetreports` would show them."""

    client: KubeClient
    _known: dict[bytes, _Answered] = field(default_factory=dict)
    """By digest of the token."""

    async def __call__(self, authorization: str | None, namespaces: frozenset[str]) -> Rights | Refusal:
        token = token_of(authorization)
        if token is None:
            return UNAUTHORIZED
        try:
            answered = await self._answered(token)
            if answered.bearer is None:
                return UNAUTHORIZED
            if not answered.everything:
                await self._ask(answered, answered.bearer, namespaces - answered.namespaces.keys())
        except (ApiError, ServerUnreachable) as error:
            log.warning("rights to the page can not be checked: %s", error)
            return UNAVAILABLE
        seen = frozenset(name for name in namespaces if answered.namespaces.get(name))
        rights = Rights(answered.everything, seen, answered.fleet)
        return FORBIDDEN if rights == Rights() else rights

    async def _answered(self, token: str) -> _Answered:
        digest, now = hashlib.sha256(token.encode()).digest(), asyncio.get_running_loop().time()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known
        bearer = await bearer_of(self.client, token)
        fresh = _Answered(now + REMEMBERED_SECONDS, bearer)
        if bearer is not None:
            fresh.everything = await self._may(bearer, MODEL_WORKLOAD.plural, "list")
            fresh.fleet = await self._may(bearer, FLEET_REPORT.plural, "get", name="fleet")
        self._remember(digest, fresh, now)
        return fresh

    def _remember(self, digest: bytes, fresh: _Answered, now: float) -> None:
        self._known = {key: each for key, each in self._known.items() if now < each.until}
        while len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = fresh

    async def _ask(self, answered: _Answered, bearer: Bearer, namespaces: Iterable[str]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def ask(namespace: str) -> None:
            async with places:
                allowed = await self._may(bearer, MODEL_WORKLOAD.plural, "list", namespace=namespace)
            answered.namespaces[namespace] = allowed

        await asyncio.gather(*map(ask, namespaces))

    async def _may(self, bearer: Bearer, resource: str, verb: str, **where: str) -> bool:
        asked = {"group": GROUP, "resource": resource, "verb": verb, **where}
        return await may(self.client, bearer, resourceAttributes=asked)
