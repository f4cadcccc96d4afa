"""Kueue's gate with the real Kueue: what a template is told behind it is what it counts, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers import kueue
from e2e.testbed.controllers.definitions import define_owners
from mfu.act.queue_gates import QueueRelease
from mfu.act.templates import TemplateHint
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.api.powers import ActionType
from mfu.cli.main import main
from mfu.cluster.client import KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.held import held_owner
from mfu.cluster.queue_gate import Ungated, gated_owner
from mfu.cluster.queue_keeper import QueueKeeper
from mfu.cluster.resources import JSON, RUNS_PODS
from mfu.cluster.templating import Templated
from mfu.engine.plan import Plan
from tests.builders.held import pods
from tests.e2e_cluster.operating import operating
from tests.e2e_cluster.test_controllers import QUEUE, QUEUE_LABEL, job, node

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

PRODUCT: Final = "nvidia.com/gpu.product"
H100: Final = "NVIDIA-H100-80GB-HBM3"
SLICE: Final = "nvidia.com/mig-1g.10gb"
RESOURCES: Final = ("nvidia.com/gpu", SLICE)
SLICES: Final = {
    "kueue.x-k8s.io/podset-slice-required-topology": "kubernetes.io/hostname",
    "kueue.x-k8s.io/podset-slice-size": "2",
}


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    frameworks = ("batch/job", "jobset.x-k8s.io/jobset", "trainer.kubeflow.org/trainjob")
    with ControlPlane.start(progress=cluster_progress) as started, ExitStack() as running:
        define_owners(started, watched=True)
        gates = ("AdmissionGatedBy=true",)
        running.enter_context(kueue.running(started, gates=gates, frameworks=frameworks, progress=cluster_progress))
        # Three GPUs a node: two groups of two do not fit on one, and one node holds half of another.
        for name in ("n0", "n1"):
            made = node(name, 3)
            made["metadata"]["labels"][PRODUCT] = H100
            for kind in ("allocatable", "capacity"):
                made["status"][kind][SLICE] = "7"
            started.apply(made)
        started.apply(_kueue("Topology", "hosts", {"levels": [{"nodeLabel": "kubernetes.io/hostname"}]}))
        started.apply(_kueue("ResourceFlavor", "h100", {"nodeLabels": {PRODUCT: H100}, "topologyName": "hosts"}))
        quota = [{"name": each, "nominalQuota": 16} for each in RESOURCES]
        group = {"coveredResources": list(RESOURCES), "flavors": [{"name": "h100", "resources": quota}]}
        started.apply(_kueue("ClusterQueue", "gpus", {"namespaceSelector": {}, "resourceGroups": [group]}))
        yield started


def _kueue(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": QUEUE, "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def space(plane: ControlPlane) -> Iterator[str]:
    name = plane.new_namespace()
    local = _kueue("LocalQueue", "gpus", {"clusterQueue": "gpus"})
    plane.apply({**local, "metadata": {"name": "gpus", "namespace": name}})
    yield name
    plane.kubectl("delete", "job,jobset,trainjob", "--all", "-n", name, "--wait=false")
    wait_until(lambda: not plane.get("pods", "-n", name)["items"], what="its GPUs free again", within_seconds=60)


def submit(plane: ControlPlane, space: str, pods: int = 1, gate: str = PLACEMENT_GATE) -> None:
    made = job("a", space, 1, **{QUEUE_LABEL: "gpus"})
    made["metadata"]["annotations"] = {QUEUE_GATE_ANNOTATION: gate}
    made["spec"] |= {"parallelism": pods, "completions": pods}
    plane.apply(made)


async def until(what: str, check: Callable[[], Any], within_seconds: float = 60.0) -> Any:
    return await asyncio.to_thread(wait_until, check, what=what, within_seconds=within_seconds)


def the_workload(plane: ControlPlane, space: str) -> JSON:
    items = plane.get("workloads.kueue.x-k8s.io", "-n", space)["items"]
    return items[0] if items else {}


def condition(plane: ControlPlane, space: str) -> tuple[str, str]:
    """Status and reason of its quota."""
    conditions = (the_workload(plane, space).get("status") or {}).get("conditions") or ()
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == "QuotaReserved"), ("", ""))


async def gated(plane: ControlPlane, space: str, kind: str = "Job") -> JSON:
    """The owner once Kueue says that its gate holds it."""
    await until("the gate in force", lambda: condition(plane, space) == ("False", "AdmissionGated"))
    found: JSON = plane.get(kind.lower(), "-n", space, "a")
    return found


def suspended(plane: ControlPlane, space: str, kind: str = "Job") -> bool:
    return bool(plane.get(kind.lower(), "-n", space, "a")["spec"]["suspend"])


async def tell(client: KubeClient, item: JSON, kind: ActionType, change: dict[str, Any]) -> Executor:
    """The hint first, then the gate, as two cycles do it."""
    owner = held_owner(item["kind"])(item)
    assert owner is not None
    assert owner.gated
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(Plan(hints=(TemplateHint(owner, "team/a", kind, "told", change),)))
    assert executor.hinted[Templated.WRITTEN] == 1
    due = QueueRelease(owner.namespace, owner.kind, "a", owner.uid, "team/a", "told")
    await executor.apply(Plan(queue_releases=(due,)))
    assert executor.ungated[Ungated.UNGATED] == 1
    return executor


async def test_what_belongs_together_is_placed_together(plane: ControlPlane, client: KubeClient, space: str) -> None:
    """Four pods on two nodes of three GPUs: Kueue by itself puts three on one; asked for slices, two on each."""
    submit(plane, space, pods=4)
    await tell(client, await gated(plane, space), ActionType.TOPOLOGY_ANNOTATION, {"annotations": SLICES})
    await until("the Job to start", lambda: not suspended(plane, space))
    asked = the_workload(plane, space)["spec"]["podSets"][0]["topologyRequest"]
    assert (asked["podSetSliceRequiredTopology"], asked["podSetSliceSize"]) == ("kubernetes.io/hostname", 2)

    def hosts() -> list[str] | None:
        found = [each["spec"].get("nodeName") for each in plane.get("pods", "-n", space)["items"]]
        return sorted(found) if len(found) == 4 and all(found) else None

    assert await until("its pods to have nodes", hosts) == ["n0", "n0", "n1", "n1"]


async def test_what_is_asked_for_behind_the_gate_is_what_kueue_counts(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    submit(plane, space)
    await tell(client, await gated(plane, space), ActionType.MIG_RESOURCE, {"resource": SLICE})
    await until("the Job to start", lambda: not suspended(plane, space))
    (assigned,) = the_workload(plane, space)["status"]["admission"]["podSetAssignments"]
    assert assigned["resourceUsage"] == {SLICE: "1"}


async def test_without_the_gate_it_is_too_late(plane: ControlPlane, client: KubeClient, space: str) -> None:
    """What has its quota is not told any more: it runs as it is."""
    submit(plane, space, gate="")
    item = plane.get("job", "-n", space, "a")
    await until("the Job to start", lambda: not suspended(plane, space))
    owner = held_owner("Job")(item)
    if owner is not None:
        executor = Executor(client, dict, lambda *_: None)
        hint = TemplateHint(owner, "team/a", ActionType.TOPOLOGY_ANNOTATION, "told", {"annotations": SLICES})
        await executor.apply(Plan(hints=(hint,)))
        assert executor.hinted[Templated.NOT_HELD] == 1


async def test_the_gate_of_somebody_else_holds_it_on(plane: ControlPlane, client: KubeClient, space: str) -> None:
    submit(plane, space, gate=f"a.example/b,{PLACEMENT_GATE}")
    item = await gated(plane, space)
    plan = Plan(queue_releases=(QueueRelease(space, "Job", "a", item["metadata"]["uid"], "team/a", "told"),))
    await Executor(client, dict, lambda *_: None).apply(plan)
    assert plane.get("job", "-n", space, "a")["metadata"]["annotations"][QUEUE_GATE_ANNOTATION] == "a.example/b"
    await asyncio.sleep(1.0)
    assert suspended(plane, space)
    plane.kubectl("annotate", "job", "a", "-n", space, f"{QUEUE_GATE_ANNOTATION}-")
    await until("the Job to start", lambda: not suspended(plane, space))


async def test_nobody_puts_our_name_on_afterwards(plane: ControlPlane, client: KubeClient, space: str) -> None:
    submit(plane, space, gate="a.example/b")
    with pytest.raises(KubectlFailed, match="can only remove gates"):
        plane.kubectl(
            *("annotate", "job", "a", "-n", space, "--overwrite"),
            f"{QUEUE_GATE_ANNOTATION}=a.example/b,{PLACEMENT_GATE}",
        )


async def test_with_no_operator_the_keeper_frees_it_at_its_deadline(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    submit(plane, space)
    await gated(plane, space)
    keeper = QueueKeeper(client)
    informer, *_ = keeper.informers()
    running = asyncio.create_task(informer.run())
    try:
        await informer.synced.wait()
        await keeper.round(informer.objects.values(), {space: 3600.0}, lambda: True)
        assert suspended(plane, space)
        await keeper.round(informer.objects.values(), {space: 0.0}, lambda: True)
    finally:
        running.cancel()
    await until("the Job to start", lambda: not suspended(plane, space))


async def test_with_both_dead_it_is_freed_by_hand(plane: ControlPlane, client: KubeClient, space: str) -> None:
    submit(plane, space)
    await gated(plane, space)
    arguments = ("release", "--jobs", "--kubeconfig", str(plane.kubeconfig), "-n", space)
    assert await asyncio.to_thread(main, (*arguments, "--all", "--dry-run")) == 0
    assert gated_owner("Job")(await client.get(RUNS_PODS["job"], "a", space)) is not None
    assert await asyncio.to_thread(main, (*arguments, "a")) == 0
    await until("the Job to start", lambda: not suspended(plane, space))


RUNTIME: Final = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainingRuntime",
    "metadata": {"name": "torch-distributed"},
}


def whole(kind: str) -> list[JSON]:
    """Four pods of one GPU behind our gate, as a JobSet or as a TrainJob with its runtime."""
    metadata = {"name": "a", "labels": {QUEUE_LABEL: "gpus"}, "annotations": {QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}}
    if kind == "JobSet":
        part = {"name": "node", "template": {"spec": {"parallelism": 4, "completions": 4, "template": pods(1)}}}
        spec = {"suspend": True, "replicatedJobs": [part]}
        return [{"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": kind, "metadata": metadata, "spec": spec}]
    labels = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    part = {"name": "node", "template": {"metadata": {"labels": labels}, "spec": {"template": pods(0)}}}
    runtime = {**RUNTIME, "spec": {"mlPolicy": {"numNodes": 4}, "template": {"spec": {"replicatedJobs": [part]}}}}
    trainer = {"numNodes": 4, "resourcesPerNode": {"limits": {"nvidia.com/gpu": "1"}}}
    spec = {"suspend": True, "runtimeRef": {"name": "torch-distributed", "kind": "TrainingRuntime"}, "trainer": trainer}
    return [runtime, {"apiVersion": RUNTIME["apiVersion"], "kind": kind, "metadata": metadata, "spec": spec}]


@pytest.mark.parametrize("kind", ["JobSet", "TrainJob"])
async def test_jobsets_and_trainjobs_are_told_behind_it_too(
    plane: ControlPlane, client: KubeClient, space: str, kind: str
) -> None:
    plane.apply(*whole(kind), namespace=space)
    item = await gated(plane, space, kind)
    assert suspended(plane, space, kind)
    await tell(client, item, ActionType.TOPOLOGY_ANNOTATION, {"annotations": SLICES})
    await until("it to be taken up", lambda: not suspended(plane, space, kind))
    asked = the_workload(plane, space)["spec"]["podSets"][0]["topologyRequest"]
    assert (asked["podSetSliceRequiredTopology"], asked["podSetSliceSize"]) == ("kubernetes.io/hostname", 2)
    now = plane.get(kind.lower(), "-n", space, "a")
    now["spec"]["suspend"], now["status"] = True, {}
    owner = held_owner(kind)(now)
    assert owner is not None
    assert owner.says({"annotations": SLICES}), "Kueue adds its own words beside ours"


async def test_with_no_operator_they_are_freed_as_well(plane: ControlPlane, client: KubeClient, space: str) -> None:
    """By the keeper at its deadline, and by hand."""
    plane.apply(*whole("TrainJob"), namespace=space)
    item = await gated(plane, space, "TrainJob")
    owner = gated_owner("TrainJob")(item)
    assert owner is not None
    await QueueKeeper(client).round([owner], {space: 0.0}, lambda: True)
    await until("the TrainJob to be taken up", lambda: not suspended(plane, space, "TrainJob"))
    plane.kubectl("delete", "trainjob", "a", "-n", space)
    await until("its Workload gone", lambda: not the_workload(plane, space))
    plane.apply(*whole("JobSet"), namespace=space)
    await gated(plane, space, "JobSet")
    arguments = ("release", "--jobs", "--kubeconfig", str(plane.kubeconfig), "-n", space)
    assert await asyncio.to_thread(main, (*arguments, "a")) == 0
    await until("the JobSet to be taken up", lambda: not suspended(plane, space, "JobSet"))


def declared(name: str) -> dict[str, Any]:
    """A tensor group of two in pods of one GPU."""
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": "llama-3.2-1b"},
        "accelerators": {"count": 2, "products": ["H100-SXM5"]},
        "training": {"sequenceLength": 4096, "globalBatchSize": 8, "parallelism": {"tensor": 2}},
        "tunable": [],
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": name}, "spec": spec}


async def test_a_whole_operator_lets_start_what_it_may_not_tell(
    plane: ControlPlane, space: str, tmp_path: Path
) -> None:
    """No keeper runs: it is the operator that takes our name off, and says why."""
    # It may tell templates, and this policy does not let it.
    action, modes = {"type": "TopologyAnnotation"}, {"placement": "Recommend"}
    with operating(plane, tmp_path, modes=modes, action=action, kueue={"enabled": True}):
        plane.apply(declared("a"), namespace=space)
        submit(plane, space, pods=2)
        await until("the Job to start", lambda: not suspended(plane, space), within_seconds=120.0)

        def told() -> list[str]:
            events = plane.get("events.events.k8s.io", "-n", space)["items"]
            return [each["note"] for each in events if each.get("reason") == "GateOpened"]

        (note,) = await until("its event", told, within_seconds=60.0)
    assert note == "Kueue may look at it as it is: modes.placement is Recommend, not Enforce"
