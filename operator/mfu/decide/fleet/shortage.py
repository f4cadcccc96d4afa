"""Why there is no place: what is missing, who stands ahead, and who holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mfu.decide.fleet.capacity import Capacity, DeviceKind, Pool
from mfu.decide.fleet.fitting import fit
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.reasons import Why

_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Shortage:
    reason: Why
    message: str


@dataclass(frozen=True, slots=True)
class Promise:
    """What one workload was given ahead of others: in this cycle, or in one before and on its way."""

    key: str
    kind: DeviceKind
    gpus: int
    why: str
    """What put it ahead, such as "priority 10"."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who holds how many devices of each kind."""

    by_kind: Mapping[DeviceKind, Sequence[tuple[str, int]]]

    @classmethod
    def of(cls, standings: Iterable[Standing]) -> Ownership:
        found: dict[DeviceKind, list[tuple[str, int]]] = {}
        for standing in standings:
            for kind, gpus in standing.holds.items():
                found.setdefault(kind, []).append((standing.key, gpus))
        return cls(found)


class Hope(NamedTuple):
    """Whether there could ever be a place, and whether there was one before the others of this cycle drew."""

    ever: bool
    at_first: bool


def hope(ask: Need, opening: Capacity) -> Hope:
    return Hope(fit(ask, opening.emptied) is not None, fit(ask, opening) is not None)


def shortage(ask: Need, left: Capacity, hoped: Hope, *, promises: Sequence[Promise], owners: Ownership) -> Shortage:
    """What keeps `ask` from a place in what is left."""
    allowed = _allowed(ask, left)
    if not hoped.ever:
        return Shortage(Why.NEVER_FITS, _never(ask, left, allowed))
    free = sum(pool.free_gpus for pool in allowed)
    missing = f"{_wanted(ask)}, {free} free on {_products(allowed)}"
    promised = _promised(allowed, promises)
    ahead = _ahead(promised)
    if hoped.at_first:
        return Shortage(Why.OTHERS_AHEAD, f"{missing}; ahead: {ahead}")
    told = "; ".join(part for part in (missing, ahead and f"ahead: {ahead}", _held(allowed, owners, promised)) if part)
    return Shortage(Why.FRAGMENTED if free >= ask.gpus else Why.NO_CAPACITY, told)


def _allowed(ask: Need, capacity: Capacity) -> list[Pool]:
    """On nodes that its pods' own words admit."""
    allowed = (pool for kind, pool in capacity.pools.items() if ask.allows(kind, pool.product))
    return [pool.admitting(ask.constraints) for pool in allowed]


def _never(ask: Need, capacity: Capacity, allowed: Sequence[Pool]) -> str:
    small = sorted(_name(kind) for kind, pool in capacity.pools.items() if pool.product in ask.unfit)
    if not allowed and small:
        return f"the model does not fit into the memory of {', '.join(small)}, and no other product is there"
    if not allowed:
        present = sorted({_name(kind) for kind in capacity.pools})
        return f"{_wanted(ask)}, and no node has such GPUs: there are {', '.join(present) or 'none at all'}"
    most = max(_most(ask, pool) for pool in allowed)
    if most < ask.gpus <= _anywhere(ask, capacity):
        own = "on nodes that its pods' own nodeSelector, affinity and tolerations admit"
        return f"{_wanted(ask)}, and {own} there are {most or 'none'}: {_products(allowed)} has more elsewhere"
    return f"{_wanted(ask)}, more than the cluster could ever give: {_products(allowed)} has {most} at most"


def _most(ask: Need, pool: Pool) -> int:
    """Devices in whole pods, were nothing running."""
    return int((pool.total // ask.piece * ask.piece).sum())


def _anywhere(ask: Need, capacity: Capacity) -> int:
    """The most of one product, wherever it is."""
    return max(_most(ask, pool) for kind, pool in capacity.pools.items() if ask.allows(kind, pool.product))


def _wanted(ask: Need) -> str:
    unit = f"slices {ask.profile}" if ask.profile else "GPUs"
    each = f", {ask.piece} to a pod" if 1 < ask.piece < ask.gpus else ""
    return f"{ask.gpus} {unit} wanted together{each}"


def _products(pools: Sequence[Pool]) -> str:
    return ", ".join(_name(pool.kind) for pool in pools)


def _name(kind: DeviceKind) -> str:
    return f"{kind.product_label} {kind.profile}".rstrip()


def _promised(allowed: Sequence[Pool], promises: Sequence[Promise]) -> list[Promise]:
    kinds = {pool.kind for pool in allowed}
    return [each for each in promises if each.kind in kinds]


def _ahead(promised: Sequence[Promise]) -> str:
    given: Counter[tuple[str, str]] = Counter()
    for each in promised:
        given[(each.key, each.why)] += each.gpus
    return _list([f"{key} ({gpus} GPUs, {why})" for (key, why), gpus in given.items()])


def _held(allowed: Sequence[Pool], owners: Ownership, promised: Sequence[Promise]) -> str:
    """Named holders, the largest first; without any, pods of nobody and nodes that take no pods."""
    named = [each for pool in allowed for each in owners.by_kind.get(pool.kind, ())]
    named.sort(key=lambda each: (-each[1], each[0]))
    if named:
        return f"held by {_list([f'{key} ({gpus})' for key, gpus in named])}"
    busy = sum(int((pool.total - pool.free).sum()) for pool in allowed) - sum(each.gpus for each in promised)
    return f"{busy} are held without a ModelWorkload"


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
