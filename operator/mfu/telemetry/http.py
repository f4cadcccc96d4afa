"""The only door to the network: one bounded GET. Total deadline, body cap, no redirects, no proxies, no cookies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import aiohttp

from mfu.telemetry.errors import TelemetryError, TooLarge, Unreachable
from mfu.telemetry.http_answer import check

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""A node of 8 GPUs in 7 slices each, with every field, prints about 1 MB."""
_CHUNK: Final = 1 << 14
"""Bytes of one answer that wait to be taken; more of them wait in the kernel."""
_LONGEST_BACKOFF_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of one request and of all together. Dead hosts are given up early, since they come in racks."""

    deadline_seconds: float = 5.0
    connect_seconds: float = 1.5
    round_seconds: float = 12.0
    max_body_bytes: int = MAX_BODY_BYTES
    concurrency: int = 128


def session(limits: RequestLimits, *, headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    """A session with these bounds; the caller closes it. Compression is declined: a small body could grow."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.concurrency, ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(total=limits.deadline_seconds, sock_connect=limits.connect_seconds),
        headers={"Accept-Encoding": "identity", "Accept": "text/plain;version=0.0.4, */*;q=0.1", **(headers or {})},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_CHUNK,
    )


async def fetch(
    client: aiohttp.ClientSession, url: str, limits: RequestLimits, *, headers: dict[str, str] | None = None
) -> bytes:
    """Body of a GET. Raises Unreachable, Redirected or TooLarge, nothing else."""
    try:
        async with client.get(url, allow_redirects=False, headers=headers) as response:
            encoding = response.headers.get("Content-Encoding", "identity")
            check(url, response.status, encoding, announced=response.content_length, cap=limits.max_body_bytes)
            return await _body(response, url, limits.max_body_bytes)
    except TelemetryError:
        raise
    except TimeoutError:
        raise Unreachable(url, f"no complete answer in {limits.deadline_seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(url, f"{type(error).__name__}: {error}"[:300]) from error


async def _body(response: aiohttp.ClientResponse, url: str, cap: int) -> bytes:
    # One buffer: a body that comes a byte at a time must not cost an object a byte.
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > cap:
            raise TooLarge(url, f"sends more than the cap of {cap} bytes", size=len(body))
    return bytes(body)


@dataclass(slots=True)
class Backoff:
    """When a failing target may be asked again: 1, 2, 4 … rounds apart, at most a minute, and at once after success."""

    base_seconds: float = 15.0
    _failures: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def due(self, target: str, now: float) -> bool:
        return now >= self._not_before.get(target, -1.0)

    def failed(self, target: str, now: float) -> None:
        count = self._failures.get(target, 0)
        self._failures[target] = min(count + 1, 16)
        pause = min(self.base_seconds * 2.0**count, _LONGEST_BACKOFF_SECONDS)
        self._not_before[target] = now + 0.9 * pause

    def succeeded(self, target: str) -> None:
        self._failures.pop(target, None)
        self._not_before.pop(target, None)

    def keep_only(self, targets: frozenset[str]) -> None:
        """Forget targets that are gone."""
        for gone in self._failures.keys() - targets:
            self.succeeded(gone)
