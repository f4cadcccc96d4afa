"""Protobuf's wire format, as far as the kubelet's PodResources answer needs it: fields by number, unknown ones skipped.

Field numbers: kubernetes/kubelet pkg/apis/podresources/v1/api.proto. https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


class Malformed(ValueError):
    """Not a protobuf message."""


@dataclass(frozen=True, slots=True)
class ContainerDevice:
    """One device of one container, as the kubelet handed it out."""

    namespace: str
    pod: str
    container: str
    resource: str
    device: str


def allocations(message: bytes) -> list[ContainerDevice]:
    """Devices in a ListPodResourcesResponse, device plugins' and DRA claims'. Raises Malformed."""
    return [found for pod in _messages(message, 1) for found in _of_pod(pod)]


def _of_pod(pod: bytes) -> Iterator[ContainerDevice]:
    name, namespace = _text(pod, 1), _text(pod, 2)
    for container in _messages(pod, 3):
        title = _text(container, 1)
        for devices in _messages(container, 2):
            resource = _text(devices, 1)
            for device in _messages(devices, 2):
                yield ContainerDevice(namespace, name, title, resource, _decoded(device))
        for dynamic in _messages(container, 5):
            for claim in _messages(dynamic, 3):
                yield ContainerDevice(namespace, name, title, _text(claim, 2), _text(claim, 4))


def _messages(message: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(message) if number == wanted)


def _text(message: bytes, wanted: int) -> str:
    """The last value, as protobuf has it for a field that should appear once; "" where it is left out."""
    found = b""
    for value in _messages(message, wanted):
        found = value
    return _decoded(found)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"a name is not UTF-8: {error}") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, content) of every length-delimited field."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Malformed(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise Malformed(f"a field of {size} bytes ends after the message of {len(message)}")
        if kind == _BYTES:
            yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise Malformed(f"a number at byte {at} does not end")
