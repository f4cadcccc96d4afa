"""Where the fleet's money goes: useful, lost, held idle, unallocated and unknown. Whole cents, and they add up.

A holding's price is divided by shares that add up to 1; what has no price is in no bill and counted beside it. Amounts
of two currencies are never added: each has a bill of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Final


@dataclass(frozen=True, slots=True)
class Use:
    """What becomes of one holding's money: shares of its price that add up to 1."""

    useful: float = 0.0
    lost: float = 0.0
    held_idle: float = 0.0
    unallocated: float = 0.0
    unknown: float = 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        return self.useful, self.lost, self.held_idle, self.unallocated, self.unknown


UNALLOCATED: Final = Use(unallocated=1.0)
HELD_IDLE: Final = Use(held_idle=1.0)
UNKNOWN: Final = Use(unknown=1.0)


def used(lost_share: float | None, *, idle: bool = False) -> Use:
    """What somebody holds: `used(0.25) == Use(useful=0.75, lost=0.25)`; unknown where nothing says what is lost."""
    if lost_share is None:
        return UNKNOWN
    lost = min(1.0, max(0.0, lost_share))
    return Use(useful=1.0 - lost, held_idle=lost) if idle else Use(useful=1.0 - lost, lost=lost)


@dataclass(frozen=True, slots=True)
class Item:
    """GPUs that belong together, with their price per hour in the currency of whoever prices them."""

    currency: str
    gpus: float
    price_per_hour: float | None
    use: Use


@dataclass(frozen=True, slots=True)
class Bill:
    """Cents per hour. The five parts add up to `total` exactly."""

    total: int
    useful: int
    lost: int
    held_idle: int
    unallocated: int
    unknown: int
    unpriced_gpus: float = 0.0
    """GPUs of no known price: their money is not in the total."""


def bills(items: Iterable[Item]) -> dict[str, Bill]:
    """By currency. Parts are rounded so that they add up to the rounded total, the largest remainders up.

    >>> bills([Item("$", 1, 0.10, used(1 / 3)), Item("$", 1, 0.05, UNALLOCATED)])["$"]
    Bill(total=15, useful=7, lost=3, held_idle=0, unallocated=5, unknown=0, unpriced_gpus=0.0)
    """
    by_currency: dict[str, list[Item]] = {}
    for item in items:
        by_currency.setdefault(item.currency, []).append(item)
    return {currency: _bill(mine) for currency, mine in sorted(by_currency.items())}


def _bill(items: Sequence[Item]) -> Bill:
    priced = [(each.price_per_hour, each.use.shares) for each in items if each.price_per_hour is not None]
    exact = [100.0 * fsum(price * shares[part] for price, shares in priced) for part in range(5)]
    useful, lost, held_idle, unallocated, unknown = cents = _whole(exact)
    unpriced = fsum(each.gpus for each in items if each.price_per_hour is None)
    return Bill(sum(cents), useful, lost, held_idle, unallocated, unknown, unpriced)


def _whole(exact: Sequence[float]) -> list[int]:
    """Whole numbers that add up to the rounded sum, each within 1 of its own value."""
    down = [floor(each) for each in exact]
    missing = round(fsum(exact)) - sum(down)
    nearest = sorted(range(len(exact)), key=lambda part: (down[part] - exact[part], part))
    return [each + (part in nearest[:missing]) for part, each in enumerate(down)]
