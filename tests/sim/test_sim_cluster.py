"""`mfu sim` on a real API server: its nodes take pods, its endpoint follows them, and it leaves nothing behind."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.waiting import wait_until
from mfu.sim.truth import PREFIX

pytestmark = pytest.mark.integration

SIMULATED = "sim.mfu.gpuaas.io/simulated"
NODES = "H100-SXM5=1,H100-SXM5:1g.10gb=1"


class Simulator:
    def __init__(self, cluster, folder: Path):
        self.truth_file, self._url_file = folder / "truth.json", folder / "url"
        command = [
            *(sys.executable, "-c", "from mfu.cli.main import run; run()", "sim", "--nodes", NODES),
            *("--kubeconfig", cluster.kubeconfig, "--port", "0"),
            *("--truth-file", self.truth_file, "--url-file", self._url_file),
        ]
        self.child = Child("mfu sim", command, log=folder / "sim.log", home=folder)

    def __enter__(self):
        self.child.start()
        self.child.wait_ready(self._url_file.exists, within_seconds=30)
        self.url = self._url_file.read_text().strip()
        return self

    def __exit__(self, *_):
        self.child.stop(grace_seconds=10)

    def truth(self):
        return json.loads(self.truth_file.read_text())["workloads"]

    def page(self, path):
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
            return answer.read().decode()


def job(namespace, name, resource, count, **planted):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "template": {
                "metadata": {"annotations": {PREFIX + key.replace("_", "-"): value for key, value in planted.items()}},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {SIMULATED: "true"},
                    "containers": [
                        {"name": "main", "image": "none", "resources": {"limits": {resource: str(count)}}},
                    ],
                },
            }
        },
    }


def simulated_nodes(cluster):
    found = cluster.get("nodes", "-l", f"{SIMULATED}=true")["items"]
    return {each["metadata"]["name"]: each["status"]["allocatable"] for each in found}


def test_pods_of_the_real_scheduler_are_simulated(control_plane, tmp_path: Path) -> None:
    with Simulator(control_plane, tmp_path) as simulator:
        nodes = simulated_nodes(control_plane)
        assert nodes["h100-sxm5-00"]["nvidia.com/gpu"] == "8"
        assert nodes["h100-sxm5-mig-00"]["nvidia.com/mig-1g.10gb"] == "56"

        namespace = control_plane.new_namespace("sim")
        control_plane.apply(
            job(namespace, "train", "nvidia.com/gpu", 8, mfu="0.4", model="llama-3.1-8b"),
            job(namespace, "slice", "nvidia.com/mig-1g.10gb", 1, mfu="0.3", model="llama-3.2-1b"),
            job(namespace, "idle", "nvidia.com/mig-1g.10gb", 1),
        )
        names = [f"{namespace}/{name}" for name in ("idle", "slice", "train")]
        wait_until(lambda: sorted(simulator.truth()) == names, what="three simulated workloads", within_seconds=120)
        (pod,) = simulator.truth()[names[2]]["pods"]

        assert f'namespace="{namespace}",pod="{pod}"' in simulator.page("/nodes/h100-sxm5-00/metrics")
        assert "train_tokens_total" in simulator.page(f"/pods/{namespace}/{pod}/metrics")
        assert simulator.truth()[names[0]]["cause"] == "IdleAllocation"

        control_plane.kubectl("delete", "job", "train", "-n", namespace, "--wait=false")
        wait_until(lambda: names[2] not in simulator.truth(), what="the deleted job gone from the simulation")
        assert f'pod="{pod}"' not in simulator.page("/nodes/h100-sxm5-00/metrics")

    assert simulated_nodes(control_plane) == {}
