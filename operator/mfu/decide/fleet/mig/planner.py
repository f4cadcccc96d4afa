"""A layout for each node so that those who wait get slices: what they are worth, less what re-shaping a node costs.

A node is re-shaped as a whole: its pods leave it first, and what ran on it gets its slices on it again. So a node that
is re-shaped must still hold all that runs there, and costs what its pods lose by a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final

import numpy as np

from mfu.decide.fleet.mig.layouts import Counts, full_layouts, layouts_of, profiles_of

MOST_ROUNDS: Final = 20
BEAM: Final = 200
"""Partial layouts of a node that are kept from GPU to GPU."""
MOST_ORDERS: Final = 8
"""Orders in which nodes are tried."""
Wanted = Mapping[str, Sequence[float]]
"""By profile, what each workload that waits for it is worth, such as its value per hour."""


@dataclass(frozen=True, slots=True)
class SlicedNode:
    """One node with MIG GPUs of one product. `layouts` and `used` have one entry a GPU: instances, and those held."""

    name: str
    gpu_key: str
    layouts: tuple[Counts, ...]
    used: tuple[Counts, ...]
    drain_cost: float = 0.0
    """What its pods lose when they leave and come back, in the unit of the values."""
    choices: tuple[tuple[Counts, ...], ...] = ()
    """Layouts of the whole node among which to choose, GPU by GPU; empty: whatever its GPUs can hold."""

    @property
    def held(self) -> Counts:
        return _sum(self.used)

    @property
    def free(self) -> Counts:
        return tuple(a - b for a, b in zip(_sum(self.layouts), self.held, strict=True))


@dataclass(frozen=True, slots=True)
class LayoutPlan:
    """New layouts by name of the nodes that change; `value` is what is served less what it costs."""

    changes: Mapping[str, tuple[Counts, ...]] = field(default_factory=dict)
    served: Mapping[str, int] = field(default_factory=dict)
    """By profile, how many of those that wait get a slice."""
    value: float = 0.0


def plan_layouts(nodes: Sequence[SlicedNode], wanted: Wanted) -> LayoutPlan:
    """The layouts worth most. Free slices come first; a node is re-shaped only where that gains more than it costs.

    Nodes choose in turn, each the best answer to what the others offer, until none can do better; from several orders.
    The order of the input does not matter.
    """
    known = sorted(nodes, key=lambda each: each.name)
    best = LayoutPlan()
    for order in _orders(len(known)):
        found = _settled(known, wanted, order)
        if found.value > best.value + 1e-9 or not best.served:
            best = found
    return best


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    """All of few nodes; of many each begins once."""
    if count <= 4:
        yield from permutations(range(count))
        return
    for first in range(min(count, MOST_ORDERS)):
        yield (*range(first, count), *range(first))


def _settled(nodes: Sequence[SlicedNode], wanted: Wanted, order: tuple[int, ...]) -> LayoutPlan:
    chosen: list[tuple[Counts, ...] | None] = [None] * len(nodes)
    for _ in range(MOST_ROUNDS):
        before = list(chosen)
        for row in order:
            chosen[row] = _best_answer(nodes, chosen, row, wanted)
        if chosen == before:
            break
    return _plan(nodes, chosen, wanted)


def _best_answer(
    nodes: Sequence[SlicedNode], chosen: Sequence[tuple[Counts, ...] | None], row: int, wanted: Wanted
) -> tuple[Counts, ...] | None:
    """For one node, the others staying: None leaves it as it is."""
    node = nodes[row]
    others = _offered([each for each in range(len(nodes)) if each != row], nodes, chosen)
    left = {name: list(values[others.get(name, 0) :]) for name, values in _sorted(wanted).items()}
    kept = _worth(_named(node.gpu_key, node.free), left)
    shaped = _shaped(node, left)
    if shaped is None:
        return None
    spare = tuple(a - b for a, b in zip(_sum(shaped), node.held, strict=True))
    return shaped if _worth(_named(node.gpu_key, spare), left) - node.drain_cost > kept + 1e-9 else None


def _shaped(node: SlicedNode, left: Mapping[str, list[float]]) -> tuple[Counts, ...] | None:
    """The layouts of one node that serve most, what runs there first. None where no way was found to hold that."""
    names = [profile.name for profile in profiles_of(node.gpu_key)]
    if node.choices:
        return _worthiest(node, names, left)
    # What runs comes before everything that waits.
    top = 1.0 + sum(sum(values) for values in left.values())
    values = [[top] * held + list(left.get(name, [])) for name, held in zip(names, node.held, strict=True)]
    layouts = _widest(full_layouts(node.gpu_key), values, len(node.layouts))
    total = _sum(layouts)
    return layouts if all(a >= b for a, b in zip(total, node.held, strict=True)) else None


def _worthiest(
    node: SlicedNode, names: Sequence[str], left: Mapping[str, Sequence[float]]
) -> tuple[Counts, ...] | None:
    """Of the choices that hold what runs there, the one whose rest serves most; the first of equals."""

    def worth(layouts: tuple[Counts, ...]) -> float:
        spare = tuple(a - b for a, b in zip(_sum(layouts), node.held, strict=True))
        return _worth(dict(zip(names, spare, strict=True)), left)

    holding = [each for each in node.choices if all(a >= b for a, b in zip(_sum(each), node.held, strict=True))]
    return max(holding, key=worth, default=None)


def _widest(choices: Sequence[Counts], values: Sequence[Sequence[float]], gpus: int) -> tuple[Counts, ...]:
    """GPU by GPU, the BEAM most valuable sums of layouts kept; sums that serve the same are one.

    Values are sorted in each profile, so that of a profile the first so many count.
    """
    most = np.array([len(each) for each in values])
    worth = np.zeros((len(values), int(most.max(initial=0)) + 1))
    for row, each in enumerate(values):
        worth[row, 1 : len(each) + 1] = np.cumsum(each)
    options, columns = np.array(choices), np.arange(len(values))
    sums, picks = np.zeros((1, len(values)), dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    for _ in range(gpus):
        grown = np.minimum(sums[:, None, :] + options[None, :, :], most).reshape(-1, len(values))
        grown, first = np.unique(grown, axis=0, return_index=True)
        best = np.argsort(-worth[columns, grown].sum(axis=1), kind="stable")[:BEAM]
        before, option = np.divmod(first[best], len(options))
        sums, picks = grown[best], np.concatenate((picks[before], option[:, None]), axis=1)
    return tuple(choices[pick] for pick in picks[0].tolist())


def _plan(nodes: Sequence[SlicedNode], chosen: Sequence[tuple[Counts, ...] | None], wanted: Wanted) -> LayoutPlan:
    offered = _offered(range(len(nodes)), nodes, chosen)
    served = {name: min(offered.get(name, 0), len(values)) for name, values in wanted.items()}
    changes = {node.name: new for node, new in zip(nodes, chosen, strict=True) if new is not None}
    cost = sum(node.drain_cost for node in nodes if node.name in changes)
    return LayoutPlan(changes, served, _worth(offered, _sorted(wanted)) - cost)


def _offered(
    rows: Sequence[int] | range, nodes: Sequence[SlicedNode], chosen: Sequence[tuple[Counts, ...] | None]
) -> dict[str, int]:
    total: dict[str, int] = {}
    for row in rows:
        node, new = nodes[row], chosen[row]
        spare = node.free if new is None else tuple(a - b for a, b in zip(_sum(new), node.held, strict=True))
        for name, count in _named(node.gpu_key, spare).items():
            total[name] = total.get(name, 0) + count
    return total


def _named(gpu_key: str, counts: Counts) -> dict[str, int]:
    return {profile.name: count for profile, count in zip(profiles_of(gpu_key), counts, strict=True) if count}


def _worth(offered: Mapping[str, int], values: Mapping[str, Sequence[float]]) -> float:
    return sum(sum(values.get(name, ())[:count]) for name, count in offered.items())


def _sorted(wanted: Wanted) -> dict[str, list[float]]:
    return {name: sorted(values, reverse=True) for name, values in sorted(wanted.items())}


def _sum(counts: Sequence[Counts]) -> Counts:
    return tuple(sum(column) for column in zip(*counts, strict=True))


def valid(node: SlicedNode, layouts: tuple[Counts, ...]) -> bool:
    """Whether each GPU can hold its instances, and the node all that runs on it."""
    known = layouts_of(node.gpu_key)
    holds = all(a >= b for a, b in zip(_sum(layouts), node.held, strict=True))
    return len(layouts) == len(node.layouts) and holds and all(each in known for each in layouts)
