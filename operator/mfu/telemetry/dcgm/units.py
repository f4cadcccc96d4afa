"""Which unit a target prints, decided per target from evidence, and raw rows turned into the units of GPURound.

Three regimes are live: legacy (dcgm-exporter up to 4.5.3-4.8.2), transition (4.6.0-4.8.3 and 4.8.4, new spellings
possible but old units) and new (4.9.0, DCGM 4.7: eleven fields change unit). `DCGM_FI_DEV_GPU_UTIL_RATIO` is percent in
the second and a fraction in the third, so a name alone decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import METRICS, Floats, Metric
from mfu.telemetry.dcgm.fields import SAME_UNIT, Raw
from mfu.telemetry.dcgm.labels import Trait
from mfu.units import MIB

_MHZ: Final = 1e6
_LARGEST_MHZ: Final = 1e5
"""No clock is above 100 GHz and none in use is below 0.1 MHz, so MHz and Hz cannot be mixed up by size."""
_LARGEST_MIB: Final = 4e6
"""4 TiB in MiB; in bytes it would be a GPU of 4 MB. Applies to capacity, where no device is near it."""
_MILLI: Final = 1e-3


class UnitRegime(IntEnum):
    """Unit regime of one target."""

    UNKNOWN = 0
    LEGACY = 1
    TRANSITION = 2
    NEW = 3


@dataclass(frozen=True, slots=True)
class Targets:
    """Raw rows of many targets at once: `of_row` [rows] is the target of each row, `traits` [targets] its labels."""

    of_row: NDArray[np.intp]
    traits: NDArray[np.int64]

    def any(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Per row: does the condition hold on some row of the same target?"""
        per_target = np.bincount(self.of_row, weights=rows, minlength=len(self.traits)) > 0
        found: NDArray[np.bool_] = per_target[self.of_row]
        return found

    def has(self, trait: Trait) -> NDArray[np.bool_]:
        """Per row: does its target show this label?"""
        found: NDArray[np.bool_] = (self.traits & int(trait))[self.of_row] != 0
        return found


def regimes(values: Floats, targets: Targets) -> NDArray[np.int64]:
    """Regime per row [rows], the same for all rows of a target.

    DCGM 4.7 shows in the driver label's name, in FB_CAPACITY_BYTES, and where memory or the SM clock under a legacy
    name is too large for MiB or MHz. SM_CLOCK_HERTZ and GPU_ENERGY_JOULES_TOTAL exist since 4.6, so beside a 4.6 label
    they say "not legacy" only. Legacy spellings on 4.7 with old units look like a transition target, and are one.
    """
    hertz, joules = _present(values, targets, Raw.CLOCK_HERTZ), _present(values, targets, Raw.ENERGY_JOULES)
    old = _present(values, targets, Raw.CLOCK) | _present(values, targets, Raw.ENERGY)
    capital = targets.has(Trait.HOSTNAME_CAPITAL)
    large = targets.any((_capacity(values) > _LARGEST_MIB) | (values[:, Raw.CLOCK] > _LARGEST_MHZ))
    conditions = [
        _present(values, targets, Raw.FB_CAPACITY_BYTES) | ((targets.has(Trait.DRIVER_SYSTEM) | large) & ~capital),
        capital,
        targets.has(Trait.DRIVER_LEGACY),
        hertz & joules & ~old,
        (hertz | joules) & old,
        targets.has(Trait.HOSTNAME_SMALL) & ~hertz & ~joules,
    ]
    answers = [
        UnitRegime.NEW,
        UnitRegime.LEGACY,
        UnitRegime.TRANSITION,
        UnitRegime.NEW,
        UnitRegime.TRANSITION,
        UnitRegime.TRANSITION,
    ]
    return np.select(conditions, [int(answer) for answer in answers], int(UnitRegime.UNKNOWN)).astype(np.int64)


def _present(values: Floats, targets: Targets, raw: Raw) -> NDArray[np.bool_]:
    return targets.any(~np.isnan(values[:, raw]))


def _capacity(values: Floats) -> Floats:
    """The largest amount of memory that the row names, in whatever unit, NaN where it names none."""
    used, free = values[:, Raw.FB_USED], values[:, Raw.FB_FREE]
    return np.fmax(np.fmax(values[:, Raw.FB_TOTAL], used + free), np.fmax(used, free))


