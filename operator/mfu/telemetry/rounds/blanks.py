"""Numbers that mean "no number": DCGM's blank sentinels by exact value, NaN, infinities, and what no GPU can do."""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.observe.readings import Floats, Metric

# dcgm_structs.h: BLANK, NOT_FOUND, NOT_SUPPORTED, NOT_PERMISSIONED of each type. The four 64-bit integers
# 9223372036854775792…795 all round to 2**63 as float64, which is also how Prometheus hands them back.
_INT32: Final = tuple(float(0x7FFFFFF0 + offset) for offset in range(4))
_FLOAT64: Final = tuple(140737488355328.0 + offset for offset in range(4))
_INT64: Final = (float(2**63),)
BLANKS: Final = frozenset(_INT32 + _FLOAT64 + _INT64)
_LARGEST: Final = 2.0**64
_SMALLEST: Final = min(BLANKS)
_SORTED: Final = np.array(sorted(BLANKS))

_RATIO_HIGH: Final = 1.1
"""Ratios of counters pass 1 by sampling noise; a reading of 1.2 is another unit."""

_HIGH: Final[dict[Metric, float]] = {
    Metric.SM_CLOCK: 5e9,
    Metric.POWER: 5e3,
    Metric.POWER_LIMIT: 5e3,
    Metric.FB_USED: 4 * 2.0**40,
    Metric.FB_TOTAL: 4 * 2.0**40,
    Metric.PCIE_RX: 1e12,
    Metric.PCIE_TX: 1e12,
    Metric.NVLINK_RX: 1e13,
    Metric.NVLINK_TX: 1e13,
    Metric.CLOCK_EVENTS: float(2**32),
    Metric.XID: 65535.0,
    Metric.TEMPERATURE: 200.0,
    Metric.ECC_UNCORRECTED: 1e12,
    Metric.PCIE_LINK_GEN: 10.0,
    Metric.PCIE_LINK_WIDTH: 64.0,
    Metric.ENERGY: 1e14,
}
LOWEST: Final[Floats] = np.array([-60.0 if metric is Metric.TEMPERATURE else 0.0 for metric in Metric])
HIGHEST: Final[Floats] = np.array([_HIGH.get(metric, _RATIO_HIGH) for metric in Metric])


def is_blank(value: float) -> bool:
    """`is_blank(9223372036854775794.0) and is_blank(140737488355329.0) and not is_blank(1.4e14)`."""
    return value in BLANKS or value != value or value in (float("inf"), float("-inf"))


def blank_to_nan(values: Floats) -> Floats:
    """A copy of raw numbers in which sentinels and what no 64-bit field holds are NaN. Other large numbers stay."""
    cleaned = np.where(np.abs(values) < _LARGEST, values, np.nan)
    suspects = cleaned >= _SMALLEST
    if suspects.any():
        cleaned[suspects & np.isin(cleaned, _SORTED)] = np.nan
    return cleaned


def impossible_to_nan(values: Floats) -> tuple[Floats, int]:
    """Values [..., METRICS] with what no GPU can do turned to NaN, and how many there were."""
    outside = (values < LOWEST) | (values > HIGHEST)
    count = int(outside.sum())
    return (np.where(outside, np.nan, values), count) if count else (values, 0)
