"""Nodes that are slower than others of their product at the same work, as several tenants' workloads show. Pure.

A node is never judged by the MFU of what happens to run there: it is compared with the other nodes of the same
workload. Ranks of a job do the same work, replicas of a service run the same program. So a node whose SMs clock lower
while its tensor pipes are at least as busy is slower at it (MFU while at work is their product), and one that clocks
lower because it has less to do is not. What one namespace shows condemns nobody: a tenant can make its own pods slow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from mfu.decide.types import NodeView
from mfu.observe.readings import Floats, Metric, WorkloadSeries

WINDOW_SECONDS: Final = 600.0
"""Readings that are compared; so long a workload says the same before it counts: two windows that share none."""
LEAST_ROWS: Final = 5
LEAST_PEERS: Final = 2
"""Other nodes that are needed: of two it is not known which one is unusual."""
BEHIND: Final = 0.05
"""Share from which a node is slower: healthy GPUs of one product differ by up to 5 %."""
NOISE: Final = 3.0
"""Standard errors that a difference must exceed."""
LEAST_BUSY: Final = 0.05
"""Tensor activity of the peers below which nothing is compared."""
AS_BUSY: Final = 0.98
"""Share of its peers' tensor activity from which a node is as busy as they are."""
LEAST_NAMESPACES: Final = 2
KEPT_SECONDS: Final = 6 * 3600.0
"""What was seen longer ago says nothing of today."""
MOST_SHARE: Final = 0.05
"""Of the nodes of one product; from LEAST_NODES on at least one. Slowness of many is nobody's fault but the fleet's."""
LEAST_NODES: Final = 4


@dataclass(frozen=True, slots=True)
class PeerGap:
    """How far one node is behind the middle of the workload's other nodes of its product; below 0 it is ahead."""

    node: str
    behind: float
    """Share of clock, 0 where it is less busy than they are."""
    slow: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """One workload that has seen one node slow, without a break, from `since` to `last` (Unix seconds)."""

    node: str
    workload: str
    namespace: str
    since: float
    last: float
    behind: float


@dataclass(frozen=True, slots=True)
class SlowNode:
    """What workloads of at least LEAST_NAMESPACES agree on; `behind` is what that many say at least."""

    node: str
    behind: float
    workloads: tuple[str, ...]
    last: float
    """Unix seconds of the newest comparison."""

    @property
    def words(self) -> str:
        seen = ", ".join(self.workloads)
        return f"let pods prefer other nodes to {self.node}: {self.behind:.0%} behind its peers at the work of {seen}"


Witnesses = Mapping[tuple[str, str], Witness]
"""By node and workload."""


@dataclass(frozen=True, slots=True)
class SlowMemory:
    """What one cycle hands to the next. Nothing of it is known after a start: then marks stand until they are over."""

    witnesses: Witnesses = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()
    """Nodes that were found slow since the start and carry our mark."""


def peer_gaps(series: WorkloadSeries) -> tuple[PeerGap, ...]:
    """Every node of the workload that has LEAST_PEERS of its product beside it. Unknown readings are left out.

    Clocks of 1500, 1980, 1980 and 1980 MHz at equal tensor activity: the first is 24 % behind.
    """
    rows = series.times >= (series.times[-1] - WINDOW_SECONDS if series.times.size else 0.0)
    if int(rows.sum()) < LEAST_ROWS:
        return ()
    groups = [columns for columns in _by_product(series).values() if len(columns) > LEAST_PEERS]
    if not groups:
        return ()
    clock, tensor = (series.values[..., metric][rows] for metric in (Metric.SM_CLOCK, Metric.TENSOR_ACTIVE))
    return tuple(gap for columns in groups for gap in _compared(clock, tensor, columns))


