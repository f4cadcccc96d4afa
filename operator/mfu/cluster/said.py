"""What the operator said on the server's objects, typed: a workload's status, and the fleet's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mfu.api.fleetreport import FleetStatus
from mfu.api.names import PAUSED_ANNOTATION
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import FLEETREPORTS, MODELWORKLOADS
from mfu.cluster.shards import OwnNamespaces
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT

NOT_FOUND: Final = 404


class UnknownToServer(Exception):
    """The server does not have our kinds."""


async def workload_status(client: KubeClient, name: str, namespace: str) -> Packed[WorkloadStatus] | None:
    """None where there is no such ModelWorkload; empty before the operator judged it."""
    try:
        return Packed(WorkloadStatus, _status(await client.get(MODELWORKLOADS, name, namespace)))
    except ApiError as error:
        if error.status == NOT_FOUND:
            return None
        raise


async def is_paused(client: KubeClient, name: str, namespace: str) -> bool:
    """Whether the annotation of a ModelWorkload that is there says so."""
    metadata = (await client.get(MODELWORKLOADS, name, namespace)).get("metadata", {})
    return bool((metadata.get("annotations") or {}).get(PAUSED_ANNOTATION) == "true")


@dataclass(frozen=True, slots=True)
class SaidOfWorkload:
    """One ModelWorkload as the server holds it."""

    namespace: str
    name: str
    mode: str
    """Training or Inference, as declared; a spec need not be valid."""
    status: Packed[WorkloadStatus]


async def workload_statuses(client: KubeClient, namespace: str | None = None) -> tuple[SaidOfWorkload, ...]:
    """Of one namespace, or of all of them, in the order of their names."""
    found, _ = await client.list(MODELWORKLOADS, namespace=namespace)
    said = [_said(each) for each in found]
    return tuple(sorted(said, key=lambda each: (each.namespace, each.name)))


def _said(item: dict[str, Any]) -> SaidOfWorkload:
    metadata, spec = item["metadata"], item.get("spec")
    mode = str(spec.get("mode", "Unknown")) if isinstance(spec, dict) else "Unknown"
    return SaidOfWorkload(metadata["namespace"], metadata["name"], mode, Packed(WorkloadStatus, _status(item)))


async def names_of_workloads(client: KubeClient, namespace: str) -> tuple[str, ...]:
    found, _ = await client.list(MODELWORKLOADS, namespace=namespace)
    return tuple(sorted(each["metadata"]["name"] for each in found))


async def fleet_status(client: KubeClient, shard: str = "") -> Packed[FleetStatus]:
    """Of the whole fleet, or of one shard of it. Empty while there is no report.

    Raises UnknownToServer where the kind itself is not there.
    """
    try:
        return Packed(FleetStatus, _status(await client.get(FLEETREPORTS, OwnNamespaces(shard).report)))
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        if "could not find the requested resource" in error.message:
            raise UnknownToServer(FLEETREPORTS.kind) from error
        return NO_REPORT


async def shards_that_report(client: KubeClient) -> tuple[str, ...]:
    """Names of the shards that have a FleetReport, sorted; the one operator of all namespaces has no name."""
    found, _ = await client.list(FLEETREPORTS)
    before = OwnNamespaces().report + "-"
    names = (each["metadata"]["name"] for each in found)
    return tuple(sorted(each.removeprefix(before) for each in names if each.startswith(before)))


def _status(item: dict[str, Any]) -> dict[str, Any]:
    found = item.get("status")
    return found if isinstance(found, dict) else {}
