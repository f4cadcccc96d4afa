"""HTTP and TCP probes with a kubelet's thresholds."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass

from e2e.testbed.podrunner.fields import Document, UnsupportedField

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of the container; times in seconds, Kubernetes' defaults where the pod says nothing."""

    kind: str
    port: int
    path: str | None
    https: bool
    headers: tuple[tuple[str, str], ...]
    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def parse(cls, container: Document, kind: str) -> Probe | None:
        """The `livenessProbe`, `readinessProbe` or `startupProbe` of a container, or None."""
        found = container.get(f"{kind}Probe")
        if not found:
            return None
        http_get, tcp = found.get("httpGet"), found.get("tcpSocket")
        if http_get is None and tcp is None:
            raise UnsupportedField(f"spec.containers[0].{kind}Probe", "only httpGet and tcpSocket are supported")
        action = http_get or tcp
        return cls(
            kind=kind,
            port=_port(container, action["port"]),
            path=None if http_get is None else http_get.get("path", "/"),
            https=action.get("scheme", "HTTP") == "HTTPS",
            headers=tuple((header["name"], header["value"]) for header in action.get("httpHeaders", [])),
            initial_delay_seconds=found.get("initialDelaySeconds", 0),
            period_seconds=found.get("periodSeconds", 10),
            timeout_seconds=found.get("timeoutSeconds", 1),
            success_threshold=found.get("successThreshold", 1),
            failure_threshold=found.get("failureThreshold", 3),
        )

    def ask(self) -> str | None:
        """None when the probe succeeds, else why it did not."""
        try:
            if self.path is not None:
                return self._ask_http(self.path)
            socket.create_connection((_HOST, self.port), timeout=self.timeout_seconds).close()
            return None
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"

    def _ask_http(self, path: str) -> str | None:
        connection = self._connection()
        try:
            connection.request("GET", path, headers=dict(self.headers))
            status = connection.getresponse().status
        finally:
            connection.close()
        # A kubelet counts 200 to 399 as success.
        return None if 200 <= status < 400 else f"GET {path} answered {status}"

    def _connection(self) -> http.client.HTTPConnection:
        if not self.https:
            return http.client.HTTPConnection(_HOST, self.port, timeout=self.timeout_seconds)
        # A kubelet does not check a probe's certificate either.
        trusting = ssl._create_unverified_context()
        return http.client.HTTPSConnection(_HOST, self.port, timeout=self.timeout_seconds, context=trusting)


@dataclass(slots=True)
class Counter:
    """Turns single answers into a state: it changes after as many equal answers in a row as the threshold says."""

    probe: Probe
    passing: bool
    due_seconds: float = 0.0
    last_error: str | None = None
    _run: int = 0

    def __post_init__(self) -> None:
        self.due_seconds = self.probe.initial_delay_seconds

    def record(self, error: str | None, *, at_seconds: float) -> None:
        """Count one answer, given `at_seconds` after the container's start."""
        self.due_seconds = at_seconds + self.probe.period_seconds
        self.last_error = error
        succeeded = error is None
        self._run = self._run + 1 if succeeded != self.passing else 0
        needed = self.probe.success_threshold if succeeded else self.probe.failure_threshold
        if self._run >= needed:
            self.passing, self._run = succeeded, 0


def _port(container: Document, port: int | str) -> int:
    if isinstance(port, int):
        return port
    for declared in container.get("ports", []):
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise UnsupportedField("spec.containers[0].ports", f"a probe names port {port}, which is not declared")
