"""Fixtures of the stories: a cluster with the definitions, a simulated fleet on it, operators to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.cluster import ClusterAccess, ControlPlane
from e2e.cluster.binaries import Progress, ensure_binaries
from e2e.stories.programs import InstalledOperator, SimulatedFleet
from e2e.stories.resources import example, install_definitions


@pytest.fixture
def own_plane(request: pytest.FixtureRequest, cluster_progress: Progress) -> Iterator[ControlPlane]:
    """A control plane for this story alone, with the definitions and a policy: it may be broken at will."""
    failed_before = request.session.testsfailed
    with ControlPlane.start(progress=cluster_progress) as plane:
        install_definitions(plane)
        plane.apply(example("policy"))
        yield plane
        plane.keep_logs = request.session.testsfailed > failed_before


@pytest.fixture
def fleet(own_plane: ControlPlane, tmp_path: Path) -> Iterator[SimulatedFleet]:
    """Four nodes of eight H100 each."""
    simulated = SimulatedFleet(own_plane, tmp_path, nodes="H100-SXM5=4")
    simulated.start()
    try:
        yield simulated
    finally:
        simulated.stop()


@pytest.fixture
def start_operator(
    tmp_path: Path, cluster_progress: Progress
) -> Iterator[Callable[[ClusterAccess, SimulatedFleet], InstalledOperator]]:
    """Installs an operator that reads this fleet, and stops it at the end."""
    helm = ensure_binaries(["helm"], progress=cluster_progress)["helm"]
    with ExitStack() as running:

        def start(cluster: ClusterAccess, fleet: SimulatedFleet) -> InstalledOperator:
            settings = fleet.operator_settings()
            return running.enter_context(InstalledOperator.install(cluster, helm, tmp_path, settings))

        yield start
