"""Fixtures of the stories: a cluster with the definitions, a simulated fleet on it, operators to start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.stories.gates import Gates, Running, json_gates, policy, started, values
from e2e.stories.programs import SYSTEM_NODE
from e2e.stories.resources import example, fake_node, install_definitions
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ClusterAccess, ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.fixtures import FOREIGN
from mfu.api.names import PLACEMENT_GATE


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


@pytest.fixture(scope="module")
def gates(shared_stage: Stage) -> Iterator[Gates]:
    """The chart's gate on a cluster of eight nodes of eight H100."""
    made = Gates(shared_stage, shared_stage.fleet("H100-SXM5=8"))
    shared_stage.install(values())
    shared_stage.cluster.apply(policy())
    space = made.namespace()
    # A new admission policy takes a moment to be in force.
    probe = iter(range(1000))

    def stamped() -> bool:
        pods = started(made.plane, f"probe-{next(probe)}", space)
        return all(json_gates(pod) == [PLACEMENT_GATE] for pod in pods)

    wait_until(stamped, what="the gate's policy in force", within_seconds=60)
    made.plane.kubectl("delete", "job,modelworkload", "--all", "-n", space)
    yield made


@pytest.fixture
def keeper(gates: Gates) -> Iterator[Running]:
    with gates.keeper() as running:
        running.wait_ready()
        yield running
