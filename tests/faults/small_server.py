"""An API server in memory and virtual time: objects with versions, answers that take as long as they are told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, ServerUnreachable
from mfu.engine.packed import Packed
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.views import NO_STATUS


@dataclass
class SmallServer:
    """What replicas share. `seconds` is how long an answer takes."""

    seconds: float = 0.01
    away: bool = False
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    writers: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """By object: when it was written, and by whom."""


@dataclass
class Replica:
    """One operator's client of it; `cut` is its own network."""

    server: SmallServer
    name: str
    cut: bool = False
    told: Counter[str] = field(default_factory=Counter)

    async def _reach(self) -> None:
        if self.cut or self.server.away:
            await asyncio.sleep(1.0)
            raise ServerUnreachable("no answer")
        await asyncio.sleep(self.server.seconds)

    async def get(self, resource: Any, name: str, namespace: str | None = None) -> dict[str, Any]:
        await self._reach()
        if name not in self.server.objects:
            raise ApiError(404, "NotFound", name, "GET")
        found = self.server.objects[name]
        return {"metadata": dict(found["metadata"]), "spec": dict(found["spec"])}

    async def create(self, resource: Any, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        await self._reach()
        if resource.kind == "Event":
            self.told[body["reason"]] += 1
            return body
        name = body["metadata"]["name"]
        if name in self.server.objects:
            raise ApiError(409, "AlreadyExists", name, "POST")
        self.server.objects[name] = {"metadata": {"name": name, "resourceVersion": "1"}, "spec": dict(body["spec"])}
        return body

    async def replace(self, resource: Any, body: dict[str, Any]) -> dict[str, Any]:
        await self._reach()
        name = body["metadata"]["name"]
        known = self.server.objects[name]["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != known:
            raise ApiError(409, "Conflict", name, "PUT")
        metadata = {"name": name, "resourceVersion": str(int(known) + 1)}
        self.server.objects[name] = {"metadata": metadata, "spec": dict(body["spec"])}
        return body

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        await self._reach()
        now = asyncio.get_running_loop().time()
        self.server.writers.setdefault(body["metadata"]["name"], []).append((now, self.name))
        return body

    def plan(self, count: int) -> Plan:
        """What every replica would say of so many workloads."""
        status = Packed(WorkloadStatus, {"summary": {"expected": "41.2%"}})
        return Plan(workloads=tuple(WorkloadPlan("a", f"w{row}", f"u{row}", status) for row in range(count)))

    def seen(self, plan: Plan) -> dict[str, dict[str, Any]]:
        """As its watch shows it: what somebody wrote stands."""
        return {
            each.key: {
                "status": each.status if each.name in self.server.writers else NO_STATUS,
                "annotations": {},
                "version": "1",
            }
            for each in plan.workloads
        }
