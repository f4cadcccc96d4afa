"""What differs between the plan and the cluster, as single writes in the order in which they are sent."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mfu.api.fleetreport import FleetStatus
from mfu.api.names import ANNOTATION_FIELD_MANAGER, FIELD_MANAGER
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.json_patch import operation, place
from mfu.cluster.resources import FLEETREPORTS, JSON, MFUPOLICIES, MODELWORKLOADS, ResourcePath
from mfu.cluster.shards import ALL_NAMESPACES, OwnNamespaces
from mfu.engine.packed import Packed
from mfu.engine.plan import Plan, PolicyPlan, WorkloadPlan

Seen = Mapping[str, Any]
"""What the cluster says of one object: `status`, `annotations`, `version`."""


@dataclass(frozen=True, slots=True)
class Write:
    """One intended change. `key` identifies the object, down to its uid, and the part of it.

    Its body is made when it is asked for: of thousands that wait, a round sends some dozens.
    """

    resource: ResourcePath
    metadata: JSON
    subresource: str | None
    manager: str
    status: Packed[Any] | None = None
    """What the status should be; None where only the metadata is written."""
    said: Packed[WorkloadStatus] | None = None
    """The status of a workload, for telling whether it says anything new."""
    urgent: bool = False
    """Its object has no answer yet to what it says now."""
    operations: tuple[JSON, ...] | None = None
    """The same as a JSON patch, which costs the API server half; None where it is applied."""

    @property
    def body(self) -> JSON:
        parts = {} if self.status is None else {"status": self.status.document()}
        return body_of(self.resource, self.metadata, **parts)

    @property
    def key(self) -> str:
        metadata = self.metadata
        name = f"{metadata.get('namespace', '')}/{metadata['name']}/{metadata.get('uid', '')}"
        return f"{self.resource.plural}/{name}/{self.subresource or ''}"

    @property
    def digest(self) -> str:
        """Of what is said, whatever version of the object it is said to."""
        annotations = json.dumps(self.metadata.get("annotations"), sort_keys=True)
        status = "" if self.status is None else self.status.digest
        return hashlib.sha256(f"{status} {annotations}".encode()).hexdigest()

    @property
    def object_key(self) -> str:
        return self.key.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Differs:
    """A status, or the annotations, that are not what the plan wants."""

    plan: WorkloadPlan
    seen: Seen
    status: bool
    urgent: bool = False
    """There is no answer yet to what it says now."""
    whichever: bool = False
    """To whichever version of the object there is: an annotation of ours may be on its way back."""

    def write(self) -> Write:
        plan = self.plan
        metadata = {"namespace": plan.namespace, "name": plan.name, "uid": plan.uid}
        if not self.status:
            said = {**metadata, "annotations": dict(plan.annotations)}
            operations = annotating(plan.uid, self.seen, plan.annotations)
            return Write(MODELWORKLOADS, said, None, ANNOTATION_FIELD_MANAGER, operations=operations)
        at = metadata if self.whichever else _at(metadata, self.seen)
        return Write(MODELWORKLOADS, at, "status", FIELD_MANAGER, plan.status, plan.status, self.urgent)


@dataclass(frozen=True, slots=True)
class PolicyDiffers:
    """A policy's status that is not what the plan wants."""

    plan: PolicyPlan
    seen: Seen

    def write(self) -> Write:
        metadata = {"name": self.plan.name, "uid": self.plan.uid}
        return Write(MFUPOLICIES, _at(metadata, self.seen), "status", FIELD_MANAGER, self.plan.status)


@dataclass(frozen=True, slots=True)
class ReportDiffers:
    """A fleet report that is not what the plan wants."""

    wanted: Packed[FleetStatus]
    name: str

    def write(self) -> Write:
        return Write(FLEETREPORTS, {"name": self.name}, "status", FIELD_MANAGER, self.wanted)


def annotating(uid: str, seen: Seen, wanted: Mapping[str, str]) -> tuple[JSON, ...] | None:
    """Our annotations set and taken away beside those of others; None where it is not known whether there are any."""
    if "annotated" not in seen:
        return None
    same = operation("test", "/metadata/uid", uid)
    if not seen["annotated"]:
        return same, operation("add", "/metadata/annotations", dict(wanted))
    known = seen.get("annotations", {})
    told = [operation("add", place(name), text) for name, text in wanted.items() if known.get(name) != text]
    gone = [{"op": "remove", "path": place(name)} for name in known if name not in wanted]
    return (same, *told, *gone)


def wanted(
    plan: Plan, current: Mapping[str, Seen], report: Packed[FleetStatus], own: OwnNamespaces = ALL_NAMESPACES
) -> list[Callable[[], Write]]:
    """Everything that differs, whether or not its time has come: reports and policies, then workloads in turns.

    Each write is made when it is asked for: of the thousands that wait after a start, a round sends some hundreds.
    """
    waiting: list[ReportDiffers | PolicyDiffers | Differs] = []
    if plan.report != report:
        waiting.append(ReportDiffers(plan.report, own.report))
    if own.whole_cluster:
        waiting += _differing_policies(plan, current)
    waiting += fairly(differing(plan, current))
    return [each.write for each in waiting]


def differing(plan: Plan, current: Mapping[str, Seen]) -> Iterator[Differs]:
    for each in plan.workloads:
        seen = current.get(each.key)
        if seen is None:
            continue
        if seen["status"] != each.status:
            yield Differs(each, seen, True, seen["status"].answers != each.status.answers)
        if seen.get("annotations", {}) != each.annotations:
            yield Differs(each, seen, False)


def fairly(waiting: Iterable[Differs]) -> Iterator[Differs]:
    """What has no answer yet first, and among those namespaces take turns; likewise all the others.

    The order within a namespace stays.
    """
    by_namespace: dict[bool, dict[str, deque[Differs]]] = {True: defaultdict(deque), False: defaultdict(deque)}
    for each in waiting:
        by_namespace[each.urgent][each.plan.namespace].append(each)
    for urgent in (True, False):
        lines = list(by_namespace[urgent].values())
        while lines:
            yield from (line.popleft() for line in lines)
            lines = [line for line in lines if line]


def _differing_policies(plan: Plan, current: Mapping[str, Seen]) -> Iterator[PolicyDiffers]:
    for each in plan.policies:
        seen = current.get(f"policy/{each.name}")
        if seen is not None and seen["status"] != each.status:
            yield PolicyDiffers(each, seen)


def _at(metadata: JSON, seen: Mapping[str, Any]) -> JSON:
    """With the version that was seen: an apply on /status takes the uid of another object without a word."""
    version = seen.get("version")
    return {**metadata, "resourceVersion": version} if version else metadata


def body_of(resource: ResourcePath, metadata: JSON, **parts: Any) -> JSON:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}
