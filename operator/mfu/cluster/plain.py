"""A synchronous client for programs that write one object now and then and must stay small: the node agent.

Standard library only: the asynchronous client and what it stands on cost 26 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from mfu.cluster.connection import Connection
from mfu.cluster.resources import ResourcePath

JSON = dict[str, Any]
TIMEOUT_SECONDS: Final = 15.0
APPLY: Final = "application/apply-patch+yaml"


class PlainError(Exception):
    """The API server did not answer or refused. `status` is the HTTP status, None where there was no answer."""

    def __init__(self, attempted: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{attempted}: {message}" if status is None else f"{attempted}: {status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class PlainClient:
    """One connection a request. Raises PlainError."""

    connection: Connection

    def get(self, resource: ResourcePath, name: str) -> JSON:
        return self._request("GET", resource.path(None, name))

    def apply(
        self, resource: ResourcePath, body: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> JSON:
        """Server-side apply; creates the object where it does not exist, but not through a subresource (404)."""
        path = resource.path(None, body["metadata"]["name"], subresource)
        query = urlencode({"fieldManager": manager, "force": "true"})
        return self._request("PATCH", f"{path}?{query}", body)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> JSON:
        attempted = f"{method} {path.partition('?')[0]}"
        address = urlsplit(self.connection.url)
        channel = self._channel(address.hostname or "", address.port)
        try:
            headers = {"Accept": "application/json", "Content-Type": APPLY, **self.connection.headers()}
            data = None if body is None else json.dumps(body).encode()
            channel.request(method, f"{address.path.rstrip('/')}{path}", body=data, headers=headers)
            return _answer(channel.getresponse(), attempted)
        except (OSError, HTTPException) as error:
            raise PlainError(attempted, f"{type(error).__name__}: {error}") from error
        finally:
            channel.close()

    def _channel(self, host: str, port: int | None) -> HTTPConnection:
        context = self.connection.ssl_context
        if context is None:
            return HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        return HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _answer(response: HTTPResponse, attempted: str) -> JSON:
    data = response.read()
    try:
        answer: JSON = json.loads(data)
    except ValueError:
        answer = {"message": data[:500].decode(errors="replace")}
    if response.status >= 400:
        raise PlainError(attempted, str(answer.get("message", response.reason)), response.status)
    return answer
