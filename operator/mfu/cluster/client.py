"""A small asynchronous API client: chunked lists, watches with bookmarks, server-side apply. JSON in, JSON out.

The typed client costs ten times the CPU and memory on thousands of objects; the wire format is all we need.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypedDict, Unpack

import aiohttp

from mfu.api.names import FIELD_MANAGER
from mfu.cluster.connection import Connection
from mfu.cluster.json_patch import as_read, operation
from mfu.cluster.resources import JSON, ResourcePath

CHUNK: Final = 500
PLAIN: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to accept of a list whose objects are wanted by name alone."""
WATCH_SERVER_TIMEOUT_SECONDS: Final = 290
# A bookmark arrives on an idle watch every 60 to 75 seconds: longer silence means a dead stream.
WATCH_SILENCE_SECONDS: Final = 90
REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)
RETRIES_ON_UNAUTHORIZED: Final = 1
MOST_LINE_BYTES: Final = 16 * 1024 * 1024
"""An object is at most some megabytes; a line of a watch holds one."""
MOST_ERROR_BYTES: Final = 64 * 1024
_PATCH_DOES_NOT_APPLY: Final = "the server rejected our request due to an error in our request"
"""https://github.com/kubernetes/apimachinery/blob/master/pkg/api/errors/errors.go (NewGenericServerResponse)"""
_EVENTS: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})


