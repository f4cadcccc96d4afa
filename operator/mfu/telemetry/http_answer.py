"""What a server sent, byte for byte → the body of its answer. Pure, so that it can be done off the loop.

RFC 9112: status line, header fields, then a body by `Transfer-Encoding`, by `Content-Length`, or up to the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mfu.telemetry.errors import Redirected, TooLarge, Unreachable

LONGEST_HEAD: Final = 32 * 1024
LAST_CHUNK: Final = b"0\r\n\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.\d (\d{3})\b")
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,256})?\r\n")
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_INTERIM: Final = range(100, 200)


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of an answer; its body starts at `end`."""

    status: int
    fields: Mapping[str, str]
    end: int

    @property
    def chunked(self) -> bool:
        return "chunked" in self.fields.get("transfer-encoding", "").lower()

    @property
    def length(self) -> int | None:
        text = self.fields.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def head_of(sent: bytes | bytearray) -> Head | None:
    """None while the head has not come whole. Raises ValueError for what is no HTTP."""
    start = 0
    while True:
        end = sent.find(_END_OF_HEAD, start, start + LONGEST_HEAD)
        if end < 0:
            if len(sent) - start >= LONGEST_HEAD:
                raise ValueError(f"sends more than {LONGEST_HEAD} bytes before its body")
            return None
        found = _head(bytes(sent[start:end]), end + len(_END_OF_HEAD))
        if found.status not in _INTERIM:
            return found
        start = found.end


def _head(text: bytes, end: int) -> Head:
    first, *rest = text.split(b"\r\n")
    status = _STATUS.match(first)
    if status is None:
        raise ValueError("is no HTTP server")
    fields = (line.decode("latin-1").partition(":") for line in rest)
    return Head(int(status[1]), {name.strip().lower(): value.strip() for name, _, value in fields}, end)


def complete(sent: bytearray, head: Head) -> bool:
    """Has all of it come? Only the end of the connection tells where the server does not say how long it is."""
    if head.chunked:
        return sent.endswith(LAST_CHUNK)
    return head.length is not None and len(sent) >= head.end + head.length


def body_of(sent: bytes, url: str, cap: int) -> bytes:
    """The body, at most `cap` bytes. Raises Unreachable, Redirected or TooLarge, nothing else.

    `body_of(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nm 1\\n", "u", 100) == b"m 1\\n"`.
    """
    try:
        head = head_of(sent)
        if head is None:
            raise ValueError("ends before its body begins")
        check(url, head.status, head.fields.get("content-encoding", "identity"), announced=head.length, cap=cap)
        body = _dechunked(sent, head.end, cap) if head.chunked else _counted(sent, head)
    except ValueError as error:
        raise Unreachable(url, str(error)) from None
    if len(body) > cap:
        raise TooLarge(url, f"sends more than the cap of {cap} bytes", size=len(sent))
    return body


def check(url: str, status: int, encoding: str, *, announced: int | None, cap: int) -> None:
    """Whether a body may follow such a head. Raises Redirected, Unreachable or TooLarge."""
    if status in _REDIRECTS:
        raise Redirected(url, f"answers with a redirect (HTTP {status})", "name the final address")
    if status != _OK:
        raise Unreachable(url, f"HTTP {status}")
    if encoding != "identity":
        raise Unreachable(url, f"sends {encoding} though only plain text was asked for")
    if (announced or 0) > cap:
        raise TooLarge(url, f"announces {announced} bytes, the cap is {cap}")


def _counted(sent: bytes, head: Head) -> bytes:
    if head.length is None:
        return sent[head.end :]
    if len(sent) < head.end + head.length:
        raise ValueError(f"ends after {len(sent) - head.end} of {head.length} bytes")
    return sent[head.end : head.end + head.length]


def _dechunked(sent: bytes, start: int, cap: int) -> bytes:
    body, place = bytearray(), start
    while len(body) <= cap:
        size = _CHUNK_SIZE.match(sent, place)
        if size is None:
            raise ValueError("sends a broken chunk")
        length, first = int(size[1], 16), size.end()
        if length == 0:
            break
        place = first + length + 2
        if place > len(sent) or sent[place - 2 : place] != b"\r\n":
            raise ValueError("ends within a chunk")
        body += sent[first : first + length]
    return bytes(body)
