"""Answers of HTTP servers, honest and hostile, from their bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.telemetry.errors import TelemetryError, TooLarge, Unreachable
from mfu.telemetry.http_answer import LONGEST_HEAD, body_of, complete, head_of

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        OK + b"content-LENGTH:  4 \r\n\r\nm 1\n",
        OK + b"Content-Length: 4\r\n\r\nm 1\nmore that nobody asked for",
        OK + b"\r\nm 1\n",
        b"HTTP/1.0 200 \r\nServer: a: b\r\n\r\nm 1\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nm 1\n",
        CHUNKED + b"4\r\nm 1\n\r\n0\r\n\r\n",
        CHUNKED + b"1;name=value\r\nm\r\n3\r\n 1\n\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_bodies(sent: bytes) -> None:
    assert body_of(sent, "u", 4) == b"m 1\n"


@pytest.mark.parametrize(
    ("sent", "error", "why"),
    [
        (b"", Unreachable, "ends before its body"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Unreachable, "no HTTP server"),
        (OK + b"Content-Length: 4\r\n\r\nm 1", Unreachable, "3 of 4"),
        (CHUNKED + b"4\r\nm 1\n", Unreachable, "within a chunk"),
        (CHUNKED + b"zz\r\n", Unreachable, "broken chunk"),
        (CHUNKED + b"-1\r\n", Unreachable, "broken chunk"),
        (CHUNKED + b"fffffffff\r\n", Unreachable, "broken chunk"),
        (CHUNKED + b"8\r\nmm 1\nm 2\r\n0\r\n\r\n", TooLarge, "cap of 4"),
        (OK + b"Content-Length: 5\r\n\r\nmm 1\n", TooLarge, "announces 5"),
        (OK + b"\r\nmm 1\n", TooLarge, "cap of 4"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * LONGEST_HEAD, Unreachable, "before its body"),
    ],
)
def test_bad_answers(sent: bytes, error: type[TelemetryError], why: str) -> None:
    with pytest.raises(error, match=why):
        body_of(sent, "u", 4)


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda rest: CHUNKED + rest))
def test_whatever_is_sent_is_a_body_or_a_typed_error(sent: bytes) -> None:
    with suppress(TelemetryError):
        assert len(body_of(sent, "u", 50)) <= 50


@given(st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=20))
def test_chunks_come_together_again(body: bytes, sizes: list[int]) -> None:
    sent, place = CHUNKED, 0
    for size in [*sizes, len(body)]:
        piece = body[place : place + size]
        sent, place = sent + (b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""), place + size
    whole = sent + b"0\r\n\r\n"
    assert body_of(whole, "u", 60) == body
    head = head_of(whole)
    assert head is not None and complete(bytearray(whole), head)
