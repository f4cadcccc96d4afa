"""The kubelet's PodResources API: which pod holds which device. One unary gRPC call over a unix socket.

grpcio would cost the agent 16 MiB of its 60; `h2` speaks the same HTTP/2 for none that could be measured.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from mfu.agent.wire import ContainerDevice, Malformed, allocations

SOCKET: Final = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
LIST: Final = "/v1.PodResourcesLister/List"
TIMEOUT_SECONDS: Final = 5.0
MOST_BYTES: Final = 16 * 1024 * 1024
_CHUNK: Final = 65536
_PREFIX: Final = struct.Struct(">BI")


class PodResourcesError(Exception):
    """The kubelet did not answer, or not in the way that it should: try again at the next round."""


def list_allocations(path: Path = SOCKET) -> list[ContainerDevice]:
    """Every device that the kubelet has handed out. Raises PodResourcesError."""
    try:
        return allocations(call(path, LIST))
    except Malformed as error:
        raise PodResourcesError(f"{path}: {error}") from error


def call(path: Path, method: str, message: bytes = b"") -> bytes:
    """Answer of one unary gRPC call. Raises PodResourcesError with the gRPC status where it is not OK."""
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as channel:
            channel.settimeout(TIMEOUT_SECONDS)
            channel.connect(str(path))
            return _exchange(channel, method, message).answer()
    except (OSError, H2Error) as error:
        raise PodResourcesError(f"{path}: {error or type(error).__name__}") from error


@dataclass(slots=True)
class _Reply:
    body: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def answer(self) -> bytes:
        if self.headers.get(":status") != "200" or self.headers.get("grpc-status", "0") != "0":
            told = {name: value for name, value in self.headers.items() if name in (":status", *_STATUS)}
            raise PodResourcesError(f"the kubelet refused: {told}")
        if len(self.body) < _PREFIX.size:
            raise PodResourcesError("the kubelet's answer is empty")
        compressed, size = _PREFIX.unpack_from(self.body)
        if compressed or size != len(self.body) - _PREFIX.size:
            raise PodResourcesError(f"the kubelet's answer is not one plain message of {size} bytes")
        return bytes(self.body[_PREFIX.size :])


_STATUS: Final = ("grpc-status", "grpc-message")


def _exchange(channel: socket.socket, method: str, message: bytes) -> _Reply:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(1, _headers(method))
    connection.send_data(1, _PREFIX.pack(0, len(message)) + message, end_stream=True)
    channel.sendall(connection.data_to_send())
    reply = _Reply()
    while not reply.ended:
        data = channel.recv(_CHUNK)
        if not data:
            raise PodResourcesError("the kubelet hung up in the middle of its answer")
        _note(reply, connection, connection.receive_data(data))
        channel.sendall(connection.data_to_send())
    return reply


def _headers(method: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "mfu-agent"),
    ]


def _note(reply: _Reply, connection: H2Connection, events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, DataReceived):
            reply.body += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, 1)
            if len(reply.body) > MOST_BYTES:
                raise PodResourcesError(f"the kubelet's answer is larger than {MOST_BYTES} bytes")
        elif isinstance(event, ResponseReceived | TrailersReceived):
            reply.headers.update(_pairs(event.headers))
        elif isinstance(event, StreamEnded):
            reply.ended = True
        elif isinstance(event, StreamReset | ConnectionTerminated):
            raise PodResourcesError(f"the kubelet broke off with HTTP/2 error {event.error_code}")


def _pairs(headers: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers or ()}
