"""Which node should get another MIG layout so that more of those who wait get a slice: one at a time.

Only nodes that an admin has given to MIG already and that mig-manager looks after (its label names a layout, its last
one succeeded, slices are resources of their own) are ever re-shaped, and only to layouts that it knows by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.decide.fleet.mig.configs import named_layouts
from mfu.decide.fleet.mig.layouts import Counts, profiles_of
from mfu.decide.fleet.mig.planner import SlicedNode, plan_layouts
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import NodeView
from mfu.hardware.labels import MIG_CONFIG_LABEL, MIG_PREFIX

STATE_LABEL: Final = "nvidia.com/mig.config.state"
STRATEGY_LABEL: Final = "nvidia.com/mig.strategy"
COUNT_LABEL: Final = "nvidia.com/gpu.count"
_MOVED: Final = 1.0
"""What moving the holder of a slice costs: as much as one who waits gains by getting one."""


@dataclass(frozen=True, slots=True)
class Relayout:
    """One node that should get another layout."""

    node: str
    config: str
    wanted: Mapping[str, int]
    """Slices by resource name that the node offers then."""
    serves: tuple[str, ...]
    """Workloads that wait for such slices, the one whose turn is first in front."""
    moved: int
    """Slices that are held there now: their pods leave, and find as many again."""

    @property
    def slices(self) -> str:
        """Such as `4 of 3g.40gb`."""
        return sliced_words(self.wanted)

    @property
    def words(self) -> str:
        leave = f", after its {self.moved} held slices are left within their budgets" if self.moved else ""
        return f"give node {self.node} the MIG layout {self.config} ({self.slices}){leave}"


def sliced_words(wanted: Mapping[str, int]) -> str:
    """`{"nvidia.com/mig-3g.40gb": 4}` in words: `4 of 3g.40gb`."""
    return ", ".join(f"{count} of {name.removeprefix(MIG_PREFIX)}" for name, count in wanted.items())


def relayout(nodes: Iterable[NodeView], standings: Sequence[Standing], spared: Collection[str] = ()) -> Relayout | None:
    """The change that serves most of those who wait, less what it moves; None where none gains. `spared` nodes stay."""
    return next(iter(relayouts(nodes, standings, spared)), None)


def relayouts(
    nodes: Iterable[NodeView], standings: Sequence[Standing], spared: Collection[str] = ()
) -> tuple[Relayout, ...]:
    """All changes of the plan, the one that serves most in front."""
    waiting = sorted((each for each in standings if each.pending and _profile(each)), key=lambda each: each.turn)
    if not waiting:
        return ()
    wanted: dict[str, list[float]] = {}
    for each in waiting:
        wanted.setdefault(_profile(each), []).extend([1.0] * _slices(each))
    by_product: dict[str, list[NodeView]] = {}
    for node in nodes:
        if node.name not in spared and _given_to_mig(node) and node.device is not None:
            by_product.setdefault(node.device.gpu.key, []).append(node)
    found = (change for group in by_product.values() for change in _changes(group, wanted, waiting))
    return tuple(sorted(found, key=lambda each: (-len(each.serves), each.moved, each.node)))


def _profile(standing: Standing) -> str:
    return standing.ask.profile if standing.ask is not None else ""


def _slices(standing: Standing) -> int:
    return standing.ask.gpus * standing.ask.copies if standing.ask is not None else 0


def _given_to_mig(node: NodeView) -> bool:
    device, config = node.device, node.labels.get(MIG_CONFIG_LABEL, "")
    if device is None or not (node.ready and node.schedulable) or node.replicas or node.sharing:
        return False
    mixed = node.labels.get(STRATEGY_LABEL) == "mixed" and node.labels.get(STATE_LABEL) == "success"
    return mixed and _gpus(node) > 0 and config in named_layouts(device.gpu.key)


def _gpus(node: NodeView) -> int:
    count = node.labels.get(COUNT_LABEL, "")
    return int(count) if count.isascii() and count.isdigit() else 0


def _changes(
    nodes: Sequence[NodeView], wanted: Mapping[str, list[float]], waiting: Sequence[Standing]
) -> Iterator[Relayout]:
    """Of the nodes of one product, those that the plan changes for somebody."""
    key = nodes[0].device.gpu.key if nodes[0].device else ""
    configs = named_layouts(key)
    sliced = {node.name: _sliced(node, key, configs) for node in nodes}
    for name, layouts in plan_layouts(list(sliced.values()), wanted).changes.items():
        config = next(each for each, counts in configs.items() if counts == layouts[0])
        before, after = _offered(key, sliced[name].layouts), _offered(key, layouts)
        serves = tuple(each.key for each in waiting if after[_profile(each)] > before[_profile(each)])
        slices = {f"{MIG_PREFIX}{profile}": count for profile, count in sorted(after.items()) if count}
        if serves:
            yield Relayout(name, config, slices, serves, sum(sliced[name].held))


def _sliced(node: NodeView, key: str, configs: Mapping[str, Counts]) -> SlicedNode:
    """Who holds which GPU's slices is not known and not needed: the node is re-shaped as a whole."""
    gpus, names = _gpus(node), [each.name for each in profiles_of(key)]
    held = tuple(node.used.get(f"{MIG_PREFIX}{name}", 0) for name in names)
    nothing = (0,) * len(names)
    return SlicedNode(
        name=node.name,
        gpu_key=key,
        layouts=(configs[node.labels[MIG_CONFIG_LABEL]],) * gpus,
        used=(held, *(nothing,) * (gpus - 1)),
        drain_cost=_MOVED * sum(held),
        choices=tuple((counts,) * gpus for counts in configs.values()),
    )


def _offered(key: str, layouts: Sequence[Counts]) -> Counter[str]:
    found: Counter[str] = Counter()
    for counts in layouts:
        found.update({profile.name: count for profile, count in zip(profiles_of(key), counts, strict=True)})
    return found
