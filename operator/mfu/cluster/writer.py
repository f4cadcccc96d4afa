"""Plan → API server: only what changed, bounded in flight and in rate, each object at most every few seconds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from mfu.api.names import ANNOTATION_FIELD_MANAGER, FIELD_MANAGER
from mfu.cluster.client import JSON, ApiError, KubeClient, Unreachable
from mfu.cluster.resources import EVENTS, FLEETREPORTS, MFUPOLICIES, MODELWORKLOADS, Resource
from mfu.engine.plan import Event, Plan, WorkloadPlan
from mfu.engine.stable import differs

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 10
WRITES_PER_SECOND: Final = 50.0
ECHO_SECONDS: Final = 10.0
REPORT_NAME: Final = "fleet"


@dataclass(frozen=True, slots=True)
class Write:
    """One intended change. `key` identifies the object and the aspect, for counting and for telling repeats."""

    resource: Resource
    body: JSON
    subresource: str | None
    manager: str

    @property
    def key(self) -> str:
        metadata = self.body["metadata"]
        return f"{self.resource.plural}/{metadata.get('namespace', '')}/{metadata['name']}/{self.subresource or ''}"


@dataclass(slots=True)
class WriteCounts:
    written: int = 0
    failed: int = 0
    suppressed: int = 0
    events: int = 0


@dataclass(slots=True)
class Writer:
    """`apply(plan, current)` writes the difference between the plan and what informers last saw."""

    client: KubeClient
    may_write: Callable[[], bool] = lambda: True
    events_namespace: str = "default"
    counts: WriteCounts = field(default_factory=WriteCounts)
    _recent: dict[str, str] = field(default_factory=dict)
    _recent_at: dict[str, float] = field(default_factory=dict)

    async def apply(self, plan: Plan, current: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> None:
        """`current` maps "namespace/name" of workloads and "policy/name" to what the cluster holds now."""
        writes = [*self._workload_writes(plan, current), *self._policy_writes(plan, current)]
        writes += self._report_writes(plan, report)
        gate = asyncio.Semaphore(IN_FLIGHT)
        pace = _Pace(WRITES_PER_SECOND)
        await asyncio.gather(*(self._write(each, gate, pace) for each in writes))
        events = [(each, event) for each in plan.workloads for event in each.events]
        await asyncio.gather(*(self._emit(each, event, gate, pace) for each, event in events))

    def _workload_writes(self, plan: Plan, current: Mapping[str, Mapping[str, Any]]) -> list[Write]:
        writes = []
        for each in plan.workloads:
            seen = current.get(each.key, {})
            metadata = {"namespace": each.namespace, "name": each.name, "uid": each.uid}
            if differs(seen.get("status", {}), each.status):
                body = _body(MODELWORKLOADS, metadata, status=dict(each.status))
                writes.append(Write(MODELWORKLOADS, body, "status", FIELD_MANAGER))
            if dict(seen.get("annotations", {})) != dict(each.annotations):
                body = _body(MODELWORKLOADS, {**metadata, "annotations": dict(each.annotations)})
                writes.append(Write(MODELWORKLOADS, body, None, ANNOTATION_FIELD_MANAGER))
        return writes

    def _policy_writes(self, plan: Plan, current: Mapping[str, Mapping[str, Any]]) -> list[Write]:
        writes = []
        for each in plan.policies:
            if differs(current.get(f"policy/{each.name}", {}).get("status", {}), each.status):
                body = _body(MFUPOLICIES, {"name": each.name, "uid": each.uid}, status=dict(each.status))
                writes.append(Write(MFUPOLICIES, body, "status", FIELD_MANAGER))
        return writes

    def _report_writes(self, plan: Plan, report: Mapping[str, Any]) -> list[Write]:
        if not plan.report or not differs(report, plan.report):
            return []
        body = _body(FLEETREPORTS, {"name": REPORT_NAME}, status=dict(plan.report))
        return [Write(FLEETREPORTS, body, "status", FIELD_MANAGER)]

    async def _write(self, write: Write, gate: asyncio.Semaphore, pace: _Pace) -> None:
        digest = hashlib.sha256(repr(write.body).encode()).hexdigest()
        # Our own last write may not have come back through the watch yet: the same again would be a no-op.
        now = asyncio.get_running_loop().time()
        if self._recent.get(write.key) == digest and now - self._recent_at[write.key] < ECHO_SECONDS:
            self.counts.suppressed += 1
            return
        async with gate:
            await pace.wait()
            if not self.may_write():
                return
            try:
                await self._put(write)
            except (ApiError, Unreachable) as error:
                self.counts.failed += 1
                self._recent.pop(write.key, None)
                log.warning("write object=%s error=%s", write.key, error)
                return
        self._recent[write.key], self._recent_at[write.key] = digest, now
        self.counts.written += 1

    async def _put(self, write: Write) -> None:
        try:
            await self.client.apply(write.resource, write.body, subresource=write.subresource, manager=write.manager)
        except ApiError as error:
            # Apply on /status can not create; the fleet report is the only object that we create ourselves.
            if error.status != 404 or write.resource is not FLEETREPORTS:
                raise
            await self.client.create(FLEETREPORTS, _body(FLEETREPORTS, {"name": REPORT_NAME}))
            await self.client.apply(write.resource, write.body, subresource="status", manager=write.manager)

    async def _emit(self, plan: WorkloadPlan, event: Event, gate: asyncio.Semaphore, pace: _Pace) -> None:
        async with gate:
            await pace.wait()
            if not self.may_write():
                return
            try:
                await self.client.create(EVENTS, _event_body(plan, event), plan.namespace)
                self.counts.events += 1
            except (ApiError, Unreachable) as error:
                log.info("event object=%s reason=%s error=%s", plan.key, event.reason, error)


class _Pace:
    """Spaces calls evenly at no more than `per_second`, with a burst of one second's worth."""

    def __init__(self, per_second: float) -> None:
        self._step = 1.0 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - 1.0) + self._step
        if self._next > now:
            await asyncio.sleep(self._next - now)


def _body(resource: Resource, metadata: JSON, **parts: Any) -> JSON:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}


def _event_body(plan: WorkloadPlan, event: Event) -> JSON:
    now = datetime.now(UTC)
    regarding = {
        "apiVersion": MODELWORKLOADS.api_version,
        "kind": MODELWORKLOADS.kind,
        "namespace": plan.namespace,
        "name": plan.name,
        "uid": plan.uid,
    }
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"namespace": plan.namespace, "generateName": f"{plan.name[:200]}-"},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": event.type,
        "reason": event.reason,
        "note": event.message[:1000],
        "action": "Evaluate",
        "reportingController": "mfu.gpuaas.io/operator",
        "reportingInstance": FIELD_MANAGER,
        "regarding": regarding,
    }
