"""Hardware that does not give what the product can: throttled, capped, faulty or badly linked."""

from __future__ import annotations

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.xid import HARDWARE_XIDS
from mfu.observe.assessment import EvidenceItem, Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, known
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.evidence import mean_or_nan
from mfu.observe.readings import Floats, Metric

SW_POWER_CAP, HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, HW_POWER_BRAKE = 0x4, 0x8, 0x20, 0x40, 0x80
THERMAL_BITS = HW_SLOWDOWN | SW_THERMAL | HW_THERMAL | HW_POWER_BRAKE
SUSTAINED_CLOCK = 0.79
"""Lowest clock ratio of a healthy H200 at its own power limit under the densest work (matrix products only: 1443 MHz of
1830)."""
LOW_CLOCK = 0.70
"""Clock ratio at the power limit that no healthy board needs: hot or leaky ones go down to about 0.72."""
CLOCK_EXPONENT = 2.5
LOCKED_CLOCK, SPARE_POWER = 0.90, 0.80
"""A busy board below this clock with that much power to spare is held by something other than its power limit."""
LOWERED_LIMIT = 0.93
"""Enforced power limit over the product's: below it somebody has lowered it."""


def power_or_thermal(situation: Situation) -> Finding | None:
    """Clocks held down by heat, by a brake, or by a power limit below the product's own."""
    evidence, gpu = situation.evidence, situation.device.gpu
    clock = evidence.average(Metric.SM_CLOCK)
    if not np.isfinite(clock) or not gpu.reference_clock_mhz:
        return None
    ratio = clock / (gpu.reference_clock_mhz * 1e6)
    events = bit_share(situation.series.values[..., Metric.CLOCK_EVENTS], THERMAL_BITS)
    limit = evidence.average(Metric.POWER_LIMIT) / (gpu.tdp_watts or np.nan)
    lowered = np.isfinite(limit) and limit < LOWERED_LIMIT
    hot = np.isfinite(events) and events > 0.1
    working = mean_or_nan(evidence.active) > 0.2
    if not working or not (hot or lowered or ratio < LOW_CLOCK or _locked(situation, ratio)) or ratio >= 1.0:
        return None
    speedup = _usual_clock(situation, ratio) / ratio
    if speedup < 1.05:
        return None
    reason = _reason(hot=hot, limit=limit if lowered else None)
    accusation = Accusation(
        cause=Cause.POWER_OR_THERMAL,
        explains=Explains.RUNTIME,
        actor=Actor.PROVIDER,
        confidence=0.9 if hot or lowered else 0.7,
        speedup=speedup,
        action=f"the GPUs are held back by {reason}: check cooling, power limit and locked clocks of these nodes",
    )
    return finding(
        situation,
        accusation,
        count("SM clock", clock / 1e6, "MHz"),
        fraction("share of the reference clock", ratio),
        count("power", evidence.average(Metric.POWER), "W"),
        *known("time throttled by heat or brake", events),
    )


def _locked(situation: Situation, ratio: float) -> bool:
    power = situation.evidence.average(Metric.POWER) / (situation.device.gpu.tdp_watts or np.nan)
    return bool(ratio < LOCKED_CLOCK and power < SPARE_POWER and situation.evidence.working > 0.9)


def _reason(*, hot: bool, limit: float | None) -> str:
    if hot:
        return "heat or a power brake"
    return "a low clock" if limit is None else f"a power limit at {100 * limit:.0f} % of the product's"


def _usual_clock(situation: Situation, ratio: float) -> float:
    """What the clock would rise to: the power limit's, dynamic power growing with clock to about 2.5 (V²·f)."""
    gpu = situation.device.gpu
    power = situation.evidence.average(Metric.POWER) / (gpu.tdp_watts or np.nan)
    highest = (gpu.max_clock_mhz or 0.0) / (gpu.reference_clock_mhz or np.inf)
    spare = ratio * power ** (-1 / CLOCK_EXPONENT) if np.isfinite(power) and 0 < power < 1 else 0.0
    return max(SUSTAINED_CLOCK, min(highest, spare))


def degraded_hardware(situation: Situation) -> Finding | None:
    """Faults that the device itself reports: new Xids, uncorrected memory errors, a PCIe link below its product's."""
    problems = [*_xids(situation), *_ecc(situation), *_links(situation)]
    if not problems:
        return None
    device, item = problems[0]
    accusation = Accusation(
        cause=Cause.DEGRADED_HARDWARE,
        explains=Explains.RUNTIME,
        actor=Actor.PROVIDER,
        confidence=0.85,
        speedup=1.25,
        action=f"drain and check GPU {device}: {item.name} {item.value} {item.unit}".rstrip(),
        device=device,
    )
    return finding(situation, accusation, *(each for _, each in problems))


def _xids(situation: Situation) -> list[tuple[str, EvidenceItem]]:
    """The exporter repeats the last Xid for ever: only one that appeared inside the window counts."""
    first, last = situation.evidence.first[:, Metric.XID], situation.evidence.last[:, Metric.XID]
    fresh = np.isfinite(last) & (last != np.where(np.isfinite(first), first, 0.0))
    serious = [int(each) in HARDWARE_XIDS if np.isfinite(each) else False for each in last]
    return [
        (situation.evidence.names[i], count("Xid", last[i]))
        for i in np.flatnonzero(fresh & np.asarray(serious, dtype=bool))
    ]


def _ecc(situation: Situation) -> list[tuple[str, EvidenceItem]]:
    errors = situation.evidence.last[:, Metric.ECC_UNCORRECTED] - situation.evidence.first[:, Metric.ECC_UNCORRECTED]
    return [
        (situation.evidence.names[i], count("uncorrected memory errors", errors[i])) for i in np.flatnonzero(errors > 0)
    ]


def _links(situation: Situation) -> list[tuple[str, EvidenceItem]]:
    """Width below x16, or a rank whose generation is below its peers' while busy (idle links down-train by design)."""
    width, generation = situation.evidence.of(Metric.PCIE_LINK_WIDTH), situation.evidence.of(Metric.PCIE_LINK_GEN)
    narrow = np.isfinite(width) & (width > 0) & (width < 15.5)
    best = np.nanmax(generation) if np.isfinite(generation).any() else np.nan
    slow = np.isfinite(generation) & (generation < best - 0.5) & (situation.evidence.active > 0.5)
    found = [(situation.evidence.names[i], count("PCIe width", width[i], "lanes")) for i in np.flatnonzero(narrow)]
    return found + [
        (situation.evidence.names[i], count("PCIe generation", generation[i])) for i in np.flatnonzero(slow & ~narrow)
    ]


def bit_share(events: Floats, bits: int) -> float:
    """Share of samples with any of `bits` set; NaN where no mask was read."""
    known = np.isfinite(events)
    if not known.any():
        return float("nan")
    masks = np.where(known, events, 0.0).astype(np.int64)
    return float(((masks & bits) != 0).sum() / known.sum())