def _by_product(series: WorkloadSeries) -> dict[str, dict[str, list[int]]]:
    """Columns by product and node, of whole GPUs that are one pod's own."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for column, device in enumerate(series.devices):
        if device.node and device.key.instance is None and not device.shared:
            found[device.product_name][device.node].append(column)
    return found


def _compared(clock: Floats, tensor: Floats, columns: Mapping[str, Sequence[int]]) -> list[PeerGap]:
    names = sorted(columns)
    clock, tensor = (_by_node(each, [columns[name] for name in names]) for each in (clock, tensor))
    known = np.isfinite(clock).all(axis=1) & np.isfinite(tensor).all(axis=1)
    return _gaps(names, clock[known], tensor[known]) if int(known.sum()) >= LEAST_ROWS else []


def _by_node(values: Floats, columns: Sequence[Sequence[int]]) -> Floats:
    """Means over the GPUs of each node."""
    counts = [len(each) for each in columns]
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    sums = np.add.reduceat(values[:, [column for each in columns for column in each]], starts, axis=1)
    return np.asarray(sums / np.array(counts, dtype=np.float64), dtype=np.float64)


def _gaps(names: Sequence[str], clock: Floats, tensor: Floats) -> list[PeerGap]:
    """All of them at once: a job may have a thousand nodes."""
    mean, busy, deviation = clock.mean(axis=0), tensor.mean(axis=0), clock.std(axis=0)
    usual, usually_busy = _middle_of_others(mean), _middle_of_others(busy)
    others = (deviation.sum() - deviation) / (len(names) - 1)
    error = NOISE * np.maximum(deviation, others) * (2.0 / len(clock)) ** 0.5
    alike = (usual > 0) & (usually_busy >= LEAST_BUSY) & (busy >= AS_BUSY * usually_busy)
    behind = np.where(alike, 1.0 - mean / np.where(usual > 0, usual, 1.0), 0.0)
    slow = alike & (behind > BEHIND) & (behind * usual > error)
    return [PeerGap(*each) for each in zip(names, behind.tolist(), slow.tolist(), strict=True)]


def _middle_of_others(values: Floats) -> Floats:
    """Of each its peers' median; of an even number the lower one: a node that is ahead of all makes nobody slow.

    Of 1, 2, 4 and 8: 4, 4, 2, 2.
    """
    order = np.sort(values)
    middle = (len(values) - 2) // 2
    return np.asarray(np.where(values <= order[middle], order[middle + 1], order[middle]), dtype=np.float64)


def heard(before: Witnesses, workload: str, namespace: str, gaps: Sequence[PeerGap], now: float) -> dict[str, Witness]:
    """What this workload says now, by node: a node that it finds as fast as others it accuses no more."""
    found = {}
    for gap in gaps:
        if gap.slow:
            known = before.get((gap.node, workload))
            since = now if known is None else known.since
            found[gap.node] = Witness(gap.node, workload, namespace, since, now, gap.behind)
    return found


def gathered(before: Witnesses, compared: Mapping[str, tuple[str, Sequence[PeerGap]]], now: float) -> Witnesses:
    """After this cycle; `compared` are namespace and gaps by the workloads that could be looked at.

    Who was not looked at, or is gone, is believed for KEPT_SECONDS; a clock that was set back makes nobody younger.
    """
    looked = {workload: {gap.node for gap in gaps} for workload, (_, gaps) in compared.items()}
    kept = {
        key: each
        for key, each in before.items()
        if abs(now - each.last) <= KEPT_SECONDS and each.node not in looked.get(each.workload, ())
    }
    for workload, (namespace, gaps) in compared.items():
        said = heard(before, workload, namespace, gaps, now)
        kept |= {(node, workload): witness for node, witness in said.items()}
    return kept


def slow_nodes(witnesses: Witnesses) -> tuple[SlowNode, ...]:
    """Those that enough namespaces agree on, the slowest first."""
    by_node: dict[str, list[Witness]] = defaultdict(list)
    for each in witnesses.values():
        if each.last - each.since >= WINDOW_SECONDS:
            by_node[each.node].append(each)
    found = (_agreed(node, them) for node, them in by_node.items())
    return tuple(sorted((each for each in found if each), key=lambda each: (-each.behind, each.node)))


def _agreed(node: str, witnesses: Sequence[Witness]) -> SlowNode | None:
    by_namespace: dict[str, float] = {}
    for each in witnesses:
        by_namespace[each.namespace] = max(each.behind, by_namespace.get(each.namespace, 0.0))
    if len(by_namespace) < LEAST_NAMESPACES:
        return None
    behind = sorted(by_namespace.values(), reverse=True)[LEAST_NAMESPACES - 1]
    workloads = tuple(sorted(each.workload for each in witnesses))
    return SlowNode(node, behind, workloads, max(each.last for each in witnesses))


def within_share(
    slow: Sequence[SlowNode], nodes: Iterable[NodeView], marked: Collection[str]
) -> tuple[tuple[SlowNode, ...], tuple[SlowNode, ...]]:
    """Those that may be marked, and those that would be too many of their product; who is marked already goes first."""
    product = {node.name: _product(node) for node in nodes}
    left = {name: _most(sum(each == name for each in product.values())) for name in set(product.values())}
    for name in marked:
        if name in product and name not in {each.node for each in slow}:
            left[product[name]] -= 1
    may: list[SlowNode] = []
    over: list[SlowNode] = []
    for each in sorted(slow, key=lambda each: (each.node not in marked, -each.behind, each.node)):
        if each.node not in product:
            continue
        room = left[product[each.node]] > 0
        left[product[each.node]] -= room
        (may if room else over).append(each)
    return tuple(may), tuple(over)


def _product(node: NodeView) -> str:
    return node.device.gpu.key if node.device else node.product_label or ""


def _most(nodes: int) -> int:
    """1 of 4 to 39, 2 of 40."""
    return max(int(MOST_SHARE * nodes), int(nodes >= LEAST_NODES))
