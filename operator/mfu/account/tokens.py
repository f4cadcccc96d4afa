"""What a service's tokens come to, prompt and written tokens apart, and what they bring where they are sold."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.hardware.price import PriceBook, per_million_tokens


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Tokens per second over all replicas, as engines report them; None where they do not. What a cache spares counts
    in neither."""

    read: float | None = None
    written: float | None = None


@dataclass(frozen=True, slots=True)
class PromptTime:
    """Part of a step's time that prompts take, 0 to 1, and prompt tokens per written one, both as predicted."""

    share: float
    per_written: float | None


@dataclass(frozen=True, slots=True)
class TokenCosts:
    """Money per million tokens; None where a rate is not measured, or none of them come."""

    read: float | None = None
    written: float | None = None


def token_costs(per_hour: float | None, rates: TokenRates, time: PromptTime) -> TokenCosts | None:
    """The money divided by the time that each kind takes: what both cost adds up to `per_hour`.

    Prompts pay for what they add to the steps; the rest is written tokens'. $36/h for 8,000 prompt and 1,000 written
    tokens a second, a quarter of the time prompts': `token_costs(36.0, TokenRates(8e3, 1e3), PromptTime(0.25, 8.0)) ==
    TokenCosts(read=0.3125, written=7.5)`. None unless both rates are measured, or all time is of one kind.
    """
    share = _share(rates, time)
    if per_hour is None or share is None:
        return None
    read, written = (
        per_million_tokens(per_hour * part, rate) if part > 0 else None
        for part, rate in ((share, rates.read), (1.0 - share, rates.written))
    )
    return None if read is None and written is None else TokenCosts(read, written)


def _share(rates: TokenRates, time: PromptTime) -> float | None:
    """Prompts' part at the measured mix: with twice as many of them for each written token its odds are doubled."""
    if time.share in (0.0, 1.0):
        return time.share
    if rates.read is None or not rates.written or not time.per_written:
        return None
    odds = time.share / (1.0 - time.share) * (rates.read / rates.written) / time.per_written
    return odds / (1.0 + odds)


def revenue_of_tokens(book: PriceBook, rates: TokenRates) -> float | None:
    """Per hour; None where what is charged for is not measured. At $3 and $12 per million prompt and written tokens:
    8,000 and 1,000 a second bring $86.40 and $43.20.
    """
    sold = [(book.charge_per_million_input_tokens, rates.read), (book.charge_per_million_tokens, rates.written)]
    charged = [(charge, rate) for charge, rate in sold if charge is not None]
    if not charged or any(rate is None for _, rate in charged):
        return None
    return sum(charge * (rate or 0.0) * 3600.0 / 1e6 for charge, rate in charged)
