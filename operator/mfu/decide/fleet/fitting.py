"""Where an ask fits: one NVLink domain if any holds it, else the fewest, tensor groups whole as long as that goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mfu.decide.fleet.capacity import Capacity, Counts, Domain, Kind, Pool, Share
from mfu.decide.fleet.standing import Ask


class Quality(IntEnum):
    """Lower is better."""

    ONE_DOMAIN = 0
    WHOLE_GROUPS = 1
    SPLIT_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Grant:
    """Devices of one kind that one copy of a workload gets."""

    kind: Kind
    quality: Quality
    shares: tuple[Share, ...]
    domains: tuple[Domain, ...]

    @property
    def gpus(self) -> int:
        return sum(share.gpus for share in self.shares)


def fit(ask: Ask, capacity: Capacity) -> Grant | None:
    """The best place for one copy: fewest splits, then what leaves the least scraps; None where nothing holds it."""
    offers = [
        offer
        for kind, pool in capacity.pools.items()
        if ask.allows(kind, pool.product) and (offer := _offer(ask, pool)) is not None
    ]
    return min(offers, key=lambda each: each[0], default=(None, None))[1]


_Rank = tuple[int, int, int, str]


def _offer(ask: Ask, pool: Pool) -> tuple[_Rank, Grant] | None:
    if pool.free_gpus < ask.gpus:
        return None
    for quality, group in ((Quality.WHOLE_GROUPS, ask.group), (Quality.SPLIT_GROUPS, ask.piece)):
        grant = _packed(ask, pool, quality, group)
        if grant is not None:
            return (grant.quality, len(grant.domains), _scraps(pool, grant), pool.kind.product_label), grant
    return None


def _packed(ask: Ask, pool: Pool, quality: Quality, group: int) -> Grant | None:
    """Whole groups of `group` devices, in the fewest domains; the last of them the tightest that holds the rest."""
    room = pool.free // ask.piece * ask.piece
    together = np.bincount(pool.domain, weights=room, minlength=len(pool.domains)).astype(np.int64)
    by_domain = np.where(together >= ask.gpus, together, together // group * group)
    if int(by_domain.sum()) < ask.gpus:
        return None
    chosen = _domains(by_domain, ask.gpus)
    shares: list[Share] = []
    left = ask.gpus
    for domain in chosen:
        amount = min(left, int(by_domain[domain]))
        shares += _shares(pool, room, np.flatnonzero(pool.domain == domain), amount)
        left -= amount
    best = Quality.ONE_DOMAIN if len(chosen) == 1 else quality
    return Grant(pool.kind, best, tuple(shares), tuple(pool.domains[each] for each in chosen))


def _domains(room: Counts, wanted: int) -> list[int]:
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


def _shares(pool: Pool, room: Counts, members: Counts, amount: int) -> list[Share]:
    """`amount` devices from nodes of one domain, in the same way."""
    picked = _domains(room[members], amount)
    shares, left = [], amount
    for each in picked:
        node = int(members[each])
        taken = min(left, int(room[node]))
        shares.append(Share(pool.nodes[node], taken))
        left -= taken
    return shares


def _scraps(pool: Pool, grant: Grant) -> int:
    """Free devices that stay beside the grant on its nodes."""
    return sum(pool.free_on(share.node) - share.gpus for share in grant.shares)
