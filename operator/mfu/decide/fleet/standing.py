"""How one workload stands, as much of it as decisions about all of them need. Kept from one judgement to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log
from typing import NamedTuple

from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.sharing import Sharer
from mfu.decide.types import Decision, EffectivePolicy


class Worth(NamedTuple):
    """What the objective is worth on one product, by how many of its GPUs are together: more of it is better.

    `points` are (GPUs in one NVLink domain, value per GPU), the fewest GPUs first.
    """

    product: str
    points: tuple[tuple[int, float], ...]

    def at(self, together: int) -> float:
        """Between two points in equal ratios, beyond them as at the nearest.

        >>> Worth("h100", ((2, 100.0), (8, 400.0))).at(4)
        200.0
        """
        return _between(self.points, together)


def _between(points: Sequence[tuple[int, float]], together: int) -> float:
    below = [point for point in points if point[0] <= together]
    above = [point for point in points if point[0] >= together]
    if not below or not above:
        return (below[-1] if below else points[0])[1]
    (few, low), (many, high) = below[-1], above[0]
    if few == many or low <= 0 or high <= 0:
        return low
    return float(low * (high / low) ** (log(together / few) / log(many / few)))


@dataclass(frozen=True, slots=True)
class Need:
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
    worths: tuple[Worth, ...] = ()
    """By product; of those without one nothing is known, and they come last."""
    unit: str = ""
    """What the worths are, such as tokens/s."""
    constraints: tuple[Constraints, ...] = ()
    """Of its pods: a node is for it where all of them admit it."""

    def worth(self, product: str, together: int) -> float | None:
        """None where nothing is known of the product."""
        return next((each.at(together) for each in self.worths if each.product == product), None)

    @property
    def best(self) -> float:
        """The highest worth that any product could have, for scale."""
        return max((value for each in self.worths for _, value in each.points), default=0.0)

    @property
    def group(self) -> int:
        """Devices that belong into one NVLink domain: whole pods that hold a tensor group, or less if there are less.

        >>> Ask(16, piece=4, tensor=8).group, Ask(16, piece=8, tensor=2).group, Ask(4, tensor=8).group
        (8, 8, 4)
        """
        return min(self.gpus, ceil(self.tensor / self.piece) * self.piece)

    def allows(self, kind: DeviceKind, product: str) -> bool:
        return kind.profile == self.profile and self.could_use(product)

    def could_use(self, product: str) -> bool:
        return product not in self.unfit and (not self.products or product in self.products)


@dataclass(frozen=True, slots=True)
class Standing:
    """One workload among all of them. Without an `ask` it wants nothing more than it has."""

    key: str
    policy: EffectivePolicy = field(default_factory=EffectivePolicy)
    priority: int = 0
    queued: bool = False
    """Kueue holds it back before it has pods."""
    """The highest of its pods, else that of its Kueue Workload, else 0."""
    waiting_since: float = 0.0
    """Unix seconds at which its oldest waiting pod was created, or it itself."""
    pending: bool = False
    """Pods of it wait for a node; False while it is only declared."""
    gated: bool = False
    """Some of those that wait are behind our gate."""
    missing: int = 0
    """Devices of the declaration for which there is no pod yet, where it has pods at all: a job comes pod by pod."""
    gain: float = 0.0
    """Reference MFU that it is expected to reach: of equals, the one that makes most of the GPUs goes first."""
    ask: Need | None = None
    holds: Mapping[DeviceKind, int] = field(default_factory=dict)
    admission: Decision | None = None
    """What was decided of its start alone."""
    growth: Decision | None = None
    """A decision to add replicas, which need devices of the shape of `replica`."""
    replica: Need | None = None
    """What the added replicas need together."""
    replicas: int = 0
    """Copies of it that there are, whether they have a node yet or not."""
    sharer: Sharer | None = None
    """It as a sharer of its GPU; None where it holds more, less, or what it does is not known."""
    incumbent: tuple[tuple[DeviceKind, frozenset[str]], ...] = ()
    """Kind and nodes of the places that it was told last, copy by copy: kept while nothing is clearly better."""

    @property
    def turn(self) -> tuple[bool, int, float, float, str]:
        """Sorts those who wait: pods and queued jobs before declarations, then priority, age, gain and name."""
        return not (self.pending or self.queued), -self.priority, self.waiting_since, -self.gain, self.key
