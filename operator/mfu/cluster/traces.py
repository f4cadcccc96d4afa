"""What a cluster holds of what was done to a workload: our events about it, and its pods that met our gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mfu.api.names import WORKLOAD_LABEL, decision_annotation
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.projection import has_our_gate
from mfu.cluster.resources import EVENTS, JSON, MODELWORKLOADS, PODS
from mfu.decide.types import DecisionType
from mfu.show.path import SeenPod, ToldEvent, Traces

_HINT: Final = decision_annotation(DecisionType.PLACEMENT)
_DENIED: Final = (401, 403)


async def traces_of(client: KubeClient, name: str, namespace: str) -> Traces:
    """What the asker may not read stays unknown."""
    about = f"regarding.kind={MODELWORKLOADS.kind},regarding.name={name}"
    events = await _listed(client, EVENTS.path(namespace), fieldSelector=about)
    pods = await _listed(client, PODS.path(namespace), labelSelector=f"{WORKLOAD_LABEL}={name}")
    return Traces(
        None if events is None else tuple(map(_told, events)),
        None if pods is None else tuple(map(_seen, pods)),
    )


async def _listed(client: KubeClient, path: str, **selectors: str) -> Sequence[JSON] | None:
    try:
        found = await client.request("GET", path, params={"limit": "500", **selectors})
    except ApiError as error:
        if error.status in _DENIED:
            return None
        raise
    return found.get("items") or ()


def _told(item: JSON) -> ToldEvent:
    """A series that was repeated was last seen later than it was made."""
    at = (item.get("series") or {}).get("lastObservedTime") or item.get("eventTime") or ""
    return ToldEvent(at[:19] + "Z" if at else "", item.get("reason") or "", item.get("note") or "")


def _seen(item: JSON) -> SeenPod:
    metadata, spec = item["metadata"], item.get("spec") or {}
    hint = (metadata.get("annotations") or {}).get(_HINT, "")
    return SeenPod(metadata["name"], spec.get("nodeName"), hint, has_our_gate(spec))
