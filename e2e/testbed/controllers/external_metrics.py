"""A stand-in for prometheus-adapter: external metrics from a Prometheus, as its rule for our metric would give them.

It answers what a HorizontalPodAutoscaler asks. It leaves out discovery of series, other rules, and all authorisation.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from e2e.testbed.cluster.certificates import Authority
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.waiting import wait_until
from e2e.testbed.controllers.manifests import Object, available, reached_by_name, trusting

_GROUP: Final = "external.metrics.k8s.io/v1beta1"
_ROOT: Final = f"/apis/{_GROUP}"
_NAMESPACE, _SERVICE = "monitoring", "prometheus-adapter"
_RESOURCE: Final = {
    "name": "externalmetrics",
    "singularName": "",
    "namespaced": True,
    "kind": "ExternalMetricValueList",
    "verbs": ["get"],
}
_API_SERVICE: Final[Object] = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
    "spec": {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": _NAMESPACE, "name": _SERVICE},
    },
}


@contextmanager
def running(plane: ControlPlane, prometheus: str) -> Iterator[None]:
    """Serves external metrics of the Prometheus at that URL for the length of the block."""
    folder = plane.logs_dir.parent / "external-metrics"
    folder.mkdir(exist_ok=True)
    authority = Authority.make(folder, "ca")
    pair = authority.sign("adapter", usage="serverAuth", names=f"DNS:{_SERVICE}.{_NAMESPACE}.svc")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(prometheus))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    service = trusting(_API_SERVICE, authority, server.server_address[1])
    name = service["metadata"]["name"]
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
    plane.apply(reached_by_name(_NAMESPACE, _SERVICE), service)
    try:
        wait_until(lambda: available(plane, name), what="external metrics", within_seconds=30)
        yield
    finally:
        plane.kubectl("delete", "apiservice", name)
        server.shutdown()
        server.server_close()


def _handler(prometheus: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(_answer(self.path, prometheus)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _answer(path: str, prometheus: str) -> dict[str, Any]:
    where = urllib.parse.urlsplit(path)
    if where.path.rstrip("/") == _ROOT:
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP, "resources": [_RESOURCE]}
    _, _, rest = where.path.partition("/namespaces/")
    namespace, _, metric = rest.partition("/")
    selector = urllib.parse.parse_qs(where.query).get("labelSelector", [""])[0]
    items = [_item(metric, value) for value in _values(prometheus, _query(metric, namespace, selector))]
    return {"kind": "ExternalMetricValueList", "apiVersion": _GROUP, "metadata": {}, "items": items}


def _query(metric: str, namespace: str, selector: str) -> str:
    """`max(m{namespace="a",workload="b"})` for the selector `workload=b`: the rule of the committed example."""
    pairs = [each.split("=", 1) for each in selector.split(",") if each]
    matchers = ",".join(f'{key}="{value}"' for key, value in [("namespace", namespace), *pairs])
    return f"max({metric}{{{matchers}}})"


def _values(prometheus: str, query: str) -> list[str]:
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return [each["value"][1] for each in json.load(answer)["data"]["result"]]


def _item(metric: str, value: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metricName": metric, "metricLabels": {}, "timestamp": now, "value": value}
