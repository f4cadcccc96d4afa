"""Is a GPU as good as its product? Reasons from its readings, held back until they last and kept until they are over.

Pure: times and readings are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mfu.agent.inventory import AgentGPU
from mfu.agent.xid import Xid
from mfu.hardware.xid import APPLICATION_XIDS, INFORMATIONAL_XIDS, RESET_XIDS
from mfu.observe.metric import Metric


class Health(StrEnum):
    """As in the API (mfu.api.gpunode.Health), which the agent does not import: pydantic costs it 12 MiB."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


SW_POWER_CAP, HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, HW_POWER_BRAKE = 0x4, 0x8, 0x20, 0x40, 0x80
"""Clock-event bits of nvml.h."""
LOWERED_LIMIT: Final = 0.93
"""Enforced over default power limit: below it somebody has lowered it."""
UNDER_LOAD: Final = 0.5
"""GPU utilisation from which a PCIe link must be at full speed; idle links train down to save power."""
LASTS_SECONDS: Final = 10.0
CLEARS_SECONDS: Final = 60.0
XID_SECONDS: Final = 3600.0
"""An Xid is named this long; one that needs a reset stays until the driver or the agent starts anew."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Health of one GPU and what speaks against it, worst first."""

    health: Health
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemappedRows:
    """Remapped memory rows: waiting for a reset, or out of spares."""

    pending: bool = False
    failed: bool = False


Values = Mapping[Metric, float]
Check = Callable[[AgentGPU, Values], bool]


def _events(bits: int) -> Check:
    return lambda _, values: bool(int(values.get(Metric.CLOCK_EVENTS, 0)) & bits)


def _power_cap(gpu: AgentGPU, values: Values) -> bool:
    """Held back by a limit below the one it was shipped with; at its own limit a GPU under load is as it should be."""
    limit, default = values.get(Metric.POWER_LIMIT), gpu.default_power_limit_watts
    capped = bool(int(values.get(Metric.CLOCK_EVENTS, 0)) & SW_POWER_CAP)
    return capped and limit is not None and bool(default) and limit < LOWERED_LIMIT * (default or 0)


def _link_downgraded(gpu: AgentGPU, values: Values) -> bool:
    if values.get(Metric.GPU_UTIL, 0.0) < UNDER_LOAD:
        return False
    pairs = (
        (values.get(Metric.PCIE_LINK_GEN), gpu.max_pcie_generation),
        (values.get(Metric.PCIE_LINK_WIDTH), gpu.max_pcie_width),
    )
    return any(now is not None and best is not None and now < best for now, best in pairs)


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("HardwareSlowdown", _events(HW_SLOWDOWN)),
    ("ThermalSlowdown", _events(SW_THERMAL | HW_THERMAL)),
    ("PowerBrake", _events(HW_POWER_BRAKE)),
    ("PowerCap", _power_cap),
    ("LinkDowngraded", _link_downgraded),
)
"""What comes and goes: (reason, whether this pass shows it)."""


@dataclass(slots=True)
class _Spell:
    since: float
    last: float


@dataclass(slots=True)
class Record:
    """What has been seen of one GPU."""

    spells: dict[str, _Spell] = field(default_factory=dict)
    xids: dict[int, float] = field(default_factory=dict)
    first_ecc: float | None = None
    last_ecc: float | None = None
    rows: RemappedRows = RemappedRows()
    seen: bool = False

    def note(self, gpu: AgentGPU, values: Values, now: float) -> None:
        """One pass."""
        self.seen = True
        for reason, shows in CHECKS:
            self._note_spell(reason, now, shows=shows(gpu, values))
        ecc = values.get(Metric.ECC_UNCORRECTED)
        if ecc is not None:
            # The count is of the board's whole life: only what is added while we look says something about now.
            self.first_ecc = ecc if self.first_ecc is None else self.first_ecc
            self.last_ecc = ecc

    def _note_spell(self, reason: str, now: float, *, shows: bool) -> None:
        spell = self.spells.get(reason)
        if spell is not None and now - spell.last > CLEARS_SECONDS:
            del self.spells[reason]
            spell = None
        if shows and spell is None:
            self.spells[reason] = _Spell(now, now)
        elif shows and spell is not None:
            spell.last = now

    def note_xids(self, xids: Iterable[Xid]) -> None:
        for xid in xids:
            self.xids[xid.number] = xid.at

    @property
    def last_xid(self) -> int:
        """Number of the newest error, 0 for none so far."""
        return max(self.xids, key=lambda number: self.xids[number], default=0)

    def verdict(self, now: float, *, lost: bool = False) -> Verdict:
        """Worst first: lost, fatal Xids, failed memory; then whatever slows it down."""
        serious = sorted(number for number, at in self.xids.items() if _serious(number, now - at))
        fatal = [f"XID{number}" for number in serious if number in RESET_XIDS]
        failed = ["GPULost"] * lost + fatal + ["RowRemapFailed"] * self.rows.failed
        slowed = [f"XID{number}" for number in serious if number not in RESET_XIDS]
        slowed += ["ECCUncorrectable"] * self._new_ecc() + ["RowRemapPending"] * self.rows.pending
        slowed += [reason for reason, spell in self.spells.items() if spell.last - spell.since >= LASTS_SECONDS]
        if failed:
            return Verdict(Health.FAILED, (*failed, *slowed))
        if slowed:
            return Verdict(Health.DEGRADED, tuple(slowed))
        return Verdict(Health.HEALTHY if self.seen else Health.UNKNOWN)

    def _new_ecc(self) -> bool:
        return self.last_ecc is not None and self.first_ecc is not None and self.last_ecc > self.first_ecc


def _serious(number: int, age_seconds: float) -> bool:
    if number in APPLICATION_XIDS | INFORMATIONAL_XIDS:
        return False
    return number in RESET_XIDS or age_seconds < XID_SECONDS


def worst(verdicts: Iterable[Verdict]) -> Health:
    """Worst of several; Unknown where there are none."""
    order = (Health.FAILED, Health.DEGRADED, Health.UNKNOWN, Health.HEALTHY)
    found = {verdict.health for verdict in verdicts}
    return next((health for health in order if health in found), Health.UNKNOWN)
