"""The chart as it first was, upgraded, rolled back and removed under load: no declaration waits for ever, no number is
unsaid, and what runs does not notice.

`data/mfu-operator-0.1.0-first.tgz` is the chart of 2026-11-22 with its definitions. Both releases run the operator of
this checkout: a container image of that day is not to be had.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.podrunner import LocalPod, find_pod

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

HERE = Path(__file__).parent
FIRST: Final = HERE / "data" / "mfu-operator-0.1.0-first.tgz"
PRESENT: Final = HERE.parents[1] / "charts" / "mfu-operator"
SPACE, RELEASE, DEPLOYMENT = "mfu-upgrade", "up", "deployment/up-mfu-operator"
COUNT, CHANGES_PER_SECOND = 40, 4.0
Helm = Callable[..., None]


@pytest.fixture
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    """Of its own: older definitions must not meet the objects of other tests."""
    with ControlPlane.start(progress=cluster_progress) as started:
        yield started


@pytest.fixture
def helm(plane: ControlPlane, cluster_progress: Progress) -> Helm:
    binary = ensure_binaries(["helm"], progress=cluster_progress)["helm"]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}

    def run(*arguments: str) -> None:
        command: list[str | Path] = [binary, *arguments, "--namespace", SPACE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr

    return run


@dataclass
class Load:
    """Declarations that change all the time, and every answer that was seen to be taken back."""

    plane: ControlPlane
    space: str
    changed: int = 0
    unsaid: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def declare(self) -> None:
        self.plane.apply(*(workload(f"w{number}") for number in range(COUNT)), namespace=self.space)

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.plane.get("mw", "-n", self.space)["items"]
        return found

    def all_answered(self) -> bool:
        items = self.items()
        return len(items) == COUNT and all(map(answered, items))

    @contextmanager
    def changing(self) -> Iterator[None]:
        ends = threading.Event()
        threads = [threading.Thread(target=each, args=(ends,), daemon=True) for each in (self._change, self._look)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            ends.set()
            for each in threads:
                each.join()

    def _change(self, ends: threading.Event) -> None:
        while not ends.wait(1.0 / CHANGES_PER_SECOND):
            name, batch = f"w{self.changed % COUNT}", 64 * (2 + self.changed % 7)
            patch = json.dumps({"spec": {"training": {"globalBatchSize": batch}}})
            self.plane.kubectl("patch", "mw", name, "-n", self.space, "--type=merge", "-p", patch)
            self.changed += 1

    def _look(self, ends: threading.Event) -> None:
        while not ends.wait(0.5):
            told = {each["metadata"]["uid"] for each in self.items() if expected(each)}
            self.unsaid += sorted(self._known - told)
            self._known |= told


def workload(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": name},
        "spec": {
            "mode": "Training",
            "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
            "model": {"preset": "llama-3.1-8b"},
            "accelerators": {"count": 8, "products": ["H100-SXM5"]},
            "training": {
                "sequenceLength": 4096,
                "globalBatchSize": 64,
                "parallelism": {"data": 8},
                "sharding": "ZeRO3",
                "recompute": "Full",
            },
        },
    }


def expected(item: dict[str, Any]) -> str:
    summary: dict[str, str] = item.get("status", {}).get("summary", {})
    return summary.get("expected", "")


def answered(item: dict[str, Any]) -> bool:
    says = item.get("status", {}).get("observedGeneration")
    return "%" in expected(item) and says == item["metadata"]["generation"]


def running_pod(plane: ControlPlane, space: str) -> str:
    """A pod that has nothing to do with the product; its uid once it runs."""
    container = {"name": "main", "image": "registry.example/idle:1"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "works-on"}, "spec": {"containers": [container]}}
    plane.apply(body, namespace=space)

    def uid() -> str | None:
        pod = plane.get("pod", "works-on", "-n", space)
        return str(pod["metadata"]["uid"]) if pod.get("status", {}).get("phase") == "Running" else None

    found = wait_until(uid, what="a pod that runs", within_seconds=60)
    assert found is not None
    return found


@contextmanager
def operator_of(plane: ControlPlane) -> Iterator[LocalPod]:
    with LocalPod.run(plane, find_pod(plane, DEPLOYMENT, namespace=SPACE, within_seconds=60)) as container:
        container.wait_ready()
        yield container


def wait_answered(load: Load, operator: LocalPod, what: str) -> None:
    try:
        wait_until(load.all_answered, what=what, within_seconds=180, every_seconds=1.0)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{operator.log_tail()}") from error


def settings(port: int) -> list[str]:
    values = {"config": {"server": {"host": "127.0.0.1", "port": port}, "cycle": {"warmUpSeconds": 0}}}
    return [flag for key, value in values.items() for flag in ("--set-json", f"{key}={json.dumps(value)}")]


@pytest.mark.prove(times=20)
def test_from_the_first_chart_to_this_one_and_back_under_load(plane: ControlPlane, helm: Helm) -> None:
    first, second = free_ports(2)
    helm("install", RELEASE, str(FIRST), "--create-namespace", *settings(first))
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n0", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }
    plane.apply(node)
    space = plane.new_namespace("load")
    load, works_on = Load(plane, space), running_pod(plane, space)
    load.declare()
    with operator_of(plane) as old:
        wait_answered(load, old, "an answer to every declaration")
        with load.changing():
            time.sleep(5.0)
            # As the provider's guide says; both pods run for a while, and the lease lets one of them write.
            helm("upgrade", RELEASE, str(PRESENT), "--reset-then-reuse-values", *settings(second))
            with operator_of(plane) as new:
                time.sleep(5.0)
                assert new.pid is not None
    with operator_of(plane) as alone:
        wait_answered(load, alone, "an answer to every change")
        assert "forbidden" not in alone.log.read_text().lower()
    assert load.changed >= 10
    assert load.unsaid == []

    with load.changing():
        helm("rollback", RELEASE, "1")
        with operator_of(plane):
            time.sleep(5.0)
    with operator_of(plane) as back:
        wait_answered(load, back, "an answer to every change after the way back")
    assert load.unsaid == []

    helm("uninstall", RELEASE)
    assert {each["metadata"]["name"] for each in load.items()} == {f"w{number}" for number in range(COUNT)}
    assert running_pod(plane, space) == works_on
