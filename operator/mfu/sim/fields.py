"""The DCGM fields that the simulated exporter serves (`data/fields.csv`) and how each is read from the fleet.

Names, types and help of the default set are those of dcgm-exporter's default-counters.csv (4.8); the rest is the CSV
that the operator ships. Where 4.9 renames a field and no public source says to what, it is absent there. MEM_CLOCK and
VGPU_LICENSE_STATUS are left out: the catalog knows no memory clock, and nothing here is virtual.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Final

import numpy as np

from mfu.sim.recordings import Column, Floats
from mfu.units import MIB


class NamingRegime(StrEnum):
    """The three naming and unit regimes that are live side by side (dcgm-exporter to 4.8.2; 4.8.3 and 4.8.4; 4.9)."""

    LEGACY = "legacy"
    TRANSITION = "transition"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Devices:
    """Absolute readings of all devices at one collection, and the product facts needed to make them."""

    values: Floats
    tdp_watts: Floats
    reference_clock_mhz: Floats
    max_clock_mhz: Floats
    pcie_bytes_per_s: Floats
    nvlink_bytes_per_s: Floats
    pcie_generation: Floats
    memory_bytes: Floats
    memory_share: Floats
    energy_joules: Floats
    power_capped_seconds: Floats
    thermal_seconds: Floats


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric family. `new_name` is its name in exporter 4.9, empty where no public source names it; `new_factor`
    turns the legacy unit into the new one.
    """

    name: str
    type: str
    new_name: str
    new_factor: float
    integer: bool
    on_instances: bool
    """Read for MIG instances too; links, utilisation and encoder are not."""
    default: bool
    """In the exporter's default-counters.csv; the others are in the CSV that ships with the operator."""
    read: Callable[[Devices], Floats]
    help: str


def load_fields() -> tuple[MetricFamily, ...]:
    """Every family in the order in which the exporter prints them."""
    text = (resources.files("mfu.sim") / "data" / "fields.csv").read_text(encoding="utf-8")
    return tuple(_field(row) for row in csv.DictReader(text.splitlines()))


def _field(row: Mapping[str, str]) -> MetricFamily:
    return MetricFamily(
        name=row["name"],
        type=row["type"],
        new_name=row["new_name"],
        new_factor=float(row["new_factor"]),
        integer=row["format"] == "d",
        on_instances=row["level"] == "instance",
        default=row["counters"] == "default",
        read=_READINGS[row["reading"]],
        help=row["help"],
    )


def _share(column: Column) -> Callable[[Devices], Floats]:
    return lambda devices: devices.values[:, column]


def _percent(column: Column) -> Callable[[Devices], Floats]:
    return lambda devices: 100.0 * devices.values[:, column]


def _constant(value: float) -> Callable[[Devices], Floats]:
    return lambda devices: np.full(len(devices.tdp_watts), value)


def _watts(devices: Devices) -> Floats:
    return devices.values[:, Column.POWER] * devices.tdp_watts


def _clock_mhz(devices: Devices) -> Floats:
    # NVML clocks move in steps of 15 MHz on these products (all recorded values are multiples of 15).
    return np.rint(devices.values[:, Column.CLOCK] * devices.reference_clock_mhz / 15.0) * 15.0


def _celsius(devices: Devices) -> Floats:
    hot = 15.0 * (devices.values[:, Column.EVENTS].astype(np.int64) & 0x60 > 0)
    return 30.0 + 35.0 * devices.values[:, Column.POWER] + hot


def _pcie(column: Column) -> Callable[[Devices], Floats]:
    return lambda devices: devices.values[:, column] * devices.pcie_bytes_per_s


def _nvlink(column: Column) -> Callable[[Devices], Floats]:
    return lambda devices: devices.values[:, column] * devices.nvlink_bytes_per_s


def _nvlink_megabytes(devices: Devices) -> Floats:
    both = devices.values[:, Column.NVLINK_TX] + devices.values[:, Column.NVLINK_RX]
    return both * devices.nvlink_bytes_per_s / 1e6


def _used_mib(devices: Devices) -> Floats:
    return devices.memory_bytes * devices.memory_share / MIB


def _free_mib(devices: Devices) -> Floats:
    return devices.memory_bytes * (1 - devices.memory_share) / MIB


_READINGS: Final[Mapping[str, Callable[[Devices], Floats]]] = {
    "clock_events": _share(Column.EVENTS),
    "dram": _share(Column.DRAM),
    "energy_millijoules": lambda devices: 1e3 * devices.energy_joules,
    "fp16": _share(Column.FP16),
    "fp32": _share(Column.FP32),
    "free_mib": _free_mib,
    "gpu_celsius": _celsius,
    "gpu_util_percent": _percent(Column.GPU_UTIL),
    "gr_engine": _share(Column.GR_ENGINE),
    "hmma": _share(Column.HMMA),
    "max_clock_mhz": lambda devices: devices.max_clock_mhz,
    "mem_util_percent": _percent(Column.MEM_UTIL),
    "memory_celsius": lambda devices: _celsius(devices) + 8.0,
    "nvlink_megabytes_per_s": _nvlink_megabytes,
    "nvlink_rx": _nvlink(Column.NVLINK_RX),
    "nvlink_tx": _nvlink(Column.NVLINK_TX),
    "occupancy": _share(Column.OCCUPANCY),
    "pcie_generation": lambda devices: devices.pcie_generation,
    "pcie_lanes": _constant(16.0),
    "pcie_rx": _pcie(Column.PCIE_RX),
    "pcie_tx": _pcie(Column.PCIE_TX),
    "power_capped_nanoseconds": lambda devices: 1e9 * devices.power_capped_seconds,
    "power_limit": lambda devices: devices.tdp_watts,
    "sm": _share(Column.SM),
    "sm_clock_mhz": _clock_mhz,
    "tensor": _share(Column.TENSOR),
    "thermal_nanoseconds": lambda devices: 1e9 * devices.thermal_seconds,
    "used_mib": _used_mib,
    "watts": _watts,
    "zero": _constant(0.0),
}
