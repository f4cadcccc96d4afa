"""Two operators side by side on a real API server, each with its namespaces: both speak, and never of the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.credentials import write_kubeconfig
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.proxy import Proxy
from tests.builders.kube import install_definitions, training

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]
LONGEST_SECONDS: Final = 120.0
SHARDS: Final = {"east": ("east-1", "east-2"), "west": ("west-1",)}
WHOLE: Final = "east"
"""Who speaks of policies and of devices that nobody holds."""
GPUS: Final = 8


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    """Of its own: two operators speak of everything that is there."""
    with ControlPlane.start(
        scheduler=False, controller_manager=False, kwok=False, progress=cluster_progress
    ) as started:
        install_definitions(started)
        yield started


@dataclass(frozen=True)
class RunningShard:
    """One operator of its namespaces, and the proxy through which it speaks to the API server."""

    name: str
    proxy: Proxy

    def written(self) -> set[str]:
        """Paths of the objects that it changed."""
        return {each.path for each in self.proxy.calls if each.method in ("PATCH", "PUT")}


@contextmanager
def operating(plane: ControlPlane, folder: Path, name: str) -> Iterator[RunningShard]:
    (port,) = free_ports(1)
    selector = {"matchLabels": {"shard": name}}
    config = {
        "server": {"host": "127.0.0.1", "port": port},
        "leaderElection": {"namespace": "default"},
        "shard": {"name": name, "namespaceSelector": selector, "wholeCluster": name == WHOLE},
        "cycle": {"warmUpSeconds": 0},
        "dcgm": {"enabled": False},
        "progress": {"enabled": False},
    }
    (file := folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    with Proxy(plane.url, plane.ca_file).run() as proxy:
        kubeconfig = folder / f"{name}.kubeconfig"
        write_kubeconfig(kubeconfig, url=proxy.url, token=plane.token, ca_file=plane.ca_file)
        command: list[str | Path] = [sys.executable, "-m", "mfu", "operator", f"--kubeconfig={kubeconfig}"]
        child = Child(name, [*command, f"--config={file}"], log=plane.logs_dir / f"{name}.log", home=folder)
        child.start()
        try:
            yield RunningShard(name, proxy)
        finally:
            child.stop()


def fill(plane: ControlPlane) -> None:
    """A node of eight GPUs, and in each namespace a workload of which one pod runs on one of them."""
    units = {"nvidia.com/gpu": str(GPUS), "pods": "20"}
    ready = [{"type": "Ready", "status": "True", "reason": "Test"}]
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0", "labels": labels}})
    status = {"allocatable": units, "capacity": units, "conditions": ready}
    plane.kubectl(
        "patch", "node", "n0", "--subresource=status", "--type=merge", "-p", yaml.safe_dump({"status": status})
    )
    prices = {"namespaceSelector": {}, "prices": [{"product": "H100-SXM5", "perGPUHour": "2.00"}]}
    plane.apply(
        {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": "p"}, "spec": prices}
    )
    for name, spaces in SHARDS.items():
        for space in spaces:
            metadata = {"name": space, "labels": {"shard": name}}
            plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            plane.apply(training("llama"), pod(), namespace=space)


def pod() -> dict[str, Any]:
    owners = [{"apiVersion": "batch/v1", "kind": "Job", "name": "llama", "uid": "u"}]
    limits = {"limits": {"nvidia.com/gpu": "1"}}
    spec = {"nodeName": "n0", "containers": [{"name": "main", "image": "train:1", "resources": limits}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llama-0", "ownerReferences": owners}, "spec": spec}


def answered(plane: ControlPlane, space: str) -> bool:
    """Does the workload's status answer what it declares now?"""
    item = plane.get("mw", "llama", "-n", space)
    return bool((item.get("status") or {}).get("observedGeneration") == item["metadata"]["generation"])


def declare_anew(plane: ControlPlane, space: str, batch: int) -> None:
    patch = yaml.safe_dump({"spec": {"training": {"globalBatchSize": batch}}})
    plane.kubectl("patch", "mw", "llama", "-n", space, "--type=merge", "-p", patch)


def reported(plane: ControlPlane) -> Mapping[str, Any]:
    """Totals and namespaces by report, once both stand."""
    items = plane.get("fleetreports")["items"]
    found = {each["metadata"]["name"]: each.get("status") or {} for each in items}
    return found if len(found) == len(SHARDS) and all(each.get("totals") for each in found.values()) else {}


def test_two_shards_speak_each_of_its_own(plane: ControlPlane, tmp_path: Path) -> None:
    fill(plane)
    spaces = [space for each in SHARDS.values() for space in each]
    with ExitStack() as running:
        shards = [running.enter_context(operating(plane, tmp_path, name)) for name in SHARDS]

        def all_said() -> bool:
            return all(answered(plane, space) for space in spaces)

        wait_until(all_said, what="answer to every workload", within_seconds=LONGEST_SECONDS)
        for space in spaces:
            declare_anew(plane, space, 2048)
        wait_until(all_said, what="answer to every change", within_seconds=LONGEST_SECONDS)
        reports = wait_until(lambda: reported(plane), what="report of each", within_seconds=LONGEST_SECONDS)
        policy = wait_until(lambda: plane.get("mfupolicy", "p").get("status"), what="word of the policy")
        by_name = {each.name: each.written() for each in shards}
        # A namespace that goes to the other shard is spoken of by that one.
        plane.kubectl("label", "namespace", "east-2", "shard=west", "--overwrite")
        declare_anew(plane, "east-2", 4096)
        wait_until(lambda: answered(plane, "east-2"), what="answer of the other shard", within_seconds=LONGEST_SECONDS)
    assert not by_name["east"] & by_name["west"]
    for name, mine in SHARDS.items():
        others = {space for space in spaces if space not in mine}
        assert not [path for path in by_name[name] for space in others if f"/{space}/" in path]
        assert any(f"/{mine[0]}/" in path for path in by_name[name])
        namespaces = {each["namespace"] for each in reports[f"fleet-{name}"]["namespaces"]}
        assert namespaces == set(mine)
    leases = {each["metadata"]["name"] for each in plane.get("leases", "-n", "default")["items"]}
    assert {f"mfu-operator-{name}" for name in SHARDS} <= leases
    # Each device is in one report, and what nobody holds in that of the shard that speaks of the whole cluster.
    totals = {name: float(each["totals"]["gpus"]) for name, each in reports.items()}
    assert totals == {"fleet-east": GPUS - 1.0, "fleet-west": 1.0}
    assert policy["matchedNamespaces"] >= len(spaces)
