"""Free GPUs by the rooms in which they are together, counted once a cycle and asked by every waiting workload."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from mfu.decide.types import NodeView
from mfu.hardware.names import MIG_PREFIX

CLIQUE_LABEL: Final = "nvidia.com/gpu.clique"
HOST_LABEL: Final = "kubernetes.io/hostname"
WHOLE: Final = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Room:
    """GPUs of one kind that are free together: one NVLink domain that spans nodes, or one node."""

    product_label: str
    label: str
    value: str
    free: int

    @property
    def rank(self) -> tuple[int, str]:
        return self.free, self.value


@dataclass(frozen=True, slots=True)
class Rooms:
    """`by_kind` maps (MIG profile or "", product label) to rooms with something free, the tightest first."""

    by_kind: Mapping[tuple[str, str], Sequence[Room]] = field(default_factory=dict)
    products: Mapping[str, str] = field(default_factory=dict)
    """Catalog key by product label, of nodes whose product is known."""

    def labels(self, allowed: Set[str]) -> list[str]:
        """Product labels of the allowed catalog keys; of all known ones when none is named."""
        return sorted(label for label, key in self.products.items() if not allowed or key in allowed)

    def tightest(self, profile: str, labels: Iterable[str], wanted: int) -> Room | None:
        """The smallest room with `wanted` free; by name where equal."""
        found = [room for label in labels if (room := _first(self.by_kind.get((profile, label), ()), wanted))]
        return min(found, key=lambda room: room.rank, default=None)

    def largest(self, profile: str, labels: Iterable[str]) -> Room | None:
        rooms = [mine[-1] for label in labels if (mine := self.by_kind.get((profile, label)))]
        return max(rooms, key=lambda room: room.rank, default=None)

    def free(self, profile: str, labels: Iterable[str]) -> tuple[int, int]:
        """GPUs (or slices) that are free over all rooms, and how many rooms that are."""
        rooms = [room for label in labels for room in self.by_kind.get((profile, label), ())]
        return sum(room.free for room in rooms), len(rooms)


def rooms_of(nodes: Iterable[NodeView]) -> Rooms:
    """Nodes that are ready and schedulable, of known products."""
    free: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
    products: dict[str, str] = {}
    for node in nodes:
        if node.device is None or node.product_label is None:
            continue
        products[node.product_label] = node.device.gpu.key
        place = (CLIQUE_LABEL, node.domain) if node.domain else (HOST_LABEL, node.name)
        for profile, amount in _free(node):
            free[(profile, node.product_label)][place] += amount
    rooms = {
        kind: sorted((Room(kind[1], *place, amount) for place, amount in here.items()), key=lambda room: room.rank)
        for kind, here in free.items()
    }
    return Rooms(rooms, products)


def _free(node: NodeView) -> Iterable[tuple[str, int]]:
    """Free amount by MIG profile, "" for whole GPUs."""
    if whole := node.free(WHOLE, node.gpus):
        yield "", whole
    for profile, count in node.mig.items():
        if amount := node.free(f"{MIG_PREFIX}{profile}", count):
            yield profile, amount


def _first(rooms: Sequence[Room], wanted: int) -> Room | None:
    index = bisect_left(rooms, wanted, key=lambda room: room.free)
    return rooms[index] if index < len(rooms) else None
