"""One GET of a page that somebody else serves: the loop only moves bytes, whatever they are; they are read elsewhere.

A client that takes an answer apart as it comes does so on the loop: a body of one-byte chunks held it for seconds.
No redirects, no proxies, no cookies, no compression, no connection kept.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from mfu.telemetry.errors import TelemetryError, TooLarge, Unreachable
from mfu.telemetry.http import RequestLimits
from mfu.telemetry.http_answer import LONGEST_HEAD, Head, body_of, complete, head_of

_PIECE = 64 * 1024
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """All that a server sent, not yet looked into."""

    url: str
    text: bytes
    cap: int
    told_at: float
    """By the loop's clock: midway between the request and the end of the answer, since it was written in between."""

    def body(self) -> bytes:
        """Work for another thread. Raises TelemetryError."""
        return body_of(self.text, self.url, self.cap)


async def get(url: str, limits: RequestLimits) -> RawAnswer:
    """Raises Unreachable or TooLarge, nothing else."""
    try:
        async with asyncio.timeout(limits.deadline_seconds):
            text, told_at = await _exchange(urlsplit(url), limits)
            return RawAnswer(url, text, limits.max_body_bytes, told_at)
    except TelemetryError:
        raise
    except TimeoutError:
        raise Unreachable(url, f"no complete answer in {limits.deadline_seconds:g} s") from None
    except (OSError, ValueError) as error:
        raise Unreachable(url, f"{type(error).__name__}: {error}"[:300]) from error


async def _exchange(to: SplitResult, limits: RequestLimits) -> tuple[bytes, float]:
    host, port = to.hostname, to.port or _PORTS.get(to.scheme)
    if not host or port is None:
        raise ValueError("the address needs http:// or https:// and a host")
    secure = ssl.create_default_context() if to.scheme == "https" else None
    async with asyncio.timeout(limits.connect_seconds):
        reader, writer = await asyncio.open_connection(host, port, limit=_PIECE, ssl=secure)
    try:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        writer.write(_request(to))
        text = await _received(reader, to.geturl(), limits.max_body_bytes)
        return text, (asked_at + clock()) / 2
    finally:
        writer.transport.abort()


def _request(to: SplitResult) -> bytes:
    path = (to.path or "/") + (f"?{to.query}" if to.query else "")
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {to.netloc.rpartition('@')[2]}",
        "Accept: text/plain;version=0.0.4, */*;q=0.1",
        "Accept-Encoding: identity",
        "User-Agent: mfu",
        "Connection: close",
    )
    text = "\r\n".join(lines)
    if any(not each.isprintable() for each in lines) or " " in path:
        raise ValueError("the address holds characters that no address has")
    return f"{text}\r\n\r\n".encode()


async def _received(reader: asyncio.StreamReader, url: str, cap: int) -> bytes:
    """Up to the end of the answer, or of the connection. What is sent around a body (its chunks) has room as well."""
    sent, head = bytearray(), None
    most = LONGEST_HEAD + 2 * cap
    while piece := await reader.read(_PIECE):
        sent += piece
        head = head or head_of(sent)
        _refuse_early(head, len(sent), url, cap)
        if len(sent) > most:
            raise TooLarge(url, f"sends more than the cap of {cap} bytes", size=len(sent))
        if head is not None and complete(sent, head):
            break
    return bytes(sent)


def _refuse_early(head: Head | None, size: int, url: str, cap: int) -> None:
    if head is None or head.chunked:
        return
    if (head.length or 0) > cap:
        raise TooLarge(url, f"announces {head.length} bytes, the cap is {cap}", size=size)
    if size > head.end + cap:
        raise TooLarge(url, f"sends more than the cap of {cap} bytes", size=size)
