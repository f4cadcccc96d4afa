"""A project's own manifests, changed in the few places where a process on loopback differs from pods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def reached_by_name(namespace: str, name: str) -> Object:
    """The Service by which the API server finds a process of this machine."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }


def without(documents: Iterable[Object], *kinds: str) -> list[Object]:
    return [each for each in documents if each and each["kind"] not in kinds]


def at_port(document: Object, port: int) -> Object:
    """The same object with `port` in every reference to a service of a webhook or a conversion, changed in place."""
    for each in _clients(document):
        if "service" in each:
            each["service"]["port"] = port
    return document


def _clients(document: Object) -> Iterable[Object]:
    for webhook in document.get("webhooks") or ():
        yield webhook["clientConfig"]
    conversion = (document.get("spec") or {}).get("conversion") or {}
    client = (conversion.get("webhook") or {}).get("clientConfig")
    if client is not None:
        yield client
