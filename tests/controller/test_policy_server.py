"""MFUPolicy governs: the operator's own loop on a real API server, each effect seen where people see it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from mfu.api.names import GROUP, RECOMMENDED_AFFINITY_ANNOTATION, decision_annotation
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MFUPOLICIES, MODELWORKLOADS
from mfu.cluster.state import ClusterState
from mfu.cluster.writer import Writer
from mfu.controller.config import Cycle
from mfu.controller.loop import Loop, Trigger
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.snapshot import FleetReadings
from mfu.observe.readings import WorkloadSeries

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000.0
ADMISSION = decision_annotation("Admission")


class NoTelemetry:
    """Nothing is read: what a policy changes does not hang on readings."""

    def latest(self, now: float) -> FleetReadings:
        return FleetReadings()

    def series(
        self, pods: Iterable[tuple[str, str]], now: float, *, uids: Mapping[tuple[str, str], str]
    ) -> WorkloadSeries | None:
        return None

    def stands(self, *_: object, **__: object) -> bool:
        return False


class Stage:
    """One operator's loop, cycled by hand, and one namespace with a label of its own."""

    def __init__(self, server: ControlPlane, client: KubeClient, loop: Loop) -> None:
        self.server, self.client, self.loop = server, client, loop
        self.team = f"team-{secrets.token_hex(3)}"
        self.space = server.new_namespace("policy")
        server.kubectl("label", "namespace", self.space, f"team={self.team}")
        self._now = NOW
        self._policies: list[str] = []

    async def cycle(self) -> None:
        """One cycle on everything that the API server holds at this moment."""
        await self._caught_up()
        self._now += 1
        plan = await self.loop.cycle(self._now)
        state = self.loop.state
        await self.loop.writer.apply(plan, state.current(), state.report)
        await self._caught_up()

    async def _caught_up(self) -> None:
        """Until every informer has seen the newest version of what it watches."""
        async with asyncio.timeout(20):
            while not await self._same():
                await asyncio.sleep(0.02)

    async def knows(self, pod: str, node: str) -> None:
        """Until the operator's informers hold that pod of this namespace, and that node as ready."""
        state = self.loop.state
        async with asyncio.timeout(60):
            while f"{self.space}/{pod}" not in state.pods.objects or not self._ready(node):
                await asyncio.sleep(0.05)

    def _ready(self, name: str) -> bool:
        found = self.loop.state.nodes.objects.get(name)
        return found is not None and found.ready

    async def _same(self) -> bool:
        state = self.loop.state
        for informer, resource in ((state.workloads, MODELWORKLOADS), (state.policies, MFUPOLICIES)):
            items, _ = await self.client.list(resource)
            there = {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in items}
            if there != {view.uid: view.resource_version for view in informer.objects.values()}:
                return False
        return f"{self.space}/" in "".join(state.workloads.objects) or not self.loop.finished_at

    def policy(self, name: str, **spec: Any) -> str:
        """Apply a policy for this stage's namespace alone."""
        full = f"{name}-{self.team}"
        selected = {"namespaceSelector": {"matchLabels": {"team": self.team}}, **spec}
        document = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": full}}
        self.server.apply({**document, "spec": selected})
        self._policies.append(full)
        return full

    async def workload(self, name: str = "llama") -> dict[str, Any]:
        return await self.client.get(MODELWORKLOADS, name, self.space)

    async def decision(self, kind: str) -> dict[str, Any]:
        decisions = (await self.workload())["status"]["decisions"]
        return next(each for each in decisions if each["type"] == kind)

    async def policy_says(self, name: str) -> tuple[str, int, dict[str, str]]:
        """Summary, governed namespaces, and message by condition."""
        status = (await self.client.get(MFUPOLICIES, name))["status"]
        messages = {each["type"]: f"{each['status']}: {each['message']}" for each in status["conditions"]}
        return status["summary"], status["matchedNamespaces"], messages

    def close(self) -> None:
        self.server.kubectl("delete", "modelworkload,pod", "--all", "-n", self.space, "--force")
        if self._policies:
            self.server.kubectl("delete", "mfupolicy", *dict.fromkeys(self._policies), "--ignore-not-found")


