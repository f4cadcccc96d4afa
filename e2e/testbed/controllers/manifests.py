"""A project's own manifests, changed in the few places where a process on loopback differs from pods."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from e2e.testbed.cluster.certificates import Authority
from e2e.testbed.cluster.client import ClusterAccess

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


def trusting(api_service: Object, authority: Authority, port: int) -> Object:
    """The same APIService, served at that port of this machine by who has a certificate of `authority`."""
    spec = api_service["spec"]
    ours = {"caBundle": base64.b64encode(authority.certificate.read_bytes()).decode()}
    return {**api_service, "spec": {**spec, **ours, "service": {**spec["service"], "port": port}}}


def available(server: ClusterAccess, api_service: str) -> bool:
    """Whether the API server passes requests on to it."""
    conditions = server.get("apiservice", api_service).get("status", {}).get("conditions", [])
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


def _clients(document: Object) -> Iterable[Object]:
    for webhook in document.get("webhooks") or ():
        yield webhook["clientConfig"]
    conversion = (document.get("spec") or {}).get("conversion") or {}
    client = (conversion.get("webhook") or {}).get("clientConfig")
    if client is not None:
        yield client
