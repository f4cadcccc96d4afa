"""What `kubectl get -o json` and `kubectl apply --server-side` ask of an API server, asked without a process.

A test that waits asks ten times a second, and each kubectl costs 90 ms of a processor: two waiting tests kept two cores
busy with nothing else. Answers and refusals are those of kubectl; what is not understood here is kubectl's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from mfu.cluster.connection import Connection, connect

_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_APPLY: Final = "application/apply-patch+yaml"
_AS_KUBECTL: Final = {"fieldManager": "kubectl", "fieldValidation": "Strict"}
_SECONDS: Final = 60.0
_THREADS: Final = 8
"""Connections that are kept, for tests that ask from several threads."""


class Refused(RuntimeError):
    """The API server did not do it; the text is what kubectl would say."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str = "") -> str:
        prefix = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{prefix}{within}/{self.plural}" + (f"/{name}" if name else "")


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of `kubectl get` that are understood here."""

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    namespace: str | None
    selector: str | None

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Asked | None:
        """None for what only kubectl understands."""
        namespace: str | None = "default"
        selector, rest = None, iter(arguments)
        words: list[str] = []
        for each in rest:
            if each == "-n":
                namespace = next(rest)
            elif each == "-A":
                namespace = None
            elif each == "-l":
                selector = next(rest)
            elif each.startswith("-") or ("/" in each and words):
                return None
            else:
                words.append(each)
        kinds, *names = words[0].split("/") + words[1:]
        return cls(tuple(kinds.split(",")), tuple(names), namespace, selector)


class Rest:
    """An API server by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._kinds: dict[str, Kind] = {}

    def get(self, arguments: Sequence[str]) -> Any | None:
        """An object, or a list of all that was asked for; None where kubectl has to be asked. Raises Refused."""
        asked = Asked.of(arguments)
        kinds = [self.kind(name) for name in asked.kinds] if asked else []
        if asked is None or None in kinds:
            return None
        served = [kind for kind in kinds if kind is not None]
        found = [each for kind in served for each in self._read(kind, asked)]
        return found[0] if len(asked.names) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}

    def apply(self, document: dict[str, Any], namespace: str | None) -> str | None:
        """The applied object's name as kubectl prints it; None where kubectl has to be asked. Raises Refused."""
        kind = self.kind(f"{document['apiVersion']}/{document['kind']}")
        metadata = document["metadata"]
        if kind is None or "name" not in metadata:
            return None
        path = kind.path(metadata.get("namespace") or namespace or "default", metadata["name"])
        self.ask("PATCH", path, params=_AS_KUBECTL, body=json.dumps(document), Content_Type=_APPLY)
        return f"{kind.plural}/{metadata['name']}"

    def _read(self, kind: Kind, asked: Asked) -> Iterator[dict[str, Any]]:
        for name in asked.names:
            yield self.ask("GET", kind.path(asked.namespace, name))
        if not asked.names:
            params = {"labelSelector": asked.selector} if asked.selector else {}
            listed = self.ask("GET", kind.path(asked.namespace), params=params)
            for item in listed["items"]:
                yield {"apiVersion": kind.api_version, "kind": kind.kind, **item}

    def kind(self, name: str) -> Kind | None:
        """By any name that kubectl takes, or `API-VERSION/KIND`; None where the server has none such."""
        key = name.lower()
        if key not in self._kinds:
            self._kinds = dict(self._discovered())
        return self._kinds.get(key)

    def _discovered(self) -> Iterator[tuple[str, Kind]]:
        """By every name that kubectl takes; what comes last wins, hence in reverse."""
        groups = [each for path in ("/api", "/apis") for each in self._groups(path)]
        for group in reversed(groups):
            name = group["metadata"].get("name", "")
            for version in reversed(group["versions"]):
                api_version = f"{name}/{version['version']}" if name else version["version"]
                for resource in version.get("resources", []):
                    yield from _named(resource, api_version, name)

    def _groups(self, path: str) -> list[dict[str, Any]]:
        """Empty where the server has no aggregated discovery (before 1.30): kubectl knows a way."""
        found = self.ask("GET", path, Accept=_DISCOVERY)
        return found["items"] if found.get("kind") == "APIGroupDiscoveryList" else []

    @cached_property
    def _connection(self) -> Connection:
        return connect(self._kubeconfig)

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        # A kept connection may be one to a server that was restarted since; who asks for patience is given it (429).
        again = urllib3.Retry(
            total=10,
            connect=1,
            read=1,
            status_forcelist=(429,),
            backoff_factor=0.2,
            allowed_methods=None,
            redirect=False,
            raise_on_status=False,
        )
        return urllib3.PoolManager(
            ssl_context=self._connection.ssl_context, retries=again, timeout=_SECONDS, maxsize=_THREADS
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: str | None = None,
        who: Mapping[str, tuple[str, ...]] | None = None,
        **headers: str,
    ) -> Any:
        """The answer's object. `who`: headers that impersonate; other headers with `_` for `-`. Raises Refused."""
        connection = self._connection
        url = f"{connection.url}{path}" + (f"?{urlencode(params)}" if params else "")
        sent = urllib3.HTTPHeaderDict(connection.headers())
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        for name, values in (who or {}).items():
            for value in values:
                sent.add(name, value)
        try:
            answer = self._pool.request(method, url, headers=sent, body=body)
        except urllib3.exceptions.HTTPError as error:
            raise Refused(f"The connection to the server {connection.url} was refused: {error}") from error
        if answer.status < 300:
            return answer.json()
        raise Refused(_said(answer))


def _named(resource: dict[str, Any], api_version: str, group: str) -> Iterator[tuple[str, Kind]]:
    plural, kind = resource["resource"], resource["responseKind"]["kind"]
    served = Kind(api_version, kind, plural, resource["scope"] == "Namespaced")
    names = (plural, resource.get("singularResource", ""), *resource.get("shortNames", ()), kind.lower())
    for name in filter(None, names):
        yield name, served
        yield f"{name}.{group}", served
    yield f"{api_version}/{kind}".lower(), served


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        status = answer.json()
        reason = f" ({status['reason']})" if status.get("reason") else ""
        return f"Error from server{reason}: {status['message']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"Error from server: {answer.status}: {answer.data!r}"