def node(server: ControlPlane, name: str = "n0") -> None:
    status = {
        "allocatable": {"nvidia.com/gpu": "8", "pods": "20"},
        "capacity": {"nvidia.com/gpu": "8", "pods": "20"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Test"}],
    }
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "kubernetes.io/hostname": name}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    server.apply(body)
    server.kubectl(
        "patch", "node", name, "--subresource=status", "--type=merge", "-p", yaml.safe_dump({"status": status})
    )


def example() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    document["metadata"] = {"name": "llama"}
    document["spec"]["targetRef"] = {"apiVersion": "v1", "kind": "Pod", "name": "llama-0"}
    return document


def running_pod(server: ControlPlane, space: str) -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    spec = {"nodeName": "n0", "containers": [{"name": "train", "image": "none", **limits}]}
    server.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llama-0"}, "spec": spec}, namespace=space)


@pytest_asyncio.fixture
async def stage(api_server_only: ControlPlane) -> AsyncIterator[Stage]:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    node(api_server_only)
    async with KubeClient(connect(api_server_only.kubeconfig)) as client:
        trigger = Trigger(idle=0.1, longest=1, resync=5)
        state = ClusterState(client, changed=trigger.mark)
        loop = Loop(state, NoTelemetry(), Writer(client), OperatorMetrics(lambda: None), Cycle(), trigger)
        made = Stage(api_server_only, client, loop)
        api_server_only.apply(example(), namespace=made.space)
        informers = asyncio.create_task(state.run())
        await state.wait_synced()
        try:
            yield made
        finally:
            informers.cancel()
            await asyncio.gather(informers, return_exceptions=True)
            made.close()


async def test_without_a_policy_everything_is_recommended_and_nothing_has_a_price(stage: Stage) -> None:
    await stage.cycle()
    found = await stage.workload()
    assert {each["mode"] for each in found["status"]["decisions"]} == {"Recommend"}
    assert found["status"]["summary"]["costPerHour"] == "Unknown"
    assert ADMISSION in found["metadata"]["annotations"]


async def test_observe_stands_in_status_and_not_in_annotations(stage: Stage) -> None:
    await stage.cycle()
    assert ADMISSION in (await stage.workload())["metadata"]["annotations"]
    stage.policy("quiet", modes={"admission": "Observe", "placement": "Observe"})
    await stage.cycle()
    found = await stage.workload()
    modes = {each["type"]: each["mode"] for each in found["status"]["decisions"]}
    assert (modes["Admission"], modes["Placement"]) == ("Observe", "Observe")
    assert not {ADMISSION, RECOMMENDED_AFFINITY_ANNOTATION} & set(found["metadata"].get("annotations", {}))


async def test_a_selector_that_does_not_match_governs_nothing(stage: Stage) -> None:
    name = stage.policy("other", namespaceSelector={"matchLabels": {"team": "nobody"}}, modes={"admission": "Observe"})
    await stage.cycle()
    assert (await stage.decision("Admission"))["mode"] == "Recommend"
    summary, governed, messages = await stage.policy_says(name)
    assert (summary, governed) == ("Overruled", 0)
    assert "none matches" in messages["Ready"]


async def test_the_higher_priority_governs_then_the_first_by_name(stage: Stage) -> None:
    low = stage.policy("a-low", priority=1, modes={"admission": "Observe"})
    high = stage.policy("b-high", priority=2, modes={"admission": "Enforce"})
    await stage.cycle()
    assert (await stage.decision("Admission"))["mode"] == "Enforce"
    assert (await stage.policy_says(high))[:2] == ("InForce", 1)
    assert (await stage.policy_says(low))[:2] == ("Overruled", 0)
    stage.policy("a-low", priority=2, modes={"admission": "Observe"})
    await stage.cycle()
    assert (await stage.decision("Admission"))["mode"] == "Observe"
    stage.server.kubectl("delete", "mfupolicy", low, high)
    await stage.cycle()
    assert (await stage.decision("Admission"))["mode"] == "Recommend"


