"""The GPUNode of this node, written only when it changed, at most every few seconds, and at least every few minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mfu.agent.gpunode import JSON, dated
from mfu.api.names import AGENT_FIELD_MANAGER
from mfu.cluster.plain import PlainError
from mfu.cluster.resources import GPUNODES, NODES, ResourcePath

log = logging.getLogger(__name__)

LEAST_SECONDS: Final = 10.0
HEARTBEAT_SECONDS: Final = 240.0
"""Under the five minutes that `status.observedAt` promises."""
_NOT_FOUND: Final = 404


class Client(Protocol):
    """Narrow view of mfu.cluster.plain.PlainClient. Raises PlainError."""

    def get(self, resource: ResourcePath, name: str) -> JSON: ...

    def apply(
        self, resource: ResourcePath, body: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> JSON: ...


@dataclass(slots=True)
class Publisher:
    """`offer()` as often as you like; it writes when there is something to say. Never raises."""

    client: Client
    node: str
    writes: int = 0
    last_error: str | None = None
    _told: JSON = field(default_factory=dict)
    _conditions: list[Mapping[str, Any]] | None = None
    _exists: bool = False
    _tried_at: float | None = None
    _wrote_at: float | None = None

    def due(self, status: JSON, now: float) -> bool:
        if self._tried_at is not None and now - self._tried_at < LEAST_SECONDS:
            return False
        return status != self._told or self._wrote_at is None or now - self._wrote_at >= HEARTBEAT_SECONDS

    def offer(self, status: JSON, now: float) -> bool:
        """Whether it was written."""
        if not self.due(status, now):
            return False
        self._tried_at = now
        try:
            self._write(status, now)
        except PlainError as error:
            self.last_error = str(error)
            log.warning("gpunode not written: error=%s", error)
            return False
        self._told, self._wrote_at, self.last_error = status, now, None
        self.writes += 1
        return True

    def _write(self, status: JSON, now: float) -> None:
        if not self._exists:
            self._create()
        full = dated(status, now, self._conditions or ())
        body = _body(self.node, status=full)
        try:
            self.client.apply(GPUNODES, body, manager=AGENT_FIELD_MANAGER, subresource="status")
        except PlainError as error:
            # Somebody deleted it, or its Node was deleted and made again: the owner reference needs the new uid.
            if error.status != _NOT_FOUND:
                raise
            self._create()
            self.client.apply(GPUNODES, body, manager=AGENT_FIELD_MANAGER, subresource="status")
        self._conditions = full["conditions"]

    def _create(self) -> None:
        uid = self.client.get(NODES, self.node)["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": uid}
        made = self.client.apply(GPUNODES, _body(self.node, owner), manager=AGENT_FIELD_MANAGER)
        self._exists = True
        if self._conditions is None:
            self._conditions = list(made.get("status", {}).get("conditions", ()))


def _body(name: str, owner: Mapping[str, Any] | None = None, *, status: JSON | None = None) -> JSON:
    metadata: JSON = {"name": name}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    body: JSON = {"apiVersion": GPUNODES.api_version, "kind": GPUNODES.kind, "metadata": metadata}
    return body if status is None else {**body, "status": status}


Connect = Callable[[], Client]
