"""Kueue's admission check over its API: our entry of a Workload is answered, and our AdmissionCheck says Active.

Both by server-side apply under a manager of its own: entries of other controllers stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mfu.act.checks import CheckAnswer, CheckQuestion, CheckState, PodSet
from mfu.api.names import ADMISSION_CHECK
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.projection import epoch
from mfu.cluster.resources import JSON, KUEUE_CHECKS, KUEUE_WORKLOADS

CHECK_FIELD_MANAGER: Final = "mfu-admission"
_ACTIVE: Final = {
    "type": "Active",
    "status": "True",
    "reason": "Answered",
    "message": "mfu answers, and lets start what it has no answer for",
}
_TOPOLOGY: Final = frozenset({"required", "preferred", "unconstrained", "podSetSliceRequiredTopology"})
"""Fields of a topologyRequest that ask for something; Kueue also notes there how pods are numbered."""


class Answered(StrEnum):
    """What became of one answer."""

    ANSWERED = "Answered"
    MOVED_ON = "MovedOn"
    """The Workload is gone, or not as it was seen: if it still asks, it is answered by what it is now."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


def question_of(item: JSON, check: str) -> CheckQuestion | None:
    """None for a Workload whose queue does not ask us, and for one that is over."""
    status, spec, metadata = item.get("status") or {}, item.get("spec") or {}, item["metadata"]
    entry = next((each for each in status.get("admissionChecks") or () if each.get("name") == check), None)
    if not check or entry is None or metadata.get("deletionTimestamp") or _is(status, "Finished"):
        return None
    return CheckQuestion(
        namespace=metadata["namespace"],
        workload=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        check=check,
        state=CheckState(entry.get("state") or "Pending"),
        since=epoch(entry.get("lastTransitionTime")),
        reserved=_is(status, "QuotaReserved"),
        evicted=_is(status, "Evicted"),
        active=spec.get("active") is not False,
        pod_sets=_pod_sets(spec, status),
    )


def _is(status: JSON, kind: str) -> bool:
    return any(each["type"] == kind and each["status"] == "True" for each in status.get("conditions") or ())


def _pod_sets(spec: JSON, status: JSON) -> tuple[PodSet, ...]:
    assigned = {each["name"]: each for each in (status.get("admission") or {}).get("podSetAssignments") or ()}
    found = []
    for each in spec.get("podSets") or ():
        name, given = each.get("name", "main"), assigned.get(each.get("name", "main")) or {}
        own = ((each.get("template") or {}).get("spec") or {}).get("nodeSelector") or {}
        topology = any(given.get(key) for key in ("topologyAssignment", "delayedTopologyRequest"))
        wished = set(each.get("topologyRequest") or {}) & _TOPOLOGY
        flavors = tuple(sorted(set((given.get("flavors") or {}).values())))
        found.append(PodSet(name, own, flavors, topology or bool(wished)))
    return tuple(found)


async def answer(client: KubeClient, due: CheckAnswer, *, may_write: Callable[[], bool]) -> Answered:
    """One write, with the version that was seen as its precondition. Raises ApiError, ServerUnreachable."""
    if not may_write():
        return Answered.HELD_BACK
    asked, now = due.question, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {
        "namespace": asked.namespace,
        "name": asked.workload,
        "uid": asked.uid,
        "resourceVersion": asked.version,
    }
    body = _body(metadata, {"admissionChecks": [{**due.entry, "lastTransitionTime": now}]})
    try:
        await client.apply(KUEUE_WORKLOADS, body, subresource="status", manager=CHECK_FIELD_MANAGER)
    except ApiError as error:
        if error.status in (404, 409):
            return Answered.MOVED_ON
        raise
    return Answered.ANSWERED


def _body(metadata: JSON, status: JSON) -> JSON:
    return {
        "apiVersion": KUEUE_WORKLOADS.api_version,
        "kind": KUEUE_WORKLOADS.kind,
        "metadata": metadata,
        "status": status,
    }


async def activate(client: KubeClient, name: str) -> bool:
    """Whether our AdmissionCheck of that name is Active now: without it, every queue that lists it stands still.

    One whose controller is somebody else is left alone. Raises ApiError, ServerUnreachable.
    """
    try:
        found = await client.get(KUEUE_CHECKS, name)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    if found["spec"].get("controllerName") != ADMISSION_CHECK:
        return False
    if not _is(found.get("status") or {}, "Active"):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": KUEUE_CHECKS.api_version,
            "kind": KUEUE_CHECKS.kind,
            "metadata": {"name": name, "uid": found["metadata"]["uid"]},
            "status": {"conditions": [{**_ACTIVE, "lastTransitionTime": now}]},
        }
        await client.apply(KUEUE_CHECKS, body, subresource="status", manager=CHECK_FIELD_MANAGER)
    return True