def to_metrics(values: Floats, targets: Targets) -> Floats:
    """Raw rows (sentinels already NaN) → [rows, METRICS] in the units of `readings`."""
    found = regimes(values, targets)
    result = np.full((len(values), METRICS), np.nan)
    for raw, metric in SAME_UNIT:
        result[:, metric] = values[:, raw]
    result[:, Metric.SM_CLOCK] = _clock(values, found)
    result[:, Metric.GPU_UTIL] = _utilisation(values, (Raw.GPU_UTIL, Raw.GPU_UTIL_RATIO), found, targets)
    result[:, Metric.MEM_UTIL] = _utilisation(values, (Raw.MEM_UTIL, Raw.MEM_UTIL_RATIO), found, targets)
    result[:, Metric.FB_USED], result[:, Metric.FB_TOTAL] = _memory(values, found, targets)
    result[:, Metric.ENERGY] = _energy(values, found)
    return result


def _clock(values: Floats, found: NDArray[np.int64]) -> Floats:
    """Hz. `_HERTZ` in the MHz range, or the legacy name in the Hz range on an old target, contradict themselves."""
    hertz, legacy = values[:, Raw.CLOCK_HERTZ], values[:, Raw.CLOCK]
    hertz = np.where((hertz > 0) & (hertz < _LARGEST_MHZ), np.nan, hertz)
    in_hertz = np.where(found == UnitRegime.NEW, legacy, np.nan)
    from_legacy = np.where(legacy > _LARGEST_MHZ, in_hertz, legacy * _MHZ)
    return np.where(np.isnan(hertz), from_legacy, hertz)


def _utilisation(values: Floats, names: tuple[Raw, Raw], found: NDArray[np.int64], targets: Targets) -> Floats:
    """Fraction; NaN where the unit stays open.

    NVML's percent is a whole number: above 1 it is percent, between 0 and 1 a fraction, 0 is 0 either way. What is left
    is exactly 1 (1 % or 100 %), which only the regime can settle: percent on a legacy target, a fraction under the new
    name on a new one, unknown else. Where numbers and regime disagree nothing is known.
    """
    legacy, renamed = values[:, names[0]], values[:, names[1]]
    value = np.where(np.isnan(renamed), legacy, renamed)
    percent_seen = targets.any(value > 1)
    fraction_seen = targets.any((value > 0) & (value < 1))
    new_name = (found == UnitRegime.NEW) & ~np.isnan(renamed)
    contradiction = fraction_seen & (percent_seen | (found == UnitRegime.LEGACY))
    renamed_old = (found == UnitRegime.TRANSITION) & ~np.isnan(renamed)
    percent = (found == UnitRegime.LEGACY) | renamed_old
    conditions = [contradiction, percent_seen, fraction_seen, percent, new_name, value == 0]
    scale: Floats = np.select(conditions, [np.nan, 0.01, 1.0, 0.01, 1.0, 1.0], np.nan)
    return value * scale


def _memory(values: Floats, found: NDArray[np.int64], targets: Targets) -> tuple[Floats, Floats]:
    """(used, total) in bytes. The unit is read off the capacity, which no device leaves in doubt."""
    used, free, reserved = values[:, Raw.FB_USED], values[:, Raw.FB_FREE], values[:, Raw.FB_RESERVED]
    total = np.where(np.isnan(values[:, Raw.FB_TOTAL]), used + free + reserved, values[:, Raw.FB_TOTAL])
    large = targets.any(_capacity(values) > _LARGEST_MIB)
    unsure = (found == UnitRegime.NEW) & ~large & np.isnan(total) & np.isnan(free) & (used > 0)
    scale = np.select([large & (found == UnitRegime.LEGACY), large, unsure], [np.nan, 1.0, np.nan], float(MIB))
    capacity = values[:, Raw.FB_CAPACITY_BYTES]
    return used * scale, np.where(np.isnan(capacity), total * scale, capacity)


def _energy(values: Floats, found: NDArray[np.int64]) -> Floats:
    """Joules. The legacy name is millijoules up to 4.8; on 4.9 nothing says which, so it stays unknown."""
    legacy = values[:, Raw.ENERGY] * np.where(found == UnitRegime.NEW, np.nan, _MILLI)
    joules = values[:, Raw.ENERGY_JOULES]
    return np.where(np.isnan(joules), legacy, joules)