class ApiError(Exception):
    """The API server refused. `status` and `reason` are for code, the message is for people.

    `retry_after_seconds` is how long it asked to be left alone, None where it did not.
    """

    def __init__(
        self, status: int, reason: str, message: str, attempted: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{attempted}: {status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message
        self.retry_after_seconds = retry_after_seconds

    @property
    def outdated(self) -> bool:
        """The object is no longer what the request was made from: made anew from what it is now, it may pass.

        A patch whose test fails is answered 422 and these words; what a policy or the definition refuses is a 422 too,
        with words of its own.
        """
        return self.status == 409 or (self.status == 422 and self.message.startswith(_PATCH_DOES_NOT_APPLY))


class Gone(ApiError):
    """The resourceVersion is too old (410): list again."""


class ServerUnreachable(Exception):
    """No answer from the API server, or none that can be read; trying again later is right."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """Some objects of a list. `version` is where a watch goes on, `token` what the next page is asked with."""

    items: list[JSON]
    version: str
    token: str | None


class RequestParts(TypedDict, total=False):
    """What a request may say beside its method and path."""

    body: JSON | Sequence[JSON] | None
    params: Mapping[str, str] | None
    content_type: str
    accept: str


class KubeClient:
    """Use as `async with KubeClient(connect()) as client:`. Raises ApiError, Gone, Unreachable."""

    def __init__(self, connection: Connection, *, connections: int = 40) -> None:
        self._connection = connection
        self._limit = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        ssl_context = self._connection.ssl_context
        connector = aiohttp.TCPConnector(limit=self._limit, ssl=ssl_context if ssl_context is not None else True)
        self._session = aiohttp.ClientSession(self._connection.url, connector=connector, read_bufsize=2**18)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def list(
        self, resource: ResourcePath, *, namespace: str | None = None, **selectors: str
    ) -> tuple[list[JSON], str]:
        """Every object at once and the resourceVersion to watch from. `labelSelector=`, `fieldSelector=`."""
        pages = [page async for page in self.pages(resource, namespace=namespace, **selectors)]
        return [item for page in pages for item in page.items], pages[-1].version

    async def pages(
        self, resource: ResourcePath, *, namespace: str | None = None, accept: str = PLAIN, **selectors: str
    ) -> AsyncIterator[ListPage]:
        """The same in pages of CHUNK objects, for those who keep little of each: no two pages are held at once."""
        params: dict[str, str] = {"limit": str(CHUNK), **selectors}
        path = resource.path(namespace)
        while True:
            page = _page(await self.request("GET", path, params=params, accept=accept), f"GET {path}")
            yield page
            if not page.token:
                return
            params["continue"] = page.token

    async def watch(
        self, resource: ResourcePath, version: str, *, namespace: str | None = None, **selectors: str
    ) -> AsyncIterator[tuple[str, JSON]]:
        """Events (ADDED, MODIFIED, DELETED, BOOKMARK) after `version` until the server ends the stream."""
        params = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SERVER_TIMEOUT_SECONDS),
            **selectors,
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=WATCH_SILENCE_SECONDS)
        path = resource.path(namespace)
        try:
            async with self._http().get(
                path, params=params, headers=self._connection.headers(), timeout=timeout
            ) as response:
                await _raise_for_status(response, f"watch {path}")
                async for line in _lines(response.content):
                    yield _event(_document(line, f"watch {path}"), path)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(f"watch {path}: {_words(error)}") from error

    async def get(self, resource: ResourcePath, name: str, namespace: str | None = None) -> JSON:
        return await self.request("GET", resource.path(namespace, name))

    async def create(self, resource: ResourcePath, body: JSON, namespace: str | None = None) -> JSON:
        return await self.request("POST", resource.path(namespace), body=body)

    async def replace(self, resource: ResourcePath, body: JSON) -> JSON:
        """PUT with the body's resourceVersion: fails with status 409 when somebody else wrote in between."""
        metadata = body["metadata"]
        return await self.request("PUT", resource.path(metadata.get("namespace"), metadata["name"]), body=body)

    async def delete(self, resource: ResourcePath, name: str, namespace: str | None = None) -> JSON:
        return await self.request("DELETE", resource.path(namespace, name))

    async def merge(
        self,
        resource: ResourcePath,
        name: str,
        body: JSON,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> JSON:
        """JSON merge patch: lists are replaced whole. For objects that are not ours."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def apply(
        self,
        resource: ResourcePath,
        body: JSON,
        *,
        subresource: str | None = None,
        manager: str = FIELD_MANAGER,
        alone: bool = False,
    ) -> None:
        """Server-side apply of everything that `manager` owns on the object; fields left out are removed.

        Send `metadata.uid` with it: applying to a deleted object would otherwise create it again. The answer, the whole
        object again, is not taken apart: the watch brings it.

        `alone`: nobody else writes this status, so it is replaced whole, at half of what an apply costs the API server,
        which compares who owns which of two hundred fields; what the definition lacks is dropped there.
        `metadata.resourceVersion` must then be that of the object, else 409. Where it is not given `metadata.uid` must,
        else the error is `outdated`.
        """
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        if alone and (metadata.get("resourceVersion") or metadata.get("uid")):
            await self._acknowledged(path, _replacing(body), {"fieldManager": manager}, JSON_PATCH)
        else:
            await self._acknowledged(path, body, {"fieldManager": manager, "force": "true"}, APPLY)

    async def change(
        self, resource: ResourcePath, metadata: JSON, operations: Sequence[JSON], *, manager: str = FIELD_MANAGER
    ) -> None:
        """A JSON patch of an object; the error is `outdated` where one of its tests fails."""
        path = resource.path(metadata.get("namespace"), metadata["name"])
        await self._acknowledged(path, operations, {"fieldManager": manager}, JSON_PATCH)

    async def change_as_read(self, resource: ResourcePath, metadata: JSON, changes: Sequence[JSON]) -> None:
        """A JSON patch that only the state that was read takes; any other is `outdated`."""
        path = resource.path(metadata.get("namespace"), metadata["name"])
        await self.request("PATCH", path, body=[*as_read(metadata), *changes], content_type=JSON_PATCH)

    async def _acknowledged(
        self, path: str, body: JSON | Sequence[JSON], params: Mapping[str, str], content_type: str
    ) -> None:
        data = await self._send("PATCH", path, body=body, params=params, content_type=content_type)
        if not data.startswith(b"{"):
            raise ServerUnreachable(f"PATCH {path}: answered with no object: {bytes(data[:80])!r}")

    async def request(self, method: str, path: str, **how: Unpack[RequestParts]) -> JSON:
        """One request with a deadline; a 401 is tried once more with fresh credentials."""
        return _document(await self._send(method, path, **how), f"{method} {path}")

    async def _send(self, method: str, path: str, **how: Unpack[RequestParts]) -> bytes:
        body, params = how.get("body"), how.get("params")
        said = {"Content-Type": how.get("content_type", PLAIN), "Accept": how.get("accept", PLAIN)}
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(RETRIES_ON_UNAUTHORIZED + 1):
            headers = {**said, **self._connection.headers()}
            try:
                async with self._http().request(
                    method, path, data=data, params=params, headers=headers, timeout=REQUEST_TIMEOUT
                ) as response:
                    if response.status == 401 and attempt < RETRIES_ON_UNAUTHORIZED:
                        await asyncio.to_thread(self._connection.renew)
                        continue
                    await _raise_for_status(response, f"{method} {path}")
                    return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ServerUnreachable(f"{method} {path}: {_words(error)}") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("KubeClient is used outside its `async with` block")
        return self._session


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # readline() fails on lines longer than the buffer; a watch event may be as large as an object.
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        if b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line:
                    yield bytes(line)
        if len(rest) > MOST_LINE_BYTES:
            raise ServerUnreachable(f"a line of the watch does not end within {MOST_LINE_BYTES} bytes")
    if rest:
        raise ServerUnreachable("the watch ended in the middle of a line")


def _replacing(body: JSON) -> list[JSON]:
    """Of that version of the object only, or of that object: it could be another one by the same name."""
    metadata = body["metadata"]
    version = metadata.get("resourceVersion")
    same = operation("test", "/metadata/uid", metadata["uid"])
    if version:
        same = operation("replace", "/metadata/resourceVersion", version)
    return [same, operation("add", "/status", body["status"])]


def _document(data: bytes, attempted: str) -> JSON:
    """A JSON object. What a proxy or a broken server sends instead is no answer."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ServerUnreachable(f"{attempted}: answered with no JSON: {bytes(data[:80])!r}") from error
    if not isinstance(found, dict):
        raise ServerUnreachable(f"{attempted}: answered with no object: {bytes(data[:80])!r}")
    return found


def _page(document: JSON, attempted: str) -> ListPage:
    """`items: null` is an empty page."""
    items, metadata = document.get("items"), document.get("metadata")
    items = [] if items is None else items
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not isinstance(items, list) or not all(map(is_object, items)):
        raise ServerUnreachable(f"{attempted}: answered with no list of objects")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return ListPage(items, version, token if isinstance(token, str) else None)


def is_object(item: object) -> bool:
    """Has it what every object of the API has: metadata with a name?"""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


def _event(event: JSON, path: str) -> tuple[str, JSON]:
    kind, item = event.get("type"), event.get("object")
    if kind == "ERROR" and isinstance(item, dict):
        code = item.get("code")
        raise _error(item, code if isinstance(code, int) else 500, f"watch {path}")
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("resourceVersion"), str):
        raise ServerUnreachable(f"watch {path}: sent an event without an object")
    if kind not in _EVENTS or item is None or (kind != "BOOKMARK" and not is_object(item)):
        raise ServerUnreachable(f"watch {path}: sent an event of type {str(kind)[:40]!r} that says nothing")
    return kind, item


async def _raise_for_status(response: aiohttp.ClientResponse, attempted: str) -> None:
    if response.status < 400:
        return
    data = await _at_most(response.content, MOST_ERROR_BYTES)
    try:
        body = _document(data, attempted)
    except ServerUnreachable:
        body = {"reason": response.reason, "message": data[:500].decode(errors="replace")}
    raise _error(body, response.status, attempted, retry_after=response.headers.get("Retry-After"))


async def _at_most(stream: aiohttp.StreamReader, most: int) -> bytes:
    """A single read gives what has come so far, which of a long answer is its beginning."""
    data = bytearray()
    while len(data) < most and (part := await stream.read(most - len(data))):
        data += part
    return bytes(data)


def _error(body: JSON, status: int, attempted: str, *, retry_after: str | None = None) -> ApiError:
    kind = Gone if status == 410 else ApiError
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    reason, message = str(body.get("reason") or "Unknown"), str(body.get("message") or "")
    return kind(status, reason, message, attempted, retry_after_seconds=seconds)
