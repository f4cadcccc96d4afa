"""A cluster with the definitions and a policy, on which a story plays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from e2e.stories.programs import (
    NAMESPACE,
    SYSTEM_NODE,
    InstalledOperator,
    SimulatedFleet,
    helm_install,
    helm_uninstall,
    operator_values,
)
from e2e.stories.resources import STORY_NODES
from e2e.testbed.cluster import ClusterAccess, ControlPlane
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

    def operator(self, fleet: SimulatedFleet, **settings: Any) -> InstalledOperator:
        """Install an operator that reads this fleet, with further settings of its own; it ends with the story."""
        (port,) = free_ports(1)
        self.install(operator_values({**fleet.operator_settings(), **settings}, port=port))
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