async def test_prices_are_reloaded_live(stage: Stage) -> None:
    running_pod(stage.server, stage.space)
    async with asyncio.timeout(20):
        while f"{stage.space}/llama-0" not in stage.loop.state.pods.objects:
            await asyncio.sleep(0.02)
    stage.policy("money", currency="€", prices=[{"product": "H100-SXM5", "perGPUHour": "2.50"}])
    await stage.cycle()
    assert (await stage.workload())["status"]["summary"]["costPerHour"] == "€20.00"
    stage.policy("money", currency="€", prices=[{"product": "H100-SXM5", "perGPUHour": "3.00"}])
    await stage.cycle()
    assert (await stage.workload())["status"]["summary"]["costPerHour"] == "€24.00"


@pytest.mark.parametrize(("percent", "outcome", "reason"), [(0, "Admit", "ExpectedNearAttainable"), (100, "Hold", "")])
async def test_floors_decide_admission(stage: Stage, percent: int, outcome: str, reason: str) -> None:
    slow = example()
    slow["spec"]["training"]["recompute"] = "Full"
    slow["spec"]["tunable"] = ["Recompute", "MicroBatch", "Layout"]
    stage.server.apply(slow, namespace=stage.space)
    stage.policy("floor", floors={"expectedOfAttainablePercent": percent})
    await stage.cycle()
    decided = await stage.decision("Admission")
    assert decided["outcome"] == outcome, decided
    assert decided["reason"] == (reason or "FarBelowAttainable")


async def test_an_invalid_policy_says_why_and_the_last_accepted_one_stays_in_force(stage: Stage) -> None:
    name = stage.policy("typo", modes={"admission": "Observe"})
    await stage.cycle()
    assert (await stage.policy_says(name))[0] == "InForce"
    stage.policy("typo", modes={"admission": "Enforce"}, prices=[{"product": "H1000-SXM", "perGPUHour": "1"}])
    await stage.cycle()
    summary, governed, messages = await stage.policy_says(name)
    assert (summary, governed) == ("Invalid", 1)
    assert messages["Accepted"].startswith("False: spec.prices[0].product is 'H1000-SXM', no known GPU product")
    assert "the last accepted spec stays in force" in messages["Ready"]
    assert (await stage.decision("Admission"))["mode"] == "Observe"
    stage.policy("typo", modes={"admission": "Enforce"}, prices=[])
    await stage.cycle()
    assert (await stage.policy_says(name))[0] == "InForce"
    assert (await stage.decision("Admission"))["mode"] == "Enforce"


async def test_a_policy_that_was_never_valid_changes_nothing(stage: Stage) -> None:
    bad = [{"product": "H1000-SXM", "perGPUHour": "1"}]
    name = stage.policy("never", modes={"admission": "Enforce"}, prices=bad)
    await stage.cycle()
    summary, governed, messages = await stage.policy_says(name)
    assert (summary, governed) == ("Invalid", 0)
    assert "no spec was accepted before" in messages["Ready"]
    assert (await stage.decision("Admission"))["mode"] == "Recommend"


async def test_cycles_without_news_change_no_version(stage: Stage) -> None:
    stage.policy("steady", prices=[{"product": "H100-SXM5", "perGPUHour": "2.50"}])
    await stage.cycle()
    await stage.cycle()

    async def versions() -> dict[str, str]:
        found: dict[str, str] = {}
        for resource in (MODELWORKLOADS, MFUPOLICIES):
            items, _ = await stage.client.list(resource)
            found |= {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in items}
        return found

    before = await versions()
    for _ in range(3):
        await stage.cycle()
    assert await versions() == before
