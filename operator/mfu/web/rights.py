"""What the bearer of a token may see, by the API server's own answers. Asked once a minute and token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mfu.api.names import FLEET_REPORT, FLEET_REPORT_NAME, GROUP, MODEL_WORKLOAD
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.reviews import Bearer, RememberedTokens, bearer_of, may, token_of
from mfu.web.seen import Refusal, Rights

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Questions to the API server at the same time, about one bearer."""
UNAUTHORIZED, FORBIDDEN, UNAVAILABLE = 401, 403, 503


@dataclass(slots=True)
class _Answered:
    """What is known of one token."""

    bearer: Bearer | None
    everything: bool = False
    fleet: bool = False
    namespaces: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class KubeRights:
    """Nobody is shown more than `kubectl get modelworkloads` and `kubectl get fleetreports` would show them."""

    client: KubeClient
    report: str = FLEET_REPORT_NAME
    """Name of the FleetReport that is shown; a shard has one of its own."""
    _answers: RememberedTokens[_Answered] = field(default_factory=RememberedTokens)

    async def __call__(self, authorization: str | None, namespaces: frozenset[str]) -> Rights | Refusal:
        token = token_of(authorization)
        if token is None:
            return UNAUTHORIZED
        try:
            answered = await self._answers.of(token, self._answered)
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
        bearer = await bearer_of(self.client, token)
        fresh = _Answered(bearer)
        if bearer is not None:
            fresh.everything = await self._may(bearer, MODEL_WORKLOAD.plural, "list")
            fresh.fleet = await self._may(bearer, FLEET_REPORT.plural, "get", name=self.report)
        return fresh

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
