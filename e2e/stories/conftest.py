"""Fixtures of the stories: a cluster with the definitions, a simulated fleet on it, operators to start."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from e2e.stories.programs import (
    NAMESPACE,
    SYSTEM_NODE,
    InstalledOperator,
    SimulatedFleet,
    helm_install,
    helm_uninstall,
    operator_values,
)
from e2e.stories.resources import STORY_NODES, example, fake_node, install_definitions
from e2e.testbed.cluster import ClusterAccess, ControlPlane
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.fixtures import FOREIGN
from e2e.testbed.cluster.ports import free_ports


class Stage:
    """A cluster with the definitions and a policy, on which a story plays."""

    def __init__(self, cluster: ClusterAccess, helm: Path, folder: Path, running: ExitStack) -> None:
        self.cluster = cluster
        self.folder = folder
        self._helm = helm
        self._running = running

    @property
    def plane(self) -> ControlPlane:
        """The cluster as a control plane of our own, which may be broken at will."""
        assert isinstance(self.cluster, ControlPlane)
        return self.cluster

    def fleet(self, nodes: str) -> SimulatedFleet:
        """Start a simulated fleet, such as `H100-SXM5=4`; it ends with the story."""
        simulated = SimulatedFleet(self.cluster, self.folder, nodes=nodes)
        self._running.callback(simulated.stop)
        simulated.start()
        return simulated

    def operator(self, fleet: SimulatedFleet) -> InstalledOperator:
        """Install an operator that reads this fleet; it ends with the story."""
        (port,) = free_ports(1)
        self.install(operator_values(fleet.operator_settings(), port=port))
        return self._running.enter_context(InstalledOperator.run(self.cluster, self.folder, port=port))

    def leave(self) -> None:
        """Take away what a story leaves on a cluster that is not ours; the definitions stay."""
        helm_uninstall(self.cluster, self._helm)
        nodes = [SYSTEM_NODE, *STORY_NODES]
        self.cluster.kubectl("delete", "node", "--ignore-not-found", *nodes)
        self.cluster.kubectl("delete", "mfupolicy", "--ignore-not-found", "default", "wrong")
        self.cluster.kubectl("delete", "fleetreport", "--ignore-not-found", "fleet")
        self.cluster.kubectl("delete", "namespace", "--ignore-not-found", "--timeout=60s", NAMESPACE)

    def install(self, values: Mapping[str, Any]) -> None:
        """`helm install` of the chart with these values."""
        helm_install(self.cluster, self._helm, self.folder, values)


@pytest.fixture(scope="module")
def shared_stage(
    request: pytest.FixtureRequest, cluster_progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One stage for the stories of a file; on the cluster of MFU_KUBECONFIG where that is set."""
    folder = tmp_path_factory.mktemp("stage")
    if not os.environ.get(FOREIGN):
        yield from _own_stage(request, cluster_progress, folder)
        return
    cluster: ClusterAccess = request.getfixturevalue("cluster")
    with ExitStack() as running:
        stage = _prepared(cluster, folder, running, cluster_progress)
        running.callback(stage.leave)
        yield stage


@pytest.fixture
def stage(request: pytest.FixtureRequest, cluster_progress: Progress, tmp_path: Path) -> Iterator[Stage]:
    """A stage for one story, on a control plane of its own."""
    yield from _own_stage(request, cluster_progress, tmp_path)


def _own_stage(request: pytest.FixtureRequest, progress: Progress, folder: Path) -> Iterator[Stage]:
    failed_before = request.session.testsfailed
    with ControlPlane.start(progress=progress) as plane, ExitStack() as running:
        yield _prepared(plane, folder, running, progress)
        plane.keep_logs = request.session.testsfailed > failed_before


def _prepared(cluster: ClusterAccess, folder: Path, running: ExitStack, progress: Progress) -> Stage:
    helm = ensure_binaries(["helm"], progress=progress)["helm"]
    install_definitions(cluster)
    cluster.apply(example("policy"), fake_node(SYSTEM_NODE))
    return Stage(cluster, helm, folder, running)
