"""The ledger of free GPUs: counted once a cycle, and every decision draws from what the ones before it left."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.topology import Codes, Levels, levels_of
from mfu.decide.types import NodeView
from mfu.hardware.labels import CLIQUE_LABEL, MIG_PREFIX, WHOLE

HOST_LABEL: Final = "kubernetes.io/hostname"

WHOLE_DOMAIN: Final = int(np.iinfo(np.int64).max)
"""GPUs that are joined where nobody says that some are not."""

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class DeviceKind(NamedTuple):
    """Devices that are interchangeable: one product, whole ("") or in slices of one MIG profile."""

    profile: str
    product_label: str


class Domain(NamedTuple):
    """GPUs joined by NVLink: a clique over nodes, or one node. `label` and `value` select it."""

    label: str
    value: str

    def __str__(self) -> str:
        return f"{'NVLink domain' if self.label == CLIQUE_LABEL else 'node'} {self.value}"


@dataclass(frozen=True, slots=True)
class Share:
    """Devices on one node that a decision takes."""

    node: str
    gpus: int


@dataclass(frozen=True, slots=True)
class Pool:
    """All nodes with devices of one kind, by name. Arrays have one element a node and are never written to."""

    kind: DeviceKind
    product: str
    """Catalog key."""
    nodes: tuple[str, ...]
    """Sorted names."""
    free: Counts
    total: Counts
    """Allocatable on nodes that are ready and schedulable; none where a device is offered to several pods."""
    domain: Counts
    """Index into `domains`."""
    domains: tuple[Domain, ...]
    levels: Codes
    """Shape (levels, nodes), widest first."""
    joined: Counts
    """GPUs of each of `domains` that NVLink joins: WHOLE_DOMAIN but where the agent of a node found fewer."""
    slow: Mask
    """Nodes that carry our soft taint."""
    views: tuple[NodeView, ...] = field(default=(), repr=False, compare=False)
    """What is known of each node; empty where no pod's own words are asked about."""
    _masks: dict[tuple[Constraints, ...], Mask] = field(default_factory=dict, repr=False, compare=False)
    """Which nodes were found to be admitted: the same for whatever of them is left."""

    @property
    def free_gpus(self) -> int:
        return int(self.free.sum())

    @property
    def emptied(self) -> Pool:
        """As if nothing ran: what could ever be free."""
        return replace(self, free=self.total)

    def drawn(self, shares: Iterable[Share]) -> Pool:
        """What is left after `shares` are taken. Raises Overdrawn where a node has less."""
        left = self.free.copy()
        for share in shares:
            row = self._row(share.node)
            if row is None or left[row] < share.gpus:
                raise Overdrawn(f"{share.node} has no {share.gpus} free devices of {self.kind.product_label}")
            left[row] -= share.gpus
        left.setflags(write=False)
        return replace(self, free=left)

    @property
    def swift(self) -> Pool:
        """As if nothing were free on nodes that are marked slow; itself where none is."""
        return replace(self, free=np.where(self.slow, 0, self.free)) if self.slow.any() else self

    def slow_among(self, shares: Iterable[Share]) -> tuple[str, ...]:
        rows = ((each.node, self._row(each.node)) for each in shares)
        return tuple(node for node, row in rows if row is not None and self.slow[row])

    def only(self, nodes: Set[str]) -> Pool:
        """As if nothing were free elsewhere."""
        here = np.fromiter((name in nodes for name in self.nodes), dtype=bool, count=len(self.nodes))
        return replace(self, free=np.where(here, self.free, 0))

    def admitting(self, constraints: tuple[Constraints, ...]) -> Pool:
        """As if only those nodes were there that all of `constraints` admit, or may admit as far as can be told."""
        if not constraints or not self.views:
            return self
        if constraints not in self._masks:
            self._masks[constraints] = np.logical_and.reduce([admitted(each, self.views) for each in constraints])
        mask = self._masks[constraints]
        return self if mask.all() else replace(self, free=self.free * mask, total=self.total * mask)

    def free_on(self, node: str) -> int:
        row = self._row(node)
        return 0 if row is None else int(self.free[row])

    def _row(self, node: str) -> int | None:
        row = bisect_left(self.nodes, node)
        return row if row < len(self.nodes) and self.nodes[row] == node else None


