"""Levels of the network above a node, from node labels: the policy names the keys, or a preset is recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ZONE: Final = "topology.kubernetes.io/zone"

PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "topograph": (ZONE, *(f"fabric.topograph.run/tier-{tier}" for tier in range(5, -1, -1))),
    "topograph before 1.0": (ZONE, *(f"network.topology.nvidia.com/{level}" for level in ("core", "spine", "leaf"))),
    "AWS": (ZONE, *(f"topology.k8s.aws/network-node-layer-{layer}" for layer in (1, 2, 3))),
    "GCP": (ZONE, *(f"cloud.google.com/gce-topology-{level}" for level in ("block", "subblock"))),
    "OCI": (ZONE, "oci.oraclecloud.com/host.network_block_id", "oci.oraclecloud.com/host.rack_id"),
    "zones": (ZONE,),
}
"""Label keys, widest level first, as the projects' own documentation gives them. Tier 0 of topograph is the nearest
switch, layer 3 of AWS the one nearest to the instance."""

_KNOWN: Final = frozenset(key for keys in PRESETS.values() for key in keys)

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Levels:
    """Label keys that tell where a node is, widest first."""

    keys: tuple[str, ...] = ()

    def codes(self, labels: Sequence[Mapping[str, str]]) -> Codes:
        """Shape (levels, nodes): equal numbers are the same switch. A node without the label is near to nobody."""
        made = np.empty((len(self.keys), len(labels)), dtype=np.int64)
        for level, key in enumerate(self.keys):
            known: dict[str, int] = {}
            for node, mine in enumerate(labels):
                value = mine.get(key)
                made[level, node] = -1 - node if value is None else known.setdefault(value, len(known))
        made.setflags(write=False)
        return made


def levels_of(labels: Iterable[Mapping[str, str]], configured: Sequence[str] = ()) -> Levels:
    """The policy's keys; without any, those of the preset that labels the most nodes below the zone."""
    if configured:
        return Levels(tuple(configured))
    labelled = Counter(key for each in labels for key in each if key in _KNOWN)
    best = max(PRESETS, key=lambda name: max((labelled[key] for key in PRESETS[name] if key != ZONE), default=0))
    return Levels(tuple(key for key in PRESETS[best] if labelled[key]))


def crossed(codes: Codes, nodes: Sequence[int] | Codes) -> int:
    """Levels at which not all of the nodes are under one switch: 0 for one node, `len(codes)` for the farthest."""
    if len(nodes) < 2:
        return 0
    picked = codes[:, nodes]
    return int((picked != picked[:, :1]).any(axis=1).sum())
