"""The product's own programs as child processes: the simulated fleet and the operator."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import ClusterAccess, wait_until
from e2e.cluster.ports import free_ports
from e2e.cluster.process import Child

MFU = Path(sys.executable).with_name("mfu")


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

    def break_telemetry(self, kind: str) -> None:
        """Switch a telemetry fault on for every exporter and workload (`refused`, `nan`, `error-500`, …)."""
        body = json.dumps({"kind": kind}).encode()
        request = urllib.request.Request(f"{self.url}/faults", data=body, method="POST")
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


class OperatorProcess:
    """`mfu operator` as a child process on a free port."""

    def __init__(self, cluster: ClusterAccess, folder: Path, settings: Mapping[str, Any], *, lease: str) -> None:
        (self.port,) = free_ports(1)
        config = folder / f"{lease}.yaml"
        document = {
            **settings,
            "cycle": {"idleSeconds": 0.5, "longestWaitSeconds": 2, "resyncSeconds": 10, "warmUpSeconds": 20},
            "server": {"host": "127.0.0.1", "port": self.port},
            "leaderElection": {"name": lease},
        }
        config.write_text(yaml.safe_dump(document))
        command: list[str | Path] = [MFU, "operator", f"--kubeconfig={cluster.kubeconfig}", f"--config={config}"]
        self.child = Child(lease, command, log=folder / f"{lease}.log", home=folder)

    def start(self, *, within_seconds: float = 60.0) -> None:
        """Start it; returns when /readyz answers 200, which is after its first cycle."""
        self.child.start()
        self.child.wait_ready(self.is_ready, within_seconds=within_seconds)

    def stop(self) -> None:
        """SIGTERM and a grace, as a pod's deletion."""
        self.child.stop(grace_seconds=15)

    def kill(self) -> None:
        """SIGKILL."""
        self.child.stop(grace_seconds=0)

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        try:
            with self._get("/readyz"):
                return True
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples that carry these labels, or None when there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        with self._get("/metrics") as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        values = [float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in wanted)]
        return sum(values) if values else None

    def wait_for_cycles(self, count: int, *, within_seconds: float = 60.0) -> None:
        """Return after that many more cycles have gone well."""
        before = self._cycles()
        wait_until(lambda: self._cycles() >= before + count, what="cycles", within_seconds=within_seconds)

    def _cycles(self) -> float:
        return self.metric("mfu_operator_cycles_total", result="ok") or 0.0

    def _get(self, path: str):  # type: ignore[no-untyped-def]
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5)
