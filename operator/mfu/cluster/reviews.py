"""Whose token is it, and what may they do: the API server's own answers (TokenReview, SubjectAccessReview)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from mfu.cluster.client import KubeClient
from mfu.cluster.resources import ACCESSREVIEWS, JSON, TOKENREVIEWS, ResourcePath

MOST_TOKEN_BYTES: Final = 16 * 1024
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 256
_BEARER: Final = "Bearer "
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody whom the API server knows, as it wants them named when it is asked about their rights."""

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: JSON = field(default_factory=dict)


@dataclass(slots=True)
class RememberedTokens(Generic[Answer]):
    """What the API server said of tokens, asked once a minute and token; of so many tokens at most."""

    _known: dict[bytes, tuple[Answer, float]] = field(default_factory=dict)
    """By digest of the token: the answer, and until when it holds."""

    async def of(self, token: str, ask: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Raises what `ask` raises, and remembers nothing then."""
        digest, now = hashlib.sha256(token.encode()).digest(), asyncio.get_running_loop().time()
        known = self._known.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        answer = await ask(token)
        self._known = {key: each for key, each in self._known.items() if now < each[1]}
        while len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = (answer, now + REMEMBERED_SECONDS)
        return answer


def token_of(authorization: str | None) -> str | None:
    """The token of an Authorization header; None where there is none that could be one."""
    if not authorization or not authorization.startswith(_BEARER):
        return None
    token = authorization.removeprefix(_BEARER).strip()
    return token if 0 < len(token) <= MOST_TOKEN_BYTES else None


async def bearer_of(client: KubeClient, token: str) -> Bearer | None:
    """None for a token that the API server does not know. Raises ApiError and ServerUnreachable."""
    review = _status(await client.create(TOKENREVIEWS, _body(TOKENREVIEWS, {"token": token})))
    user = review.get("user")
    if review.get("authenticated") is not True or not isinstance(user, dict) or not user.get("username"):
        return None
    groups = tuple(user.get("groups") or ())
    return Bearer(user["username"], user.get("uid", ""), groups, user.get("extra") or {})


async def may(client: KubeClient, bearer: Bearer, **attributes: Any) -> bool:
    """`resourceAttributes=` or `nonResourceAttributes=`. Raises ApiError and ServerUnreachable."""
    who = {"user": bearer.username, "uid": bearer.uid, "groups": list(bearer.groups), "extra": bearer.extra}
    access = _status(await client.create(ACCESSREVIEWS, _body(ACCESSREVIEWS, {**who, **attributes})))
    return access.get("allowed") is True


def _status(answer: JSON) -> JSON:
    found = answer.get("status")
    return found if isinstance(found, dict) else {}


def _body(resource: ResourcePath, spec: JSON) -> JSON:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
