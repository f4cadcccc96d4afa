"""Who may read /metrics: whoever's token the API server knows, and whom it lets get that path (as kube-rbac-proxy)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import Final

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.reviews import bearer_of, may, token_of

log = logging.getLogger(__name__)

PATH: Final = "/metrics"
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 256

UNAUTHORIZED, FORBIDDEN, UNAVAILABLE = 401, 403, 503


@dataclass(slots=True)
class KubeAccess:
    """Asks the API server about each token once a minute. While it is away nobody new is let in."""

    client: KubeClient
    _known: dict[bytes, tuple[int | None, float]] = field(default_factory=dict)
    """By digest of the token: the status to refuse with, None where it may read, and until when that holds."""

    async def refusal(self, authorization: str | None) -> int | None:
        """HTTP status to refuse with, None where the bearer may read."""
        token = token_of(authorization)
        if token is None:
            return UNAUTHORIZED
        digest, now = hashlib.sha256(token.encode()).digest(), asyncio.get_running_loop().time()
        known = self._known.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        try:
            answer = await self._ask(token)
        except (ApiError, ServerUnreachable) as error:
            log.warning("metrics access can not be checked: %s", error)
            return UNAVAILABLE
        self._remember(digest, answer, now)
        return answer

    def _remember(self, digest: bytes, answer: int | None, now: float) -> None:
        self._known = {key: each for key, each in self._known.items() if now < each[1]}
        while len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = (answer, now + REMEMBERED_SECONDS)

    async def _ask(self, token: str) -> int | None:
        bearer = await bearer_of(self.client, token)
        if bearer is None:
            return UNAUTHORIZED
        asked = {"path": PATH, "verb": "get"}
        return None if await may(self.client, bearer, nonResourceAttributes=asked) else FORBIDDEN
