"""Another MIG layout for a node, on a real API server, with a stand-in of mig-manager: never left cordoned."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from mfu.act.reshape import ReshapeTerms
from mfu.act.types import LayoutOrder
from mfu.api.names import decision_annotation
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.reshaping import RESHAPE, Reshaper
from mfu.cluster.resources import JSON, NODES, PODS
from tests.cluster.test_gate_kills_server import Cut, CutOff

pytestmark = pytest.mark.integration

SEVEN, HALVES = {"nvidia.com/mig-1g.10gb": 7}, {"nvidia.com/mig-3g.40gb": 2}
LAYOUTS = {"all-1g.10gb": SEVEN, "all-3g.40gb": HALVES}
SAID = decision_annotation("MIG")
CONFIG, STATE = "nvidia.com/mig.config", "nvidia.com/mig.config.state"
MERGE = "application/merge-patch+json"
TERMS = ReshapeTerms(drain_seconds=100.0, configure_seconds=100.0, allocatable_seconds=100.0)
_names = itertools.count()


@dataclass
class Manager:
    """mig-manager and device plugin of one node, as they act: pending and no slices, then success, then slices.

    It acts on the label alone, looks once a step, and fails with whoever still holds a GPU (ERROR_IN_USE).
    """

    client: KubeClient
    node: str
    fails: bool = False
    hangs: bool = False
    made: str = "all-1g.10gb"
    _next: list[dict[str, Any]] = field(default_factory=list)

    async def look(self) -> None:
        node = await self.client.get(NODES, self.node)
        wanted = node["metadata"]["labels"][CONFIG]
        if self._next:
            await self._show(**self._next.pop(0))
        elif wanted != self.made:
            self.made = wanted
            await self._show(state="pending", slices={})
            if self.hangs and wanted == "all-3g.40gb":
                return
            if self.fails and wanted == "all-3g.40gb":
                self._next = [{"state": "failed"}]
            else:
                self._next = [{"state": "success"}, {"slices": LAYOUTS[wanted]}]

    async def _show(self, *, state: str = "", slices: dict[str, int] | None = None) -> None:
        if state:
            body: JSON = {"metadata": {"labels": {STATE: state}}}
            await self.client.request("PATCH", NODES.path(name=self.node), body=body, content_type=MERGE)
        if slices is not None:
            gone: dict[str, Any] = dict.fromkeys((*SEVEN, *HALVES))
            shown = {**gone, **{name: str(count) for name, count in slices.items()}}
            path = NODES.path(name=self.node, subresource="status")
            body = {"status": {"capacity": shown, "allocatable": shown}}
            await self.client.request("PATCH", path, body=body, content_type=MERGE)


@dataclass
class Scene:
    client: KubeClient
    manager: Manager
    now: float = 1_800_000_000.0

    @property
    def name(self) -> str:
        return self.manager.node

    @property
    def asked(self) -> LayoutOrder:
        return LayoutOrder(self.name, "all-3g.40gb", HALVES, "team/w", f"give node {self.name} the layout all-3g.40gb")

    def reshaper(self, client: KubeClient | None = None) -> Reshaper:
        return Reshaper(client or self.client, clock=lambda: self.now, terms=TERMS)

    async def node(self) -> JSON:
        return await self.client.get(NODES, self.name)

    async def cordoned(self) -> bool:
        return bool((await self.node())["spec"].get("unschedulable"))

    async def until_done(self, *, steps: int = 60) -> str:
        """What is said at the end. A new operator in each step: nothing is kept but what stands on the node."""
        for _ in range(steps):
            await self.reshaper().step([])
            await self.manager.look()
            node = await self.node()
            if RESHAPE not in (node["metadata"].get("labels") or {}):
                assert not node["spec"].get("unschedulable"), "left cordoned"
                assert RESHAPE not in node["metadata"].get("annotations", {})
                return str(node["metadata"]["annotations"][SAID])
            self.now += 10.0
        raise AssertionError("it never ends")


@pytest_asyncio.fixture
async def scene(client: KubeClient) -> AsyncIterator[Scene]:
    name = f"reshaped-{next(_names)}"
    labels = {CONFIG: "all-1g.10gb", STATE: "success", "kept": "yes"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await client.create(NODES, node)
    made = Scene(client, Manager(client, name))
    await made.manager._show(slices=SEVEN)
    yield made
    await client.delete(NODES, name)


async def held(scene: Scene, space: str, name: str = "held", resource: str = "nvidia.com/mig-1g.10gb") -> None:
    """A pod that holds a slice there."""
    container = {"name": "c", "image": "none", "resources": {"limits": {resource: "1"} if resource else {}}}
    spec = {"nodeName": scene.name, "containers": [container], "terminationGracePeriodSeconds": 0}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "held"}}, "spec": spec}
    await scene.client.create(PODS, body, space)


async def test_a_layout_is_made_and_the_node_given_back(scene: Scene, space: str) -> None:
    await held(scene, space)
    await held(scene, space, "bystander", "")
    reshaper = scene.reshaper()
    await reshaper.step([scene.asked])
    assert reshaper.counts["Begun"] == 1
    begun = await scene.node()
    assert begun["spec"]["unschedulable"]
    assert begun["metadata"]["annotations"][SAID] == scene.asked.words
    assert await scene.until_done() == "all-3g.40gb is made"
    node = await scene.node()
    assert node["metadata"]["labels"] | {"kept": "yes", CONFIG: "all-3g.40gb"} == node["metadata"]["labels"]
    with pytest.raises(ApiError):
        await scene.client.get(PODS, "held", space)
    assert await scene.client.get(PODS, "bystander", space), "who holds no GPU stays"


async def test_a_failure_brings_the_old_layout_back(scene: Scene) -> None:
    scene.manager.fails = True
    await scene.reshaper().step([scene.asked])
    assert await scene.until_done() == "mig-manager failed to make all-3g.40gb; all-1g.10gb is made again"
    assert (await scene.node())["metadata"]["labels"][CONFIG] == "all-1g.10gb"


async def test_what_hangs_is_ended_in_time(scene: Scene) -> None:
    scene.manager.hangs = True
    await scene.reshaper().step([scene.asked])
    assert "was not made within 100 s" in await scene.until_done()


async def test_a_budget_keeps_its_pods_and_the_node_is_given_back_as_it_was(scene: Scene, space: str) -> None:
    await held(scene, space)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
    }
    await scene.client.request("POST", f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets", body=budget)
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    path = PODS.path(space, "held", "status")
    await scene.client.request("PATCH", path, body=running, content_type=MERGE)
    await scene.reshaper().step([scene.asked])
    assert await scene.until_done() == "1 pods did not leave within 100 s; nothing was changed"
    assert (await scene.node())["metadata"]["labels"][CONFIG] == "all-1g.10gb"
    assert await scene.client.get(PODS, "held", space)


async def test_one_node_at_a_time_and_none_that_somebody_cordoned(scene: Scene) -> None:
    body = {"spec": {"unschedulable": True}}
    await scene.client.request("PATCH", NODES.path(name=scene.name), body=body, content_type=MERGE)
    reshaper = scene.reshaper()
    await reshaper.step([scene.asked])
    assert (reshaper.counts["NotBegun"], reshaper.counts["Begun"]) == (1, 0)
    assert await scene.cordoned(), "theirs stays"
    await scene.client.request(
        "PATCH", NODES.path(name=scene.name), body={"spec": {"unschedulable": None}}, content_type=MERGE
    )
    await reshaper.step([scene.asked])
    other = LayoutOrder("elsewhere", "all-3g.40gb", HALVES, "team/w", "words")
    await reshaper.step([other])
    assert (reshaper.counts["Begun"], reshaper.counts["Failed"]) == (1, 0), "the other one is not even looked at"
    await scene.until_done()


async def test_without_the_lease_nothing_is_written(scene: Scene) -> None:
    reshaper = Reshaper(scene.client, may_write=lambda: False)
    await reshaper.step([scene.asked])
    assert reshaper.counts["HeldBack"] == 1
    assert not await scene.cordoned()


async def test_what_stands_on_it_and_is_not_known_ends(scene: Scene) -> None:
    body = {"metadata": {"labels": {RESHAPE: "going"}, "annotations": {RESHAPE: "{}"}}, "spec": {"unschedulable": True}}
    await scene.client.request("PATCH", NODES.path(name=scene.name), body=body, content_type=MERGE)
    assert "given back" in await scene.until_done()


@pytest.mark.prove(times=5)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("answered", [False, True])
async def test_killed_at_each_write_it_ends_whole(scene: Scene, space: str, fails: bool, answered: bool) -> None:
    """At its first write, at its second … until one gets through without being killed."""
    scene.manager.fails = fails
    await held(scene, space)
    for count in range(1, 12):
        async with CutOff(scene.client._connection) as dying:
            dying.cut = ("PATCH", answered, 1)
            try:
                for _ in range(3):
                    await scene.reshaper(dying).step([scene.asked] if count == 1 else [])
                    await scene.manager.look()
                    scene.now += 5.0
            except Cut:
                continue
    if RESHAPE in ((await scene.node())["metadata"].get("labels") or {}):
        await scene.until_done()
    elif not answered:
        # Killed before the first write each time: nothing was begun, nothing is changed.
        assert (await scene.node())["metadata"]["labels"][CONFIG] == "all-1g.10gb"
    assert not await scene.cordoned()
    node = await scene.node()
    assert node["metadata"]["labels"][STATE] == "success"
    assert node["metadata"]["labels"][CONFIG] in LAYOUTS
