"""Fixtures of the stories: a cluster with the definitions, a simulated fleet on it, operators to start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from e2e.cluster.binaries import Progress, ensure_binaries
from e2e.cluster.ports import free_ports
from e2e.stories.programs import SYSTEM_NODE, InstalledOperator, SimulatedFleet, helm_install, operator_values
from e2e.stories.resources import example, fake_node, install_definitions


class Stage:
    """A control plane with the definitions and a policy, on which a story plays; it may be broken at will."""

    def __init__(self, plane: ControlPlane, helm: Path, folder: Path, running: ExitStack) -> None:
        self.plane = plane
        self._helm = helm
        self.folder = folder
        self._running = running

    def fleet(self, nodes: str) -> SimulatedFleet:
        """Start a simulated fleet, such as `H100-SXM5=4`; it ends with the story."""
        simulated = SimulatedFleet(self.plane, self.folder, nodes=nodes)
        self._running.callback(simulated.stop)
        simulated.start()
        return simulated

    def operator(self, fleet: SimulatedFleet) -> InstalledOperator:
        """Install an operator that reads this fleet; it ends with the story."""
        (port,) = free_ports(1)
        self.install(operator_values(fleet.operator_settings(), port=port))
        return self._running.enter_context(InstalledOperator.run(self.plane, self.folder, port=port))

    def install(self, values: Mapping[str, Any]) -> None:
        """`helm install` of the chart with these values."""
        helm_install(self.plane, self._helm, self.folder, values)


@pytest.fixture(scope="module")
def shared_stage(
    request: pytest.FixtureRequest, cluster_progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One stage for the stories of a file."""
    yield from _stage(request, cluster_progress, tmp_path_factory.mktemp("stage"))


@pytest.fixture
def stage(request: pytest.FixtureRequest, cluster_progress: Progress, tmp_path: Path) -> Iterator[Stage]:
    """A stage for one story."""
    yield from _stage(request, cluster_progress, tmp_path)


def _stage(request: pytest.FixtureRequest, progress: Progress, folder: Path) -> Iterator[Stage]:
    helm = ensure_binaries(["helm"], progress=progress)["helm"]
    failed_before = request.session.testsfailed
    with ControlPlane.start(progress=progress) as plane, ExitStack() as running:
        install_definitions(plane)
        plane.apply(example("policy"), fake_node(SYSTEM_NODE))
        yield Stage(plane, helm, folder, running)
        plane.keep_logs = request.session.testsfailed > failed_before
