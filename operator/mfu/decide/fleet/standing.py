"""How one workload stands, as much of it as decisions about all of them need. Kept from one judgement to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from mfu.decide.fleet.capacity import Kind
from mfu.decide.types import Decision, EffectivePolicy


@dataclass(frozen=True, slots=True)
class Ask:
    """Devices that a workload still lacks: `copies` times `gpus`, each copy together."""

    gpus: int
    copies: int = 1
    piece: int = 1
    """Devices of one pod: they come from one node."""
    tensor: int = 1
    """Ranks that exchange activations in every layer: they belong into one NVLink domain."""
    profile: str = ""
    """MIG profile, "" for whole GPUs."""
    products: frozenset[str] = frozenset()
    """Catalog keys that the spec allows; all of them where it names none."""
    unfit: frozenset[str] = frozenset()
    """Catalog keys whose memory the model does not fit."""

    @property
    def group(self) -> int:
        """Devices that belong into one NVLink domain: whole pods that hold a tensor group, or less if there are less.

        >>> Ask(16, piece=4, tensor=8).group, Ask(16, piece=8, tensor=2).group, Ask(4, tensor=8).group
        (8, 8, 4)
        """
        return min(self.gpus, ceil(self.tensor / self.piece) * self.piece)

    def allows(self, kind: Kind, product: str) -> bool:
        return kind.profile == self.profile and self.could_use(product)

    def could_use(self, product: str) -> bool:
        return product not in self.unfit and (not self.products or product in self.products)


@dataclass(frozen=True, slots=True)
class Standing:
    """One workload among all of them. Without an `ask` it wants nothing more than it has."""

    key: str
    policy: EffectivePolicy = field(default_factory=EffectivePolicy)
    priority: int = 0
    """The highest of its pods, 0 where they have none."""
    waiting_since: float = 0.0
    """Unix seconds at which its oldest waiting pod was created, or it itself."""
    pending: bool = False
    """Pods of it wait for a node; False while it is only declared."""
    gain: float = 0.0
    """Reference MFU that it is expected to reach: of equals, the one that makes most of the GPUs goes first."""
    ask: Ask | None = None
    holds: Mapping[Kind, int] = field(default_factory=dict)
    growth: Decision | None = None
    """A decision to add replicas, which need devices of the shape of `replica`."""
    replica: Ask | None = None
    """What the added replicas need together."""

    @property
    def turn(self) -> tuple[bool, int, float, float, str]:
        """Sorts those who wait: pods before mere declarations, then priority, age, gain and name."""
        return not self.pending, -self.priority, self.waiting_since, -self.gain, self.key
