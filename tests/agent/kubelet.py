"""A kubelet's PodResources API: a real gRPC server on a unix socket, its answers encoded by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

Row = tuple[str, str, str, str, str]
"""namespace, pod, container, resource, device id"""


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def text(number: int, value: bytes | str) -> bytes:
    """One length-delimited field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(rows: Iterable[Row]) -> bytes:
    """ListPodResourcesResponse with one container and one device a pod, and fields that the agent skips."""
    found = b""
    for namespace, pod, container, resource, device in rows:
        topology = text(3, text(1, varint(1 << 3) + varint(1)))
        devices = text(2, text(1, resource) + text(2, device) + topology)
        cpus = varint(3 << 3) + varint(300)
        found += text(1, text(1, pod) + text(2, namespace) + text(3, text(1, container) + devices + cpus) + cpus)
    return found


def claim(namespace: str, pod: str, container: str, driver: str, device: str) -> bytes:
    """The same with a DRA claim in place of a device plugin's device."""
    resource = text(1, text(1, "vendor.com/gpu=0")) + text(2, driver) + text(3, "pool") + text(4, device)
    dynamic = text(5, text(1, "claim") + text(2, namespace) + text(3, resource))
    return text(1, text(1, pod) + text(2, namespace) + text(3, text(1, container) + dynamic))


@contextmanager
def serve(path: Path, rows: Iterable[Row] | bytes | grpc.StatusCode) -> Iterator[None]:
    """Answers List for the length of the block: rows, raw bytes, or an error."""
    answer = rows if isinstance(rows, bytes | grpc.StatusCode) else message(rows)

    def list_pods(request: bytes, context: Any) -> bytes:
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "no")
        return answer

    handlers = {"List": grpc.unary_unary_rpc_method_handler(list_pods)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1.PodResourcesLister", handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()
