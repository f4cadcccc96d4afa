"""Gives an owner another number of replicas through its scale subresource, where nobody else does.

That subresource holds a number and nothing else, so that rights to it are rights to the number alone.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mfu.act.types import Rescale
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.json_patch import as_read, operation
from mfu.cluster.resources import AUTOSCALERS, JSON, ResourcePath, runs_pods

_NO_SUCH: Final = 404


class Scaled(StrEnum):
    """What became of one owner."""

    SCALED = "Scaled"
    ALREADY = "Already"
    """It asks for that number, or for one still farther: somebody was there first."""
    AUTOSCALED = "Autoscaled"
    """An HPA or a ScaledObject sets its replicas: two would undo each other's."""
    SWITCHED_OFF = "SwitchedOff"
    """Somebody asks for none of it, and an autoscaler would leave it so as well."""
    GONE = "Gone"
    HELD_BACK = "HeldBack"
    """We may not write any more."""


async def scale(client: KubeClient, asked: Rescale, *, may_write: Callable[[], bool]) -> Scaled:
    """Reads the number, then patches exactly what was read. Raises ApiError, ServerUnreachable."""
    resource = runs_pods(asked.kind)
    path = resource.path(asked.namespace, asked.name, "scale")
    shown = await _read(client, path)
    if shown is None:
        return Scaled.GONE
    present = int((shown.get("spec") or {}).get("replicas") or 0)
    if present == 0:
        return Scaled.SWITCHED_OFF
    if _there(asked, present):
        return Scaled.ALREADY
    if await _autoscaled(client, resource, asked):
        return Scaled.AUTOSCALED
    if not may_write():
        return Scaled.HELD_BACK
    return await _patched(client, path, shown, asked.replicas)


def _there(asked: Rescale, present: int) -> bool:
    """More was asked for and as many are, or fewer and as few: what was decided must not turn into its opposite."""
    return present >= asked.replicas if asked.replicas > asked.had else present <= asked.replicas


async def _read(client: KubeClient, path: str) -> JSON | None:
    try:
        return await client.request("GET", path)
    except ApiError as error:
        if error.status == _NO_SUCH:
            return None
        raise


async def _autoscaled(client: KubeClient, resource: ResourcePath, asked: Rescale) -> bool:
    for kind in AUTOSCALERS:
        # A cluster without KEDA does not know its kind.
        listed = await _read(client, kind.path(asked.namespace)) or {}
        if any(_targets(each, resource, asked.name) for each in listed.get("items") or ()):
            return True
    return False


def _targets(autoscaler: JSON, resource: ResourcePath, name: str) -> bool:
    """A ScaledObject that names no kind means a Deployment."""
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    group = str(target.get("apiVersion") or "apps/v1").split("/")[0]
    return (target.get("kind") or "Deployment", target.get("name"), group) == (resource.kind, name, resource.group)


async def _patched(client: KubeClient, path: str, shown: JSON, replicas: int) -> Scaled:
    metadata = shown["metadata"]
    patch = [
        *as_read(metadata),
        operation("replace", "/spec/replicas", replicas),
    ]
    try:
        await client.request("PATCH", path, body=patch, content_type=JSON_PATCH)
    except ApiError as error:
        if error.status == _NO_SUCH:
            return Scaled.GONE
        raise
    return Scaled.SCALED