class Overdrawn(Exception):
    """A decision took what was not there: a defect of ours, never an answer."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The ledger. Drawing gives a new one; the old one still says what was there."""

    pools: Mapping[DeviceKind, Pool] = field(default_factory=dict)

    def drawn(self, kind: DeviceKind, shares: Iterable[Share]) -> Capacity:
        return Capacity({**self.pools, kind: self.pools[kind].drawn(shares)})

    def of(self, kind: DeviceKind, shares: Iterable[Share]) -> tuple[Share, ...]:
        """As much of `shares` as is free here."""
        pool = self.pools.get(kind)
        if pool is None:
            return ()
        found = (Share(each.node, min(each.gpus, pool.free_on(each.node))) for each in shares)
        return tuple(each for each in found if each.gpus)

    @property
    def emptied(self) -> Capacity:
        return Capacity({kind: pool.emptied for kind, pool in self.pools.items()})


def capacity_of(nodes: Sequence[NodeView], topology_levels: Sequence[str] = ()) -> Capacity:
    """Every node of a known product, in pools by kind; the order of the input does not matter.

    `topology_levels` are label keys, widest first; without any, a known preset is looked for.
    """
    levels = levels_of((node.labels for node in nodes), topology_levels)
    rows: dict[DeviceKind, list[tuple[NodeView, int, int]]] = defaultdict(list)
    for node in sorted(nodes, key=lambda each: each.name):
        if node.device is None or node.product_label is None:
            continue
        for resource, allocatable in _resources(node):
            profile = resource.removeprefix(MIG_PREFIX) if resource.startswith(MIG_PREFIX) else ""
            usable = allocatable if node.ready and node.schedulable and not node.sliced(resource) else 0
            usable = usable if profile else node.sound(usable)
            rows[DeviceKind(profile, node.product_label)].append((node, node.free(resource, allocatable), usable))
    return Capacity({kind: _pool(kind, mine, levels) for kind, mine in sorted(rows.items())})


def _resources(node: NodeView) -> Iterable[tuple[str, int]]:
    if node.gpus:
        yield WHOLE, node.gpus
    for profile, count in node.mig.items():
        yield f"{MIG_PREFIX}{profile}", count


def _pool(kind: DeviceKind, rows: list[tuple[NodeView, int, int]], levels: Levels) -> Pool:
    domains: dict[Domain, int] = {}
    members = [domains.setdefault(_domain(node), len(domains)) for node, _, _ in rows]
    device = rows[0][0].device
    return Pool(
        kind=kind,
        product=device.gpu.key if device else "",
        nodes=tuple(node.name for node, _, _ in rows),
        free=_counts(free for _, free, _ in rows),
        total=_counts(usable for _, _, usable in rows),
        domain=_counts(members),
        domains=tuple(domains),
        levels=levels.codes([node.labels for node, _, _ in rows]),
        joined=_joined([node for node, _, _ in rows], members, len(domains)),
        slow=np.array([node.slow_until is not None for node, _, _ in rows], dtype=bool),
        views=tuple(node for node, _, _ in rows),
    )


def _joined(nodes: Sequence[NodeView], members: Sequence[int], domains: int) -> Counts:
    """By domain: what its weakest node says."""
    found = np.full(domains, WHOLE_DOMAIN, dtype=np.int64)
    for node, domain in zip(nodes, members, strict=True):
        if node.joined is not None:
            found[domain] = min(found[domain], node.joined)
    found.setflags(write=False)
    return found


def admitted(constraints: Constraints, nodes: Sequence[NodeView]) -> Mask:
    """One truth a node; nodes that do not differ in what is asked about are looked at once."""
    keys, known = sorted(constraints.keys), dict[tuple[object, ...], bool]()
    found = np.empty(len(nodes), dtype=bool)
    for row, node in enumerate(nodes):
        name = node.name if constraints.names_nodes else ""
        alike = (name, node.taints, *(node.labels.get(key) for key in keys))
        if alike not in known:
            known[alike] = constraints.admit(node, unsure=True)
        found[row] = known[alike]
    return found


def _counts(values: Iterable[int]) -> Counts:
    made = np.fromiter(values, dtype=np.int64)
    made.setflags(write=False)
    return made


def _domain(node: NodeView) -> Domain:
    return Domain(CLIQUE_LABEL, node.domain) if node.domain else Domain(HOST_LABEL, node.name)
