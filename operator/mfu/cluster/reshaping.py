"""Takes nodes through a change of their MIG layout, one at a time, by what is written on them.

How far a node is stands on the node itself, in the same patch as each step: an operator that is killed between any two
requests, or one that follows another, goes on where it was. Every way through ends with the node uncordoned.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mfu.act.reshape import (
    NodeOrder,
    NodeShown,
    NodeVerb,
    Reshape,
    ReshapePhase,
    ReshapeTerms,
    begun,
    proceeded,
    read_back,
    written,
)
from mfu.act.types import LayoutOrder
from mfu.api.names import GROUP, decision_annotation
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.json_patch import operation, put, step
from mfu.cluster.projection import requested
from mfu.cluster.resources import JSON, NODES, PODS
from mfu.decide.fleet.mig.relayout import STATE_LABEL
from mfu.decide.types import DecisionType
from mfu.hardware.labels import MIG_CONFIG_LABEL, MIG_PREFIX
from mfu.hardware.slices import quantity

log = logging.getLogger(__name__)

RESHAPE: Final = f"{GROUP}/reshape"
"""Label of nodes that are on their way, and the annotation that says how far."""
_SAID: Final = decision_annotation(DecisionType.MIG)
_OVER: Final = frozenset({"Succeeded", "Failed"})
_UNKNOWN: Final = "nothing that is known was written on it; it is given back as it is"
RESHAPES: Final = ("Begun", "Ended", "NotBegun", "HeldBack", "Failed")


@dataclass(slots=True)
class Reshaper:
    """`step(asked)` brings every node that is on its way one step on, and begins one where none is."""

    client: KubeClient
    may_write: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time
    terms: ReshapeTerms = field(default_factory=ReshapeTerms)
    counts: Counter[str] = field(default_factory=Counter)
    """Nodes by what became of them (RESHAPES), since start."""

    async def step(self, asked: Sequence[LayoutOrder]) -> None:
        """Errors of one node are counted and hold up no other."""
        try:
            going = await self._list(f"{NODES.path()}?labelSelector={RESHAPE}")
        except (ApiError, ServerUnreachable) as error:
            self.counts["Failed"] += 1
            log.warning("reshape nodes are not listed: %s", error)
            return
        for node in going:
            await self._tried(node["metadata"]["name"], lambda node=node: self._proceed(node))  # type: ignore[misc]
        if not going and asked:
            await self._tried(asked[0].node, lambda: self._begin(asked[0]))

    async def _tried(self, name: str, deed: Callable[[], Any]) -> None:
        if not self.may_write():
            self.counts["HeldBack"] += 1
            return
        try:
            await deed()
        except (ApiError, ServerUnreachable) as error:
            self.counts["Failed"] += 1
            log.warning("reshape node=%s error=%s", name, error)

    async def _begin(self, asked: LayoutOrder) -> None:
        node = await self.client.get(NODES, asked.node)
        shown = _shown(node, await self._gpu_pods(asked.node))
        answer = begun(shown, node=asked.node, config=asked.config, wanted=asked.wanted, now=self.clock())
        if isinstance(answer, str):
            self.counts["NotBegun"] += 1
            log.info("reshape node=%s not begun: %s", asked.node, answer)
            return
        await self._write(node, answer, NodeOrder(NodeVerb.CORDON), words=asked.words)
        self.counts["Begun"] += 1
        log.info("reshape node=%s: %s", asked.node, asked.words)

    async def _proceed(self, node: JSON) -> None:
        name = node["metadata"]["name"]
        going = read_back((node["metadata"].get("annotations") or {}).get(RESHAPE, ""))
        if going is None or going.node != name:
            await self._give_back(node, _UNKNOWN)
            return
        pods = await self._gpu_pods(name)
        after, order = proceeded(going, _shown(node, pods), self.clock(), self.terms)
        if after.phase in (ReshapePhase.UNCORDON, ReshapePhase.DONE):
            await self._give_back(node, after.outcome)
            return
        if after != going or (order is not None and order.verb is not NodeVerb.EVICT):
            await self._write(node, after, order)
        if order is not None and order.verb is NodeVerb.EVICT:
            for pod in pods:
                await self._evict(pod)

    async def _write(self, node: JSON, going: Reshape, order: NodeOrder | None, *, words: str = "") -> None:
        said = {_SAID: words} if words else {}
        changes = [
            *put(node["metadata"], "annotations", {RESHAPE: written(going), **said}),
            *put(node["metadata"], "labels", {RESHAPE: "going"}),
        ]
        if order is not None and order.verb is NodeVerb.CORDON:
            changes.append(operation("add", "/spec/unschedulable", True))
        if order is not None and order.verb is NodeVerb.LABEL:
            changes.append(operation("add", f"/metadata/labels/{step(MIG_CONFIG_LABEL)}", order.config))
        await self.client.change_as_read(NODES, node["metadata"], changes)

    async def _give_back(self, node: JSON, outcome: str) -> None:
        await give_back(self.client, node, outcome)
        self.counts["Ended"] += 1

    async def _evict(self, pod: JSON) -> None:
        """429: a budget does not let it go yet. It is asked again."""
        named = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}
        body["deleteOptions"] = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            await self.client.request("POST", PODS.path(named["namespace"], named["name"], "eviction"), body=body)
        except ApiError as error:
            if error.status not in (404, 409, 429):
                raise

    async def _gpu_pods(self, node: str) -> list[JSON]:
        pods = await self._list(f"{PODS.path()}?fieldSelector=spec.nodeName%3D{node}")
        return [
            each
            for each in pods
            if (each.get("status") or {}).get("phase") not in _OVER and requested(each.get("spec") or {})
        ]

    async def _list(self, path: str) -> list[JSON]:
        return list((await self.client.request("GET", path)).get("items") or ())


async def give_back(client: KubeClient, node: JSON, outcome: str) -> None:
    """Uncordoned, with how it ended, in one patch that also ends it. Raises ApiError, ServerUnreachable."""
    metadata = node["metadata"]
    changes = [operation("add", "/spec/unschedulable", False), *put(metadata, "annotations", {_SAID: outcome})]
    for kind in ("annotations", "labels"):
        if RESHAPE in (metadata.get(kind) or {}):
            changes.append({"op": "remove", "path": f"/metadata/{kind}/{step(RESHAPE)}"})
    await client.change_as_read(NODES, metadata, changes)
    log.info("reshape node=%s ended: %s", metadata["name"], outcome)


def _shown(node: JSON, pods: Sequence[JSON]) -> NodeShown:
    labels = node["metadata"].get("labels") or {}
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return NodeShown(
        schedulable=not (node.get("spec") or {}).get("unschedulable", False),
        gpu_pods=len(pods),
        config=labels.get(MIG_CONFIG_LABEL, ""),
        state=labels.get(STATE_LABEL, ""),
        allocatable={
            name: count
            for name, amount in allocatable.items()
            if name.startswith(MIG_PREFIX) and (count := quantity(amount))
        },
    )
