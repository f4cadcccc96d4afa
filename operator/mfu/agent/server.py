"""/metrics, /healthz and /readyz by the standard library: aiohttp would cost the agent 20 MiB."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final

from mfu.agent.exposition import CONTENT_TYPE

Page = Callable[[], bytes]
Check = Callable[[], str | None]
"""What is wrong, None when all is well."""
SLOW_CLIENT_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.25
"""How long the server may take to notice that it is to end."""


@contextmanager
def serve(host: str, port: int, *, metrics: Page, healthy: Check, ready: Check) -> Iterator[int]:
    """Serves for the length of the block; gives the port that was taken. Raises OSError where it is taken."""
    routes = {"/metrics": _plain(metrics), "/healthz": _checked(healthy), "/readyz": _checked(ready)}
    kind = _Server if host or not socket.has_dualstack_ipv6() else _DualStack
    server = kind((host, port), type("Handler", (_Handler,), {"routes": routes}))
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


Answer = Callable[[], tuple[int, bytes]]


def _plain(page: Page) -> Answer:
    return lambda: (200, page())


def _checked(check: Check) -> Answer:
    def answer() -> tuple[int, bytes]:
        problem = check()
        return (200, b"ok\n") if problem is None else (503, f"{problem}\n".encode())

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # HTTPServer would look its own name up, and wait for a DNS that may not be there.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "mfu-agent", self.server_address[1]


class _DualStack(_Server):
    """All addresses of the pod, in clusters of either IP family."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    routes: dict[str, Answer]
    timeout = SLOW_CLIENT_SECONDS

    def do_GET(self) -> None:
        answer = self.routes.get(self.path.partition("?")[0])
        status, body = answer() if answer is not None else (404, b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news."""
