"""Who may read /metrics: whoever's token the API server knows, and whom it lets get that path (as kube-rbac-proxy)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.reviews import RememberedTokens, bearer_of, may, token_of

log = logging.getLogger(__name__)

PATH: Final = "/metrics"

UNAUTHORIZED, FORBIDDEN, UNAVAILABLE = 401, 403, 503


@dataclass(slots=True)
class KubeAccess:
    """Asks the API server about each token once a minute. While it is away nobody new is let in."""

    client: KubeClient
    _refusals: RememberedTokens[int | None] = field(default_factory=RememberedTokens)

    async def refusal(self, authorization: str | None) -> int | None:
        """HTTP status to refuse with, None where the bearer may read."""
        token = token_of(authorization)
        if token is None:
            return UNAUTHORIZED
        try:
            return await self._refusals.of(token, self._ask)
        except (ApiError, ServerUnreachable) as error:
            log.warning("metrics access can not be checked: %s", error)
            return UNAVAILABLE

    async def _ask(self, token: str) -> int | None:
        bearer = await bearer_of(self.client, token)
        if bearer is None:
            return UNAUTHORIZED
        asked = {"path": PATH, "verb": "get"}
        return None if await may(self.client, bearer, nonResourceAttributes=asked) else FORBIDDEN
