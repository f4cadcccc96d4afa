"""Where an ask fits best: which product, which NVLink domains, which nodes, in the order of the ranks.

The score of a place is what the objective is worth there per GPU, as a share of the best that the ask could have
anywhere, less at most one percent each for free GPUs that it strands and for levels of the network that it crosses:
nearness and tidiness decide between places that are worth the same, and never against one that is worth more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.decide.fleet.capacity import Capacity, Counts, DeviceKind, Domain, Pool, Share
from mfu.decide.fleet.standing import Need
from mfu.decide.fleet.topology import crossed

STRANDED_COST: Final = 0.01
"""Share of its worth that a place loses when all free GPUs beside it are left over in domains that are not whole."""
CROSSING_COST: Final = 0.01
"""Share of its worth that a place loses when its nodes share no switch at all."""
SLOW_COST: Final = 0.1
"""Share of its worth that a place loses by a node that is marked slow: its slowest rank sets the pace. Nodes are marked
from 14 % behind their peers at the usual confidence, and from 5 % at the least."""
CLEARLY_BETTER: Final = 1.05 / 0.95
"""A place that was told stays while no other scores this much higher: predictions may be off by 5 % each way."""


class Quality(IntEnum):
    """Lower is better."""

    ONE_DOMAIN = 0
    WHOLE_GROUPS = 1
    SPLIT_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Grant:
    """Devices of one kind that one copy of a workload gets; `shares` are in the order of its ranks."""

    kind: DeviceKind
    quality: Quality
    shares: tuple[Share, ...]
    domains: tuple[Domain, ...]
    score: float = 1.0
    """0–1."""
    worth: float | None = None
    """Per GPU, in the unit of the ask; None where nothing is known of the product."""
    slow: tuple[str, ...] = ()
    """Those of its nodes that are marked slow."""

    @property
    def gpus(self) -> int:
        return sum(share.gpus for share in self.shares)

    @property
    def nodes(self) -> frozenset[str]:
        return frozenset(share.node for share in self.shares)


Incumbent = tuple[DeviceKind, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Pick:
    """The place that was chosen, and the best one on another product."""

    grant: Grant
    runner_up: Grant | None = None


def fit(ask: Need, capacity: Capacity, incumbent: Incumbent | None = None) -> Pick | None:
    """The best place for one copy; None where nothing holds it."""
    ranked = offers(ask, capacity)
    if not ranked:
        return None
    best = ranked[0]
    kept = _kept(ask, capacity, incumbent)
    stays = kept is not None and _rank(kept)[:2] == _rank(best)[:2] and kept.score * CLEARLY_BETTER >= best.score
    grant = kept if kept is not None and stays else best
    return Pick(grant, next((each for each in ranked if each.kind != grant.kind), None))


def offers(ask: Need, capacity: Capacity) -> list[Grant]:
    """The best place of each product, the best first.

    Split tensor groups come last; where nothing is known of speeds, one domain comes before several.
    """
    found = [
        offer
        for kind, pool in capacity.pools.items()
        if ask.allows(kind, pool.product) and (offer := _offer(ask, pool)) is not None
    ]
    return sorted(found, key=_rank)


def _rank(grant: Grant) -> tuple[bool, int, float, str]:
    blind = int(grant.quality) if grant.worth is None else 0
    return grant.quality is Quality.SPLIT_GROUPS, blind, -grant.score, grant.kind.product_label


def _kept(ask: Need, capacity: Capacity, incumbent: Incumbent | None) -> Grant | None:
    """The best place on the nodes that were told last."""
    pool = capacity.pools.get(incumbent[0]) if incumbent else None
    if incumbent is None or pool is None or not ask.allows(pool.kind, pool.product):
        return None
    return _offer(ask, pool.only(incumbent[1]))


def _offer(ask: Need, pool: Pool) -> Grant | None:
    """The best of the pool, and of its nodes that are not marked slow."""
    pool = pool.admitting(ask.constraints)
    anywhere, swift = _best(ask, pool), pool.swift
    if anywhere is None or swift is pool:
        return anywhere
    named = pool.slow_among(anywhere.shares)
    if not named:
        return anywhere
    anywhere = replace(anywhere, score=anywhere.score * (1.0 - SLOW_COST), slow=named)
    return min((each for each in (_best(ask, swift), anywhere) if each is not None), key=_rank)


def _best(ask: Need, pool: Pool) -> Grant | None:
    """The first quality that the pool can give, at its best score; the first found of equals."""
    if pool.free_gpus < ask.gpus:
        return None
    for quality, group in ((Quality.WHOLE_GROUPS, ask.group), (Quality.SPLIT_GROUPS, ask.piece)):
        field = _field(ask, pool, group, torn=quality is Quality.SPLIT_GROUPS)
        places = list(_places(ask, field))
        if places:
            best = places[0] if len(places) == 1 else max(places, key=lambda each: _score(ask, field, each)[0])
            return _granted(ask, field, best, quality)
    return None


@dataclass(frozen=True, slots=True)
class _Field:
    """A pool as one ask sees it. Arrays over domains, but for `room`, which is over nodes."""

    pool: Pool
    group: int
    room: Counts
    """Free devices in whole pods."""
    usable: Counts
    """In whole groups; all of it where one domain holds the ask."""
    free: Counts
    first: Counts
    """One node of each domain: all of them are under the same switches."""


_Amounts = dict[int, int]
"""Devices taken from each domain."""


def _field(ask: Need, pool: Pool, group: int, *, torn: bool) -> _Field:
    """`torn`: tensor groups may reach beyond what NVLink joins."""
    room = pool.free // ask.piece * ask.piece
    together = _by_domain(pool, room)
    if not torn:
        together = np.where(pool.joined < min(ask.tensor, ask.gpus), 0, together)
    usable = np.where(together >= ask.gpus, together, together // group * group)
    first = np.full(len(pool.domains), -1, dtype=np.int64)
    first[pool.domain[::-1]] = np.arange(len(pool.domain))[::-1]
    return _Field(pool, group, room, usable, _by_domain(pool, pool.free), first)


def _by_domain(pool: Pool, amounts: Counts) -> Counts:
    return np.bincount(pool.domain, weights=amounts, minlength=len(pool.domains)).astype(np.int64)


def _places(ask: Need, field: _Field) -> Iterator[_Amounts]:
    """Where NVLink joins what is taken from each domain, if that is enough; and wherever there is room."""
    weak = field.pool.joined < ask.gpus
    if weak.any():
        yield from _candidates(ask, replace(field, usable=np.where(weak, 0, field.usable)))
    yield from _candidates(ask, field)


def _candidates(ask: Need, field: _Field) -> Iterator[_Amounts]:
    """One domain where any holds the ask; else candidates from the nearest switch to the whole pool."""
    single = np.flatnonzero(field.usable >= ask.gpus)
    if single.size:
        left = field.free[single] - ask.gpus
        yield {int(single[left.argmin()]): ask.gpus}
        return
    if int(field.usable.sum()) < ask.gpus:
        return
    for near in _neighbourhoods(field, ask.gpus):
        room = np.where(near, field.usable, 0)
        yield _packed(room, _fewest(room, ask.gpus), ask.gpus)
        yield _balanced(room, _largest(room, ask.gpus), ask.gpus, field.group)


def _neighbourhoods(field: _Field, wanted: int) -> Iterator[NDArray[np.bool_]]:
    """Masks over domains: at each level the switches with the least and the most room for the ask; then everything."""
    for codes in field.pool.levels[::-1]:
        _, switch = np.unique(codes[field.first], return_inverse=True)
        room = np.bincount(switch, weights=field.usable).astype(np.int64)
        holding = np.flatnonzero(room >= wanted)
        if holding.size:
            yield switch == holding[room[holding].argmin()]
            yield switch == holding[room[holding].argmax()]
    yield np.ones(len(field.usable), dtype=bool)


def _fewest(room: Counts, wanted: int) -> list[int]:
    """The largest first until one can hold the rest, and of those the tightest; the first by name of equals."""
    chosen: list[int] = []
    left, open_ = wanted, room.copy()
    while left > 0:
        holding = np.flatnonzero(open_ >= left)
        pick = int(holding[open_[holding].argmin()]) if holding.size else int(open_.argmax())
        left -= int(open_[pick])
        open_[pick] = 0
        chosen.append(pick)
    return chosen


def _largest(room: Counts, wanted: int) -> list[int]:
    """As few, all of the largest: what lets every one of them hold the most."""
    order = np.argsort(-room, kind="stable")
    count = int(np.searchsorted(np.cumsum(room[order]), wanted)) + 1
    return [int(each) for each in order[:count]]


def _packed(room: Counts, chosen: Sequence[int], wanted: int) -> _Amounts:
    amounts, left = {}, wanted
    for domain in chosen:
        amounts[domain] = min(left, int(room[domain]))
        left -= amounts[domain]
    return amounts


def _balanced(room: Counts, chosen: Sequence[int], wanted: int, group: int) -> _Amounts:
    """As even as whole groups allow: the domain with the fewest devices sets the pace."""
    rising = sorted(chosen, key=lambda each: int(room[each]))
    amounts, left, later = {}, wanted, int(room[list(chosen)].sum())
    for place, domain in enumerate(rising):
        later -= int(room[domain])
        even = left // (len(rising) - place) // group * group
        amounts[domain] = min(int(room[domain]), max(even, left - later))
        left -= amounts[domain]
    return amounts


def _granted(ask: Need, field: _Field, amounts: _Amounts, quality: Quality) -> Grant:
    """Nodes by domain; near domains follow each other, so that near ranks are near."""
    pool = field.pool
    near = {each: (*pool.levels[:, field.first[each]].tolist(), each) for each in amounts if amounts[each]}
    ordered = sorted(near, key=lambda each: near[each])
    by_domain = np.argsort(pool.domain, kind="stable")
    starts = np.searchsorted(pool.domain[by_domain], ordered)
    ends = np.searchsorted(pool.domain[by_domain], ordered, side="right")
    shares: list[Share] = []
    for domain, start, end in zip(ordered, starts.tolist(), ends.tolist(), strict=True):
        shares += _shares(field, by_domain[start:end], amounts[domain])
    score, worth = _score(ask, field, amounts)
    torn = quality is Quality.SPLIT_GROUPS and bool(pool.joined[ordered].min() < ask.tensor)
    best = Quality.ONE_DOMAIN if len(ordered) == 1 and not torn else quality
    return Grant(pool.kind, best, tuple(shares), tuple(pool.domains[each] for each in ordered), score, worth)


def _shares(field: _Field, members: Counts, amount: int) -> list[Share]:
    """`amount` devices from the fewest nodes of one domain."""
    shares, left = [], amount
    for each in _fewest(field.room[members], amount):
        node = int(members[each])
        taken = min(left, int(field.room[node]))
        shares.append(Share(field.pool.nodes[node], taken))
        left -= taken
    return shares


def _score(ask: Need, field: _Field, amounts: _Amounts) -> tuple[float, float | None]:
    """By the definition at the top; and what it is worth per GPU.

    Worth 400 of a best 400, two free GPUs left in the domain of six, no level crossed: 1 − 0.01 · 2 / 8 = 0.9975.
    """
    touched = [domain for domain, gpus in amounts.items() if gpus]
    together = min(min(amounts[domain], int(field.pool.joined[domain])) for domain in touched)
    worth = ask.worth(field.pool.product, together)
    left = int(field.free[touched].sum()) - ask.gpus
    levels = len(field.pool.levels)
    far = crossed(field.pool.levels, field.first[touched]) / levels if levels else 0.0
    share = (worth or 0.0) / ask.best if ask.best else 1.0
    return share * (1.0 - STRANDED_COST * left / (left + ask.gpus)) * (1.0 - CROSSING_COST * far), worth
