"""Fixtures of the stories: a cluster with the definitions, a simulated fleet on it, operators to start."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.cluster import ClusterAccess, ControlPlane
from e2e.cluster.binaries import Progress
from e2e.stories.programs import OperatorProcess, SimulatedFleet
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
def start_operator(tmp_path: Path) -> Iterator[Callable[[ClusterAccess, SimulatedFleet], OperatorProcess]]:
    """Starts operators that read this fleet; whatever still runs is stopped at the end."""
    with ExitStack() as running:

        def start(cluster: ClusterAccess, fleet: SimulatedFleet) -> OperatorProcess:
            lease = f"mfu-operator-{secrets.token_hex(3)}"
            operator = OperatorProcess(cluster, tmp_path, fleet.operator_settings(), lease=lease)
            running.callback(operator.stop)
            operator.start()
            return operator

        yield start
