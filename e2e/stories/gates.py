"""What the stories of the gate play with: an operator and a keeper as processes with their own accounts' rights."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from e2e.stories.programs import MFU, NAMESPACE, RELEASE, SYSTEM_NODE, SimulatedFleet
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.credentials import write_kubeconfig
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.proxy import Call, Proxy
from e2e.testbed.warm import Forked
from mfu.api.names import GATE_LABEL, PLACEMENT_GATE, WORKLOAD_LABEL, decision_annotation

DEADLINE_SECONDS: Final = 20
SLACK_SECONDS: Final = 15.0
"""For the scheduler, KWOK and a busy machine, beyond the deadline."""
PODS, GPUS_A_POD = 4, 2
OPERATOR_ACCOUNT: Final = f"{RELEASE}-mfu-operator"
SAID: Final = decision_annotation("Placement")
_CYCLE: Final = {"idleSeconds": 0.3, "longestWaitSeconds": 1, "resyncSeconds": 5, "warmUpSeconds": 5}


@dataclass(slots=True)
class Gates:
    """A cluster with the chart's gate, fences and accounts; nothing of ours runs yet."""

    stage: Stage
    fleet: SimulatedFleet
    started: int = 0
    """Operators so far."""

    @property
    def plane(self) -> ControlPlane:
        return self.stage.plane

    def namespace(self) -> str:
        """A fresh one that opted in."""
        name = self.plane.new_namespace("gated")
        self.plane.kubectl("label", "namespace", name, f"{GATE_LABEL}=enabled")
        return name

    @contextmanager
    def operator(self, *, standby: bool = False) -> Iterator[Running]:
        """An operator behind a proxy, with the rights that the chart gives it.

        Unless it is a standby it need not wait for the lease of one that was killed.
        """
        (port,) = free_ports(1)
        self.started += 1
        name = f"operator-{self.started}"
        if not standby:
            self.plane.delete("lease", "mfu-operator", "-n", NAMESPACE)
        file = self.settings(name, port, cycle=_CYCLE)
        with self._program(name, OPERATOR_ACCOUNT, "operator", f"--config={file}") as made:
            made.port = port
            yield made

    def settings(self, name: str, port: int, **more: Any) -> Path:
        """The configuration file of an operator that may open gates."""
        config = {
            **self.fleet.operator_settings(),
            "server": {"host": "127.0.0.1", "port": port},
            "actions": ["RequiredAffinity"],
            "leaderElection": {"namespace": NAMESPACE},
            **more,
        }
        file = self.stage.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    def kubeconfig(self, name: str, account: str, proxy: Proxy) -> Path:
        """With the account's rights, through the proxy."""
        token = self.plane.kubectl("create", "token", account, "-n", NAMESPACE, "--duration=6h").strip()
        file = self.stage.folder / f"{name}.kubeconfig"
        write_kubeconfig(file, url=proxy.url, token=token, ca_file=self.plane.ca_file)
        return file

    @contextmanager
    def keeper(self) -> Iterator[Running]:
        """The release keeper with its own account."""
        (port,) = free_ports(1)
        arguments = ("release", "--expired", "--watch", f"--lease-namespace={NAMESPACE}", f"--health-port={port}")
        with self._program("keeper", f"{OPERATOR_ACCOUNT}-keeper", *arguments) as made:
            made.port = port
            yield made

    @contextmanager
    def _program(self, name: str, account: str, *arguments: str) -> Iterator[Running]:
        with Proxy(self.plane.url, self.plane.ca_file).run() as proxy:
            command: list[str | Path] = [MFU, *arguments, f"--kubeconfig={self.kubeconfig(name, account, proxy)}"]
            child = Child(name, command, log=self.stage.folder / f"{name}.log", home=self.stage.folder)
            child.start()
            try:
                yield Running(child, proxy)
            finally:
                child.stop()


