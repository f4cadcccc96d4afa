"""Tells a held owner's pod template where to go, in one patch: words and deed together, of exactly what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from mfu.act.templates import ANNOTATIONS, RESOURCE, SELECTOR, TemplateHint
from mfu.api.names import decision_annotation
from mfu.api.powers import ActionType
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.held import (
    PATCH_MANAGER,
    TRAINER_PART,
    TemplateAt,
    gpus_of,
    held_owner,
    patched_template,
    templates_of,
)
from mfu.cluster.json_patch import annotated, as_read, operation, step
from mfu.cluster.projection import is_gpu
from mfu.cluster.queue_topology import ask_slices, takes_hosts
from mfu.cluster.resources import JSON, runs_pods
from mfu.decide.types import DecisionType

_ANNOTATION: Final = decision_annotation(DecisionType.PLACEMENT)


class Templated(StrEnum):
    """What became of one hint."""

    WRITTEN = "Written"
    ALREADY = "Already"
    """It says so, whoever wrote it."""
    GONE = "Gone"
    """There is no such object any more, it is going, or another one has its name."""
    NOT_HELD = "NotHeld"
    """It was taken up meanwhile: it runs as it is."""
    OWN_WORDS = "OwnWords"
    """Its template says something else itself."""
    NO_TOPOLOGY = "NoTopology"
    """A flavor of its queue knows no hosts: asked for them, Kueue would never admit it."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


async def tell(client: KubeClient, asked: TemplateHint, *, may_write: Callable[[], bool]) -> Templated:
    """Reads the owner, then patches exactly what was read. Raises ApiError, ServerUnreachable."""
    owner = asked.owner
    path = runs_pods(owner.kind).path(owner.namespace, owner.name)
    try:
        item = await client.request("GET", path)
        done = _done(item, asked)
        if done is not None:
            return done
        sliced = asked.type is ActionType.TOPOLOGY_ANNOTATION
        if sliced and not await takes_hosts(client, item):
            return Templated.NO_TOPOLOGY
        if not may_write():
            return Templated.HELD_BACK
        if sliced and not await ask_slices(client, item, asked.change[ANNOTATIONS]):
            return Templated.NOT_HELD
        await client.request("PATCH", path, body=patch_of(item, asked), content_type=JSON_PATCH)
    except ApiError as error:
        if error.status == 404:
            return Templated.GONE
        raise
    return Templated.WRITTEN


def _done(item: JSON, asked: TemplateHint) -> Templated | None:
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp") or metadata["uid"] != asked.owner.uid:
        return Templated.GONE
    now = held_owner(asked.owner.kind)(item)
    if now is None or now.queued != asked.owner.queued:
        return Templated.NOT_HELD
    if now.says(asked.change):
        return Templated.ALREADY
    return Templated.OWN_WORDS if now.against(asked.change) else None


def patch_of(item: JSON, asked: TemplateHint) -> list[JSON]:
    """Tests first: that it is this object, as it was read."""
    metadata, kind = item["metadata"], asked.owner.kind
    deeds = _runtime_patch(item, asked.change) if kind == "TrainJob" else _template_patch(item, kind, asked.change)
    return [
        *as_read(metadata),
        annotated(metadata, _ANNOTATION, asked.words),
        *deeds,
    ]


def _template_patch(item: JSON, kind: str, change: Mapping[str, Any]) -> Iterator[JSON]:
    for at in templates_of(item, kind):
        spec, metadata = at.template.get("spec") or {}, at.template.get("metadata")
        yield from _added(spec, f"{at.pointer}/spec", SELECTOR, change.get(SELECTOR))
        if change.get(ANNOTATIONS) and metadata is None:
            yield operation("add", f"{at.pointer}/metadata", {})
        yield from _added(metadata or {}, f"{at.pointer}/metadata", ANNOTATIONS, change.get(ANNOTATIONS))
        if change.get(RESOURCE):
            yield from _resized(at, change[RESOURCE])


def _added(parent: JSON, pointer: str, name: str, wanted: Mapping[str, str] | None) -> Iterator[JSON]:
    """Keys beside those that are there."""
    known = parent.get(name) or {}
    if wanted and not known:
        yield operation("add", f"{pointer}/{name}", dict(wanted))
    elif wanted:
        lacking = ((key, value) for key, value in wanted.items() if key not in known)
        yield from (operation("add", f"{pointer}/{name}/{step(key)}", value) for key, value in lacking)


def _resized(at: TemplateAt, resource: str) -> Iterator[JSON]:
    """Another name for the devices that a container asks for, in as many."""
    if resource in gpus_of(at.template):
        return
    for index, container in enumerate(at.template["spec"]["containers"]):
        for part, amounts in (container.get("resources") or {}).items():
            for name in filter(is_gpu, amounts if isinstance(amounts, dict) else ()):
                pointer = f"{at.pointer}/spec/containers/{index}/resources/{part}"
                yield {"op": "remove", "path": f"{pointer}/{step(name)}"}
                yield operation("add", f"{pointer}/{step(resource)}", amounts[name])


def _runtime_patch(item: JSON, change: Mapping[str, Any]) -> Iterator[JSON]:
    """Our entry of runtimePatches, made or made anew; those of other managers stay."""
    entries = item["spec"].get("runtimePatches") or []
    index = next((place for place, each in enumerate(entries) if each.get("manager") == PATCH_MANAGER), None)
    before = patched_template({} if index is None else entries[index])
    known = {name: (before.get(part) or {}).get(name) or {} for part, name in _PARTS}
    merged = {
        part: {name: {**known[name], **(change.get(name) or {})}}
        for part, name in _PARTS
        if known[name] or change.get(name)
    }
    jobs = [{"name": TRAINER_PART, "template": {"spec": {"template": merged}}}]
    said = {"template": {"spec": {"replicatedJobs": jobs}}}
    if index is not None:
        yield operation("test", f"/spec/runtimePatches/{index}/manager", PATCH_MANAGER)
        yield operation("add", f"/spec/runtimePatches/{index}/trainingRuntimeSpec", said)
    else:
        entry = {"manager": PATCH_MANAGER, "trainingRuntimeSpec": said}
        place = ("/spec/runtimePatches/-", entry) if entries else ("/spec/runtimePatches", [entry])
        yield operation("add", *place)


_PARTS: Final = (("spec", SELECTOR), ("metadata", ANNOTATIONS))
