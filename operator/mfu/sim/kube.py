"""The simulator's link to a cluster: it makes the nodes and follows the pods that the scheduler binds to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.informer import Informer
from mfu.cluster.resources import NODES, PODS
from mfu.hardware.labels import MIG_PREFIX
from mfu.sim.fleet import NoRoom, SimFleet
from mfu.sim.inventory import GPU_RESOURCE, NodeSpec
from mfu.sim.manifests import MANAGER, node_manifest, node_status
from mfu.sim.pods import SimPod
from mfu.sim.progress import replant
from mfu.sim.truth import IDLE, InvalidPlan, Truth, from_annotations

log = logging.getLogger(__name__)

_RUNNING: Final = ("Pending", "Running")
_AT_ONCE: Final = 32

Plan = Mapping[str, Truth]
"""Truth by `namespace/owner`: for workloads whose pods carry no annotations."""


async def create_nodes(client: KubeClient, nodes: Iterable[NodeSpec]) -> None:
    """Make or update the nodes, with what the scheduler may hand out."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(node: NodeSpec) -> None:
        async with limit:
            await client.apply(NODES, node_manifest(node), manager=MANAGER)
            await client.merge(NODES, node.name, node_status(node), subresource="status")

    await asyncio.gather(*(one(node) for node in nodes))


async def delete_nodes(client: KubeClient, nodes: Iterable[NodeSpec]) -> None:
    """Take the nodes away again; one that is gone already is fine."""
    for node in nodes:
        try:
            await client.delete(NODES, node.name)
        except ApiError as error:
            if error.status != 404:
                raise


class PodFollower:
    """Keeps the fleet's pods in step with the cluster's."""

    def __init__(
        self,
        client: KubeClient,
        fleet: SimFleet,
        *,
        plan: Plan | None = None,
        adjust: Callable[[SimPod], Truth] = lambda pod: pod.truth,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fleet = fleet
        self._plan = plan or {}
        self._changed, self._clock, self._adjust = changed, clock, adjust
        self._seen: dict[str, SimPod] = {}
        self._refused: dict[str, str] = {}
        self.informer: Informer[SimPod] = Informer(client, PODS, self._project, changed=self._reconcile)

    async def run(self) -> None:
        await self.informer.run()

    def _project(self, pod: dict[str, Any]) -> SimPod | None:
        if pod["spec"].get("nodeName") not in self._fleet.nodes:
            return None
        try:
            found = sim_pod(pod, self._plan)
            return None if found is None else replace(found, truth=self._adjust(found))
        except InvalidPlan as error:
            log.warning("pod=%s/%s is simulated idle: %s", pod["metadata"]["namespace"], pod["metadata"]["name"], error)
            return sim_pod({**pod, "metadata": {**pod["metadata"], "annotations": {}}}, {})

    def _reconcile(self) -> None:
        wanted = with_distance(self.informer.objects)
        for key in [key for key in self._fleet.pods if key not in wanted]:
            self._fleet.remove(key)
        for pod in sorted(wanted.values(), key=lambda pod: (pod.started, pod.key)):
            before = self._seen.get(pod.key)
            if pod.key in self._fleet.pods and before is not None:
                self._update(before, pod)
            else:
                self._place(pod)
        self._seen = dict(wanted)
        self._changed()

    def _update(self, before: SimPod, pod: SimPod) -> None:
        if before == pod:
            return
        if replace(before, truth=pod.truth) == pod:
            replant(self._fleet, pod.key, pod.truth, self._clock())
            return
        self._fleet.remove(pod.key)
        self._place(pod)

    def _place(self, pod: SimPod) -> None:
        try:
            self._fleet.place(pod)
        except (NoRoom, InvalidPlan) as error:
            if self._refused.get(pod.key) != str(error):
                log.warning("pod=%s is not simulated: %s", pod.key, error)
            self._refused[pod.key] = str(error)


def with_distance(pods: Mapping[str, SimPod]) -> dict[str, SimPod]:
    """Pods of a workload that lie on several nodes run as their truth says for that."""
    nodes: dict[str, set[str | None]] = defaultdict(set)
    for pod in pods.values():
        nodes[pod.workload].add(pod.node)
    return {
        key: replace(pod, truth=pod.truth.scattered) if len(nodes[pod.workload]) > 1 else pod
        for key, pod in pods.items()
    }


def sim_pod(pod: Mapping[str, Any], plan: Plan) -> SimPod | None:
    """What matters of a Pod object; None where it holds no GPU now. Raises InvalidPlan."""
    metadata, spec = pod["metadata"], pod["spec"]
    if pod.get("status", {}).get("phase", "Pending") not in _RUNNING:
        return None
    held = _gpu_request(spec)
    if held is None:
        return None
    container, resource, count = held
    owner = owner_name(metadata)
    annotated = from_annotations(metadata.get("annotations") or {})
    truth = annotated if annotated is not IDLE else plan.get(f"{metadata['namespace']}/{owner}", IDLE)
    started = datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00")).timestamp()
    return SimPod(
        metadata["namespace"], metadata["name"], owner, truth, count, resource, spec["nodeName"], container, started
    )


def owner_name(metadata: Mapping[str, Any]) -> str:
    """Job or Deployment that the pod belongs to; its own name where it has no controller."""
    owners = [owner for owner in metadata.get("ownerReferences", ()) if owner.get("controller")]
    if not owners:
        return str(metadata["name"])
    name = str(owners[0]["name"])
    template_hash = (metadata.get("labels") or {}).get("pod-template-hash")
    return name.removesuffix(f"-{template_hash}") if template_hash else name


def _gpu_request(spec: Mapping[str, Any]) -> tuple[str, str, int] | None:
    for container in spec["containers"]:
        resources = container.get("resources") or {}
        asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        for resource, count in asked.items():
            if resource == GPU_RESOURCE or resource.startswith(MIG_PREFIX):
                return str(container["name"]), str(resource), int(count)
    return None
