"""Levels of the network above a node, from node labels: the policy names the keys, or a preset is recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.labels import TOPOLOGY_PRESETS

_KNOWN: Final = frozenset(key for keys in TOPOLOGY_PRESETS.values() for key in keys)

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
    best = max(TOPOLOGY_PRESETS.values(), key=lambda keys: max((labelled[key] for key in keys[1:]), default=0))
    return Levels(tuple(key for key in best if labelled[key]))


def crossed(codes: Codes, nodes: Sequence[int] | Codes) -> int:
    """Levels at which not all of the nodes are under one switch: 0 for one node, `len(codes)` for the farthest."""
    if len(nodes) < 2:
        return 0
    picked = codes[:, nodes]
    return int((picked != picked[:, :1]).any(axis=1).sum())
