"""Whole operators that die, several side by side: each in a lane with nodes, a namespace and a lease of its own.

A lane is a shard of the product (`shard` in the operator's configuration): operators of different lanes speak of
different namespaces, so that none takes over what another left, and none is restarted. All lanes share one API server,
one scheduler and one keeper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from e2e.stories.gates import OPERATOR_ACCOUNT, Gates, Running
from e2e.stories.programs import NAMESPACE
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.proxy import Proxy
from e2e.testbed.warm import Warm

LANES: Final = 4
NODES_A_LANE: Final = 2
LANE_LABEL: Final = "mfu.test/lane"
DEADLINE_SECONDS: Final = 8
"""Of the gate: long enough for a whole cycle on a busy machine, short enough for hundreds of deaths."""
_CYCLE: Final = {"idleSeconds": 0.3, "longestWaitSeconds": 1, "resyncSeconds": 5, "warmUpSeconds": 1}


@dataclass(slots=True)
class Lane:
    """Where one operator after another is started and dies."""

    name: str
    gates: Gates
    warm: Warm
    proxy: Proxy
    kubeconfig: Path
    space: str
    numbers: count[int]

    @property
    def labels(self) -> dict[str, str]:
        """Of its nodes and of its namespace."""
        return {LANE_LABEL: self.name}

    @contextmanager
    def operator(self) -> Iterator[Running]:
        """A whole operator of this lane, ready to work; it need not wait for the lease of the one that died before."""
        (port,) = free_ports(1)
        name = f"{self.name}-{next(self.numbers)}"
        self.gates.plane.delete("lease", _lease(self.name), "-n", NAMESPACE)
        self.proxy.watcher = lambda _: True
        shard: dict[str, Any] = {"name": self.name, "namespaceSelector": {"matchLabels": self.labels}}
        file = self.gates.settings(name, port, cycle=_CYCLE, shard=shard)
        child = self.warm.fork(name, "operator", f"--config={file}", f"--kubeconfig={self.kubeconfig}")
        running = Running(child, self.proxy, port)
        try:
            running.wait_ready()
            yield running
        finally:
            child.stop()


@contextmanager
def lanes(gates: Gates) -> Iterator[list[Lane]]:
    """All lanes of a cluster, whose nodes are dealt out to them."""
    nodes = [each["metadata"]["name"] for each in gates.plane.get("nodes", "-l", "nvidia.com/gpu.present")["items"]]
    assert len(nodes) == LANES * NODES_A_LANE
    names = [f"lane-{number}" for number in range(LANES)]
    _grant_leases(gates, names)
    with ExitStack() as running:
        warm = running.enter_context(Warm(gates.stage.folder).run())
        yield [_lane(name, gates, warm, running, nodes[number::LANES]) for number, name in enumerate(names)]


def _lease(lane: str) -> str:
    return f"mfu-operator-{lane}"


def _grant_leases(gates: Gates, names: list[str]) -> None:
    """The chart names the one lease of a release; a release for each shard would name these."""
    role = gates.plane.get("role", f"{OPERATOR_ACCOUNT}-lease", "-n", NAMESPACE)
    named = next(rule for rule in role["rules"] if "resourceNames" in rule)
    named["resourceNames"] += [_lease(name) for name in names]
    gates.plane.kubectl("replace", "-f", "-", stdin=json.dumps(role))


def _lane(name: str, gates: Gates, warm: Warm, running: ExitStack, nodes: list[str]) -> Lane:
    proxy = running.enter_context(Proxy(gates.plane.url, gates.plane.ca_file).run())
    lane = Lane(
        name,
        gates,
        warm,
        proxy,
        gates.kubeconfig(name, OPERATOR_ACCOUNT, proxy),
        gates.namespace(),
        count(),
    )
    gates.plane.kubectl("label", "namespace", lane.space, f"{LANE_LABEL}={name}")
    gates.plane.kubectl("label", "node", *nodes, f"{LANE_LABEL}={name}")
    return lane