@dataclass(slots=True)
class Running:
    """One program of ours, and the proxy through which it speaks to the API server."""

    child: Child | Forked
    proxy: Proxy
    port: int = 0

    def kill(self) -> bool:
        """SIGKILL, from whichever thread; False where it had ended by itself."""
        if (pid := self.child.pid) is None:
            return False
        os.killpg(pid, signal.SIGKILL)
        return True

    def kill_at(self, step: Step) -> None:
        """End it when it takes this step."""
        seen: list[Call] = []

        def watch(call: Call) -> bool:
            if len(seen) == step.count:
                # What was under way beside it was never sent.
                return False
            if call.method == step.method and "/pods/" in call.path and call.answered is step.answered:
                seen.append(call)
                if len(seen) == step.count:
                    self.kill()
                    return False
            return True

        self.proxy.watcher = watch

    @property
    def patched_pods(self) -> int:
        return sum(1 for call in self.proxy.calls if call.method == "PATCH" and "/pods/" in call.path)

    def wait_ready(self) -> None:
        self.child.wait_ready(self.answers, within_seconds=90)

    def answers(self) -> bool:
        """Whether it says now that it is ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                return True
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Step:
    """A request about single pods, by its method: the `count`-th, before it goes or after it was done."""

    method: str
    answered: bool = False
    count: int = 1


def values() -> dict[str, Any]:
    """Of the chart, with everything of the gate switched on."""
    return {
        "config": {"actions": ["RequiredAffinity"]},
        "gating": {"enabled": True},
        "keeper": {"enabled": True, "replicas": 1, "nodeSelector": {"kubernetes.io/hostname": SYSTEM_NODE}},
        "operator": {"nodeSelector": {"kubernetes.io/hostname": SYSTEM_NODE}},
    }


def policy(*, deadline_seconds: int = DEADLINE_SECONDS, **permit: Any) -> dict[str, Any]:
    spec = {
        "namespaceSelector": {"matchLabels": {GATE_LABEL: "enabled"}},
        "priority": 100,
        "modes": {"placement": "Enforce"},
        "gate": {"deadlineSeconds": deadline_seconds},
        "actions": [{"type": "RequiredAffinity", "minConfidencePercent": 30, "maxPerMinute": 1000, **permit}],
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": "gated"}, "spec": spec}


def workload(name: str) -> dict[str, Any]:
    """Eight H100 with a tensor group of eight: they belong onto one node."""
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": PODS * GPUS_A_POD, "products": ["H100-SXM5"]},
        "training": {"sequenceLength": 4096, "globalBatchSize": 64, "parallelism": {"tensor": 8}},
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": name}, "spec": spec}


def job(name: str, nodes: Mapping[str, str]) -> dict[str, Any]:
    """Four pods of two GPUs for nodes with these labels; labelled itself, so that the chart's policy gates them."""
    container = {"name": "train", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(GPUS_A_POD)}}}
    template = {
        "metadata": {"labels": {WORKLOAD_LABEL: name}},
        "spec": {"restartPolicy": "Never", "containers": [container], "nodeSelector": dict(nodes)},
    }
    spec = {"parallelism": PODS, "completions": PODS, "completionMode": "Indexed", "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def pods_of(plane: ControlPlane, name: str, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plane.get("pods", "-n", namespace, "-l", f"job-name={name}")["items"]
    return found


def started(
    plane: ControlPlane, name: str, namespace: str, nodes: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Declare it and start its Job; returns once all of its pods are there."""
    plane.apply(workload(name), job(name, nodes), namespace=namespace)
    found = wait_until(
        lambda: here if len(here := pods_of(plane, name, namespace)) == PODS else None, what=f"pods of {name}"
    )
    assert found is not None
    return found


def all_running(plane: ControlPlane, name: str, namespace: str, *, within_seconds: float) -> list[dict[str, Any]]:
    """Its pods once all of them run."""

    def running() -> list[dict[str, Any]] | None:
        here = pods_of(plane, name, namespace)
        return here if len(here) == PODS and all(pod["status"].get("phase") == "Running" for pod in here) else None

    found = wait_until(running, what=f"all pods of {name} running", within_seconds=within_seconds)
    assert found is not None
    return found


def hinted(pod: dict[str, Any]) -> bool:
    """Whether it has the hint; fails where it has only a part of it, or still our gate."""
    affinity = pod["spec"].get("affinity")
    words = pod["metadata"].get("annotations", {}).get(SAID)
    assert PLACEMENT_GATE not in json_gates(pod)
    assert (affinity is None) == (words is None), f"half a hint: {affinity} {words}"
    return affinity is not None


def json_gates(pod: dict[str, Any]) -> list[str]:
    return [gate["name"] for gate in pod["spec"].get("schedulingGates", [])]


def left_seconds(since: float, deadline_seconds: float = DEADLINE_SECONDS) -> float:
    """Until pods that were made then must run, at the latest."""
    return since + deadline_seconds + SLACK_SECONDS - time.monotonic()


def cleared(gates: Gates, name: str, namespace: str) -> None:
    """Leaves the GPUs to whoever comes next."""
    gates.plane.delete("job,modelworkload", name, "-n", namespace)
    gates.plane.delete("pods", "--all", "-n", namespace)
    wait_until(lambda: not pods_of(gates.plane, name, namespace), what=f"{name} gone", within_seconds=60)
