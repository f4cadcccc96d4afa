"""Objects that the stories put on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from e2e.testbed.cluster import ClusterAccess, wait_until

REPOSITORY = Path(__file__).parents[2]
GPUS_PER_NODE = 8
UNKNOWN_NODE, AGENT_NODE = "mfu-story-x900", "mfu-story-gpus"
STORY_NODES = (UNKNOWN_NODE, AGENT_NODE)


def install_definitions(cluster: ClusterAccess) -> None:
    """The custom resource definitions, ready for use."""
    cluster.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    cluster.wait_established()


def example(name: str) -> dict[str, Any]:
    """A document of `examples/`."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "examples" / f"{name}.yaml").read_text())
    return document


def training_workload(name: str) -> dict[str, Any]:
    """A sound ModelWorkload of eight H100 for the Job of the same name."""
    document = example("dense-training")
    document["metadata"]["name"] = name
    document["spec"]["targetRef"]["name"] = name
    return document


def training_job(name: str, *, mfu: float = 0.4, node: str | None = None) -> dict[str, Any]:
    """A Job of one pod on eight GPUs (of `node` where one is named); the simulator lets it reach `mfu`."""
    container = {"name": "train", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(GPUS_PER_NODE)}}}
    annotations = {
        "sim.mfu.gpuaas.io/mode": "Training",
        "sim.mfu.gpuaas.io/mfu": str(mfu),
        "sim.mfu.gpuaas.io/model": "llama-3.1-8b",
        "sim.mfu.gpuaas.io/sequence-length": "8192",
    }
    selector = {"kubernetes.io/hostname": node} if node else {}
    template = {
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [container], "nodeSelector": selector},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def fake_node(name: str, *, gpus: int = 0, product: str | None = None) -> dict[str, Any]:
    """A node that KWOK plays, apart from the simulated fleet's."""
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    labels = {"kubernetes.io/hostname": name}
    if product:
        labels |= {"nvidia.com/gpu.product": product, "nvidia.com/gpu.present": "true"}
    metadata = {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    status = {"allocatable": resources, "capacity": resources}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


def status_of(cluster: ClusterAccess, name: str, namespace: str) -> dict[str, Any]:
    """Status of a ModelWorkload; empty before the operator has written any."""
    found: dict[str, Any] = cluster.get("modelworkload", name, "-n", namespace).get("status", {})
    return found


def fleet_report(cluster: ClusterAccess) -> dict[str, Any]:
    """Status of the FleetReport; empty before the operator has written any."""
    reports = cluster.get("fleetreports")["items"]
    found: dict[str, Any] = reports[0].get("status", {}) if reports else {}
    return found


def summary_says(cluster: ClusterAccess, name: str, namespace: str, *fields: str) -> bool:
    """Whether all these fields of the status summary are known."""
    summary = status_of(cluster, name, namespace).get("summary", {})
    return all(summary.get(field, "Unknown") != "Unknown" for field in fields)


def wait_running(cluster: ClusterAccess, job: str, namespace: str, *, within_seconds: float = 30.0) -> str:
    """The name of the Job's pod, once it runs on a node."""

    def running() -> str | None:
        pods = cluster.get("pods", "-n", namespace, "-l", f"job-name={job}")["items"]
        bound = [pod for pod in pods if pod["status"].get("phase") == "Running" and pod["spec"].get("nodeName")]
        return str(bound[0]["metadata"]["name"]) if bound else None

    found = wait_until(running, what=f"running pod of Job {job}", within_seconds=within_seconds)
    assert found is not None
    return found


def run_workload(cluster: ClusterAccess, name: str, namespace: str) -> None:
    """Declare it, start its Job and see it run."""
    cluster.apply(training_workload(name), training_job(name), namespace=namespace)
    wait_running(cluster, name, namespace)


def wait_observed(cluster: ClusterAccess, name: str, namespace: str) -> None:
    """Until expected and observed MFU are said."""
    wait_until(
        lambda: summary_says(cluster, name, namespace, "expected", "observed"),
        what=f"expected and observed MFU of {name}",
        within_seconds=90,
    )


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of a status; empty when it is not there."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def objects(cluster: ClusterAccess, *kinds: str) -> dict[str, Any]:
    """Every object of these kinds in all namespaces, whole, by kind, namespace and name."""
    items = cluster.get(",".join(kinds), "-A")["items"]
    return {
        f"{item['kind']}/{item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item for item in items
    }


def changes(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, one line a place."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [line for key in keys for line in changes(before.get(key), after.get(key), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [line for index, (old, new) in pairs for line in changes(old, new, f"{path}[{index}]")]
    return [] if before == after else [f"{path}: {before!r} -> {after!r}"]
