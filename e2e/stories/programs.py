"""The product's own programs as child processes: the simulated fleet and the operator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from e2e.testbed.cluster import ClusterAccess, wait_until
from e2e.testbed.cluster.process import Child
from e2e.testbed.podrunner import LocalPod, find_pod

MFU = Path(sys.executable).with_name("mfu")
READER = "story-metrics-reader"
CHART = Path(__file__).parents[2] / "charts" / "mfu-operator"
RELEASE, NAMESPACE = "mfu", "mfu-system"
SYSTEM_NODE = "mfu-story-system"
_QUICK = {"idleSeconds": 0.5, "longestWaitSeconds": 2, "resyncSeconds": 10, "warmUpSeconds": 20}


class SimulatedFleet:
    """`mfu sim` on a cluster: its nodes, and one HTTP endpoint for all their telemetry."""

    def __init__(self, cluster: ClusterAccess, folder: Path, *, nodes: str) -> None:
        self._url_file = folder / "sim.url"
        self.truth_file = folder / "truth.json"
        command: list[str | Path] = [
            MFU,
            "sim",
            f"--kubeconfig={cluster.kubeconfig}",
            f"--nodes={nodes}",
            "--port=0",
            f"--url-file={self._url_file}",
            f"--truth-file={self.truth_file}",
        ]
        self.child = Child("mfu-sim", command, log=folder / "sim.log", home=folder)

    @property
    def url(self) -> str:
        """Base URL of its endpoint."""
        return self._url_file.read_text().strip()

    def start(self) -> None:
        """Start it; returns when its nodes are there and its endpoint serves."""
        self.child.start()
        self.child.wait_ready(lambda: self._url_file.exists() and bool(self.url))

    def stop(self) -> None:
        """End it, its nodes included."""
        self.child.stop(grace_seconds=20)

    def break_telemetry(self, kind: str, *, target: str = "") -> None:
        """Switch a telemetry fault on (`refused`, `nan`, …) for a node, a `namespace/pod`, or everything."""
        self._faults("POST", json.dumps({"kind": kind, "target": target}).encode())

    def mend_telemetry(self) -> None:
        """Switch all telemetry faults off."""
        self._faults("DELETE", None)

    def _faults(self, method: str, body: bytes | None) -> None:
        request = urllib.request.Request(f"{self.url}/faults", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10):
            return

    def operator_settings(self) -> dict[str, Any]:
        """Where an operator finds this fleet's telemetry."""
        return {
            "dcgm": {
                "urlTemplate": f"{self.url}/nodes/{{node}}/metrics",
                "scrapeIntervalSeconds": 2,
                "collectionIntervalSeconds": 2,
            },
            "progress": {
                "urlTemplate": f"{self.url}/pods/{{namespace}}/{{pod}}/metrics",
                "scrapeIntervalSeconds": 2,
            },
        }


def operator_values(settings: Mapping[str, Any], *, port: int) -> dict[str, Any]:
    """Values of the chart for an operator with these settings, quick and on loopback."""
    config = {**settings, "cycle": _QUICK, "server": {"host": "127.0.0.1", "port": port}}
    return {"config": config, "operator": {"nodeSelector": {"kubernetes.io/hostname": SYSTEM_NODE}}}


def helm_install(cluster: ClusterAccess, helm: Path, folder: Path, values: Mapping[str, Any]) -> None:
    """`helm install` of the checkout's chart. Definitions that are there already become the release's."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    arguments: list[str | Path] = [helm, "install", RELEASE, CHART, "--take-ownership", "--create-namespace"]
    _helm(cluster, *arguments, f"--values={file}")


def helm_uninstall(cluster: ClusterAccess, helm: Path) -> None:
    """`helm uninstall`; nothing where there is no release."""
    _helm(cluster, helm, "uninstall", RELEASE, "--ignore-not-found")


def _helm(cluster: ClusterAccess, *command: str | Path) -> None:
    done = subprocess.run(
        [*command, f"--namespace={NAMESPACE}"],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def metrics_reader(cluster: ClusterAccess) -> Iterator[str]:
    """A token of an account that may read the operator's metrics, as a Prometheus has it."""
    role = f"{RELEASE}-mfu-operator-metrics-reader"
    account = {"kind": "ServiceAccount", "name": READER, "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": READER, "namespace": NAMESPACE}})
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": READER},
            "subjects": [account],
            "roleRef": reference,
        }
    )
    yield cluster.kubectl("create", "token", READER, "-n", NAMESPACE).strip()
    cluster.kubectl("delete", "clusterrolebinding", READER, "--ignore-not-found")


class InstalledOperator:
    """The operator as Helm installs it: the chart's Deployment, its pod run here with its own arguments and rights."""

    def __init__(self, pod: LocalPod, *, port: int, token: str) -> None:
        self.pod = pod
        self._port = port
        self._token = token

    @classmethod
    @contextmanager
    def run(cls, cluster: ClusterAccess, folder: Path, *, port: int) -> Iterator[InstalledOperator]:
        """Run the pod of the release that `helm_install` made; ready when the block begins."""
        pod = find_pod(cluster, f"deployment/{RELEASE}-mfu-operator", namespace=NAMESPACE, bound=True)
        with LocalPod.run(cluster, pod, log=folder / "operator.log") as running, metrics_reader(cluster) as token:
            running.wait_ready()
            yield cls(running, port=port, token=token)

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples that carry these labels, or None when there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if re.split("[{ ]", line)[0] == name]
        values = [float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in wanted)]
        return sum(values) if values else None

    def wait_for_cycles(self, count: int, *, within_seconds: float = 60.0) -> None:
        """Return after that many more cycles have gone well."""
        before = self._cycles()
        wait_until(lambda: self._cycles() >= before + count, what="cycles", within_seconds=within_seconds)

    def _cycles(self) -> float:
        return self.metric("mfu_operator_cycles_total", result="ok") or 0.0
