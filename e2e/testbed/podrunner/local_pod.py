"""A pod's container as a child process, watched by its probes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.cluster.process import end_group, spawn
from e2e.testbed.podrunner.access import mounts_token, write_pod_kubeconfig
from e2e.testbed.podrunner.environment import command_line, environment
from e2e.testbed.podrunner.fields import Document, only_container
from e2e.testbed.podrunner.health import Health
from e2e.testbed.podrunner.volumes import mount_all

_TICK_SECONDS = 0.1


class PodFailed(RuntimeError):
    """The container ended or a probe failed for good; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is started for a pod: everything resolved, nothing running yet."""

    command: list[str]
    environment: dict[str, str]
    container: Document
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class NodeStandIn:
    """What the pod's node would give to it: folders by their path there, variables that its runtime adds."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def plan(cluster: ClusterAccess, pod: Document, *, folder: Path, node: NodeStandIn | None = None) -> Plan:
    """Resolve command, environment, files and rights of a pod, writing files below `folder`.

    Raises UnsupportedField for what the runner does not do, KubectlFailed for a config map or secret that is missing.
    """
    node = node or NodeStandIn()
    container = only_container(pod)
    mounts = mount_all(cluster, pod, container, root=folder / "volumes", host_paths=node.folders)
    given = environment(cluster, pod, container)
    command = command_line(container, given)
    return Plan(
        command=[command[0], *map(mounts.rewrite, command[1:])],
        environment={
            **_machine(cluster, pod, container, folder),
            **node.environment,
            **{name: mounts.rewrite(value) for name, value in given.items()},
        },
        container=container,
        grace_seconds=pod["spec"].get("terminationGracePeriodSeconds", 30),
    )


class LocalPod:
    """The one container of a pod, running on this machine. It is never restarted by itself: a test must see that."""

    def __init__(self, plan: Plan, *, log: Path) -> None:
        self.plan = plan
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._health = Health(plan.container)
        self._stopping = threading.Event()
        self._prober: threading.Thread | None = None

    @classmethod
    @contextmanager
    def run(
        cls,
        cluster: ClusterAccess,
        pod: Document,
        *,
        node: NodeStandIn | None = None,
        log: Path | None = None,
    ) -> Iterator[LocalPod]:
        """Start the pod's container for the length of the `with` block; `log` is where its output shall stay."""
        with tempfile.TemporaryDirectory(prefix="mfu-pod-") as name:
            folder = Path(name)
            made = plan(cluster, pod, folder=folder, node=node)
            running = cls(made, log=log or folder / "container.log")
            running.start()
            try:
                yield running
            finally:
                running.stop()

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def ready(self) -> bool:
        """Whether it runs and its readiness probe holds."""
        return self.pid is not None and self._health.ready

    @property
    def failure(self) -> str | None:
        """Why it failed (ended by itself, start-up or liveness probe), or None."""
        if self._process is not None and not self._stopping.is_set() and self._process.poll() is not None:
            return f"container ended with {self._process.returncode}"
        return self._health.failure

    def start(self) -> None:
        """Start the container, with fresh probes; does nothing while it runs."""
        if self.pid is not None:
            return
        self._stopping = threading.Event()
        self._health = Health(self.plan.container)
        with self.log.open("ab") as log:
            self._process = spawn(self.plan.command, env=self.plan.environment, stdout=log, stderr=subprocess.STDOUT)
        self._prober = threading.Thread(target=self._probe, args=(self._health, self._stopping), daemon=True)
        self._prober.start()

    def stop(self) -> None:
        """SIGTERM, the pod's grace period, SIGKILL: a pod's deletion."""
        self._end(signal.SIGTERM, self.plan.grace_seconds)

    def kill(self) -> None:
        """SIGKILL at once: a node's loss or the out-of-memory killer."""
        self._end(signal.SIGKILL, 5)

    def wait_ready(self, *, within_seconds: float = 60.0) -> None:
        """Return once it is ready; raises PodFailed when it fails first or the time is over."""
        deadline = time.monotonic() + within_seconds
        while not self.ready:
            if self.failure:
                raise PodFailed(f"{self.failure}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise PodFailed(f"not ready in {within_seconds:.0f} s, {self._health.waiting_for}\n{self.log_tail()}")
            time.sleep(_TICK_SECONDS)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that the container wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, first: int, grace_seconds: float) -> None:
        self._stopping.set()
        if self._prober is not None:
            self._prober.join()
        if self._process is not None:
            end_group(self._process, grace_seconds=grace_seconds, first=first)

    def _probe(self, health: Health, stopping: threading.Event) -> None:
        started = time.monotonic()
        while not stopping.wait(_TICK_SECONDS):
            if self.pid is None or health.failure:
                return
            health.step(time.monotonic() - started)


def _machine(cluster: ClusterAccess, pod: Document, container: Document, folder: Path) -> dict[str, str]:
    """What an image and a kubelet would bring: nothing of this process's own environment goes along."""
    home = folder / "home"
    home.mkdir()
    found = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "HOME": str(home),
        "HOSTNAME": pod["metadata"]["name"],
        "PYTHONUNBUFFERED": "1",
    }
    if mounts_token(cluster, pod, container):
        # In-cluster clients read a fixed path, which nobody can write here.
        found["KUBECONFIG"] = str(write_pod_kubeconfig(cluster, pod, folder / "pod.kubeconfig"))
    return found
