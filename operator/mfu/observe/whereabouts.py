"""Which node or GPU departed from its peers when a workload's efficiency changed. Readings before and after; pure.

Devices that work together change together. What changed the cause itself (a clock, a link) tells more than what others
made of it (waiting), so signs are asked in that order, and one that points at several places points at none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import Metric, WorkloadSeries

LEAST_SAMPLES: Final = 3
MOST_OF_A_NODE: Final = 0.75
"""Share of a node's GPUs that depart together from which it is the node."""
Levels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sign:
    """A reading that parts the culprit from its peers. Differences are relative; negative: it falls behind them."""

    name: str
    metric: Metric
    departs: float
    unlike: float | None = None
    """The difference that tells without a before: peers are alike in this reading. None: they need not be."""


SIGNS: Final = (
    Sign("PCIe width", Metric.PCIE_LINK_WIDTH, -0.2, -0.2),
    Sign("SM clock", Metric.SM_CLOCK, -0.04, -0.06),
    Sign("NVLink traffic", Metric.NVLINK_TX, -0.3, -0.5),
    Sign("time active", Metric.GR_ENGINE_ACTIVE, -0.04, -0.06),
    Sign("time at work", Metric.SM_ACTIVE, 0.04),
)
"""The last two are of waiting: a late rank is idle while its peers hold a collective open; a slow one never waits."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A place and the reading that points at it. `gpu` is a UUID; None where it is the whole node."""

    node: str
    gpu: str | None
    evidence: str


@dataclass(frozen=True, slots=True, eq=False)
class DeviceLevels:
    """Mean readings of a workload's devices over some minutes: `values` is [devices, SIGNS], NaN unknown."""

    places: tuple[tuple[str, str], ...]
    """Node and GPU of each device."""
    values: Levels


def levels_of(series: WorkloadSeries, *, since: float, until: float) -> DeviceLevels | None:
    """None where too little was read, or no node is known."""
    inside = (series.times >= since) & (series.times <= until)
    if int(inside.sum()) < LEAST_SAMPLES or any(each.node is None for each in series.devices):
        return None
    rows = series.values[inside][..., [each.metric for each in SIGNS]]
    known = np.isfinite(rows)
    count = known.sum(axis=0)
    total = np.where(known, rows, 0.0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    places = tuple((each.node or "", each.key.uuid) for each in series.devices)
    return DeviceLevels(places, mean.astype(np.float32))


def departed(before: DeviceLevels | None, after: DeviceLevels) -> Whereabouts | None:
    """The one node or GPU that departed. Without a before of the same devices, the one that is unlike its peers."""
    if len(after.places) < 2:
        return None
    known = before if before is not None and before.places == after.places else None
    for column, sign in enumerate(SIGNS):
        least = sign.unlike if known is None else sign.departs
        if least is None:
            continue
        now = after.values[:, column].astype(np.float64)
        ratio = now if known is None else _ratio(now, known.values[:, column].astype(np.float64))
        found = _one_place(ratio, after.places, least)
        if found is not None:
            return _told(found, sign.name)
    return None


def _ratio(now: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(now, then, out=np.full(len(now), np.nan), where=then > 0)
    return ratio


@dataclass(frozen=True, slots=True)
class _Found:
    node: str
    gpu: str | None
    relative: float


def _one_place(ratio: NDArray[np.float64], places: Sequence[tuple[str, str]], least: float) -> _Found | None:
    """Who differs from the healthiest peers by `least` or more: all of one node, or a single GPU."""
    if not np.isfinite(ratio).all() or ratio.max() <= 0:
        return None
    by_node: dict[str, list[int]] = defaultdict(list)
    for index, (node, _) in enumerate(places):
        by_node[node].append(index)
    medians = [float(np.median(ratio[rows])) for rows in by_node.values()]
    peers = max(medians) if least < 0 else min(medians)
    if peers <= 0:
        return None
    relative = ratio / peers - 1
    apart = np.flatnonzero(relative <= least if least < 0 else relative >= least).tolist()
    nodes = {places[index][0] for index in apart}
    if len(nodes) != 1:
        return None
    (node,) = nodes
    mean = float(relative[apart].mean())
    if len(apart) == 1 and len(by_node[node]) > 1:
        return _Found(*places[apart[0]], mean)
    whole = len(apart) >= MOST_OF_A_NODE * len(by_node[node]) and len(by_node) > 1
    return _Found(node, None, mean) if whole else None


def _told(found: _Found, name: str) -> Whereabouts:
    """`SM clock of node gpu-3 -8 % beside its peers`."""
    what = f"node {found.node}" if found.gpu is None else f"GPU {found.gpu} on {found.node}"
    return Whereabouts(found.node, found.gpu, f"{name} of {what} {100 * found.relative:+.0f} % beside its peers")
