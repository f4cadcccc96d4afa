"""Who may read /metrics: whoever's token the API server knows, and whom it lets get that path (as kube-rbac-proxy)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import Final

from mfu.cluster.client import JSON, ApiError, KubeClient, ServerUnreachable
from mfu.cluster.resources import ACCESSREVIEWS, TOKENREVIEWS, ResourcePath

log = logging.getLogger(__name__)

PATH: Final = "/metrics"
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 256
MOST_TOKEN_BYTES: Final = 16 * 1024
_BEARER: Final = "Bearer "

UNAUTHORIZED, FORBIDDEN, UNAVAILABLE = 401, 403, 503


@dataclass(slots=True)
class KubeAccess:
    """Asks the API server about each token once a minute. While it is away nobody new is let in."""

    client: KubeClient
    _known: dict[bytes, tuple[int | None, float]] = field(default_factory=dict)
    """By digest of the token: the status to refuse with, None where it may read, and until when that holds."""

    async def refusal(self, authorization: str | None) -> int | None:
        """HTTP status to refuse with, None where the bearer may read."""
        token = (authorization or "").removeprefix(_BEARER).strip()
        if not authorization or not authorization.startswith(_BEARER) or not 0 < len(token) <= MOST_TOKEN_BYTES:
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
        review = _status(await self.client.create(TOKENREVIEWS, _body(TOKENREVIEWS, {"token": token})))
        user = review.get("user")
        if review.get("authenticated") is not True or not isinstance(user, dict) or not user.get("username"):
            return UNAUTHORIZED
        spec = {
            "user": user["username"],
            "uid": user.get("uid", ""),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "nonResourceAttributes": {"path": PATH, "verb": "get"},
        }
        access = _status(await self.client.create(ACCESSREVIEWS, _body(ACCESSREVIEWS, spec)))
        return None if access.get("allowed") is True else FORBIDDEN


def _status(answer: JSON) -> JSON:
    found = answer.get("status")
    return found if isinstance(found, dict) else {}


def _body(resource: ResourcePath, spec: JSON) -> JSON:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
