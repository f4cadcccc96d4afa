"""Quantities that people write as strings: token counts ("15T"), prices ("2.99") and sizes ("61Gi")."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field

from mfu.units import GIB, KIB, MIB

TOKENS_PATTERN: Final = r"^[1-9][0-9]{0,17}(\.[0-9]{1,6})?(k|M|G|B|T)?$"
PRICE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
SIZE_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti)?$"

TokenQuantity = Annotated[str, Field(max_length=32, pattern=TOKENS_PATTERN)]
PriceQuantity = Annotated[str, Field(max_length=20, pattern=PRICE_PATTERN)]
SizeQuantity = Annotated[str, Field(max_length=24, pattern=SIZE_PATTERN)]

_TOKEN_FACTORS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_SIZE_FACTORS: Final = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": 1024 * GIB}


class InvalidQuantity(ValueError):
    """A string that is no quantity; the message says which forms there are."""


def tokens(quantity: str) -> int:
    """Token count, decimal suffixes only: `tokens("15T") == 15 * 10**12`, `tokens("1.5B") == 1_500_000_000`."""
    if not re.match(TOKENS_PATTERN, quantity):
        raise InvalidQuantity(f"{quantity!r} is no token count: write digits and k, M, B or T, such as 15T or 300B")
    number, suffix = _split(quantity)
    return int(number * _TOKEN_FACTORS[suffix])


def price(quantity: str) -> float:
    """Amount of money: `price("2.99") == 2.99`."""
    if not re.match(PRICE_PATTERN, quantity):
        raise InvalidQuantity(
            f"{quantity!r} is no price: write a plain decimal number such as 2.99, without a currency"
        )
    return float(quantity)


def size_bytes(quantity: str) -> float:
    """Binary size: `size_bytes("61Gi") == 61 * 1024**3`."""
    if not re.match(SIZE_PATTERN, quantity):
        raise InvalidQuantity(f"{quantity!r} is no size: write digits and Ki, Mi, Gi or Ti, such as 80Gi")
    number, suffix = _split(quantity)
    return float(number * _SIZE_FACTORS[suffix])


def fraction(text: str | None) -> float | None:
    """Decimal string of a status field as a number: `fraction("0.4123") == 0.4123`; absent stays unknown."""
    return None if text is None else float(text)


def _split(quantity: str) -> tuple[Decimal, str]:
    digits = quantity.rstrip("kKMGBTi")
    return Decimal(digits), quantity[len(digits) :]
