"""Names of dcgm-exporter series that we read, legacy and DCGM 4.6+, and the raw column that each fills.

Source: dcgm_fields.h of DCGM 4.6.1 (go-dcgm) and the release text of dcgm-exporter 4.9.0. The emitted name is column
1 of the exporter's CSV verbatim, so any spelling can meet any version: units are decided in `dcgm_units`, not here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mfu.observe.readings import Metric


class Raw(IntEnum):
    """Columns of what an exporter printed, before units. Spellings that may differ in unit have their own."""

    TENSOR = 0
    SM_ACTIVE = 1
    OCCUPANCY = 2
    DRAM = 3
    GRAPHICS = 4
    FP64 = 5
    FP32 = 6
    FP16 = 7
    INTEGER = 8
    HMMA = 9
    IMMA = 10
    DFMA = 11
    CLOCK = 12
    CLOCK_HERTZ = 13
    POWER = 14
    POWER_LIMIT = 15
    FB_USED = 16
    FB_FREE = 17
    FB_RESERVED = 18
    FB_TOTAL = 19
    FB_CAPACITY_BYTES = 20
    PCIE_RX = 21
    PCIE_TX = 22
    NVLINK_RX = 23
    NVLINK_TX = 24
    GPU_UTIL = 25
    GPU_UTIL_RATIO = 26
    MEM_UTIL = 27
    MEM_UTIL_RATIO = 28
    CLOCK_EVENTS = 29
    XID = 30
    TEMPERATURE = 31
    ECC = 32
    LINK_GEN = 33
    LINK_WIDTH = 34
    ENERGY = 35
    ENERGY_JOULES = 36
    POWER_VIOLATION_NS = 37
    THERMAL_VIOLATION_NS = 38
    SW_POWER_CAP_NS = 39
    SW_THERMAL_NS = 40
    HW_THERMAL_NS = 41
    POWER_BRAKE_NS = 42


RAW_COLUMNS: Final = len(Raw)

_NAMES: Final[dict[Raw, str]] = {
    Raw.TENSOR: "PROF_PIPE_TENSOR_ACTIVE PROF_TENSOR_UTIL_RATIO",
    Raw.SM_ACTIVE: "PROF_SM_ACTIVE PROF_SM_UTIL_RATIO",
    Raw.OCCUPANCY: "PROF_SM_OCCUPANCY PROF_SM_OCCUPANCY_RATIO",
    Raw.DRAM: "PROF_DRAM_ACTIVE PROF_DRAM_UTIL_RATIO",
    Raw.GRAPHICS: "PROF_GR_ENGINE_ACTIVE PROF_GR_ENGINE_UTIL_RATIO",
    Raw.FP64: "PROF_PIPE_FP64_ACTIVE PROF_FP64_UTIL_RATIO",
    Raw.FP32: "PROF_PIPE_FP32_ACTIVE PROF_FP32_UTIL_RATIO",
    Raw.FP16: "PROF_PIPE_FP16_ACTIVE PROF_FP16_UTIL_RATIO",
    Raw.INTEGER: "PROF_PIPE_INT_ACTIVE PROF_INT_UTIL_RATIO",
    Raw.HMMA: "PROF_PIPE_TENSOR_HMMA_ACTIVE PROF_HMMA_UTIL_RATIO",
    Raw.IMMA: "PROF_PIPE_TENSOR_IMMA_ACTIVE PROF_IMMA_UTIL_RATIO",
    Raw.DFMA: "PROF_PIPE_TENSOR_DFMA_ACTIVE PROF_DFMA_UTIL_RATIO",
    Raw.CLOCK: "DEV_SM_CLOCK",
    Raw.CLOCK_HERTZ: "DEV_SM_CLOCK_HERTZ",
    Raw.POWER: "DEV_POWER_USAGE DEV_BOARD_POWER_WATTS",
    Raw.POWER_LIMIT: "DEV_ENFORCED_POWER_LIMIT DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS",
    Raw.FB_USED: "DEV_FB_USED",
    Raw.FB_FREE: "DEV_FB_FREE",
    Raw.FB_RESERVED: "DEV_FB_RESERVED",
    Raw.FB_TOTAL: "DEV_FB_TOTAL",
    Raw.FB_CAPACITY_BYTES: "DEV_FB_CAPACITY_BYTES",
    Raw.PCIE_RX: "PROF_PCIE_RX_BYTES",
    Raw.PCIE_TX: "PROF_PCIE_TX_BYTES",
    Raw.NVLINK_RX: "PROF_NVLINK_RX_BYTES",
    Raw.NVLINK_TX: "PROF_NVLINK_TX_BYTES",
    Raw.GPU_UTIL: "DEV_GPU_UTIL",
    Raw.GPU_UTIL_RATIO: "DEV_GPU_UTIL_RATIO",
    Raw.MEM_UTIL: "DEV_MEM_COPY_UTIL",
    Raw.MEM_UTIL_RATIO: "DEV_MEM_COPY_UTIL_RATIO",
    Raw.CLOCK_EVENTS: "DEV_CLOCKS_EVENT_REASONS DEV_CLOCK_THROTTLE_REASONS",
    Raw.XID: "DEV_XID_ERRORS DEV_XID_ERROR",
    Raw.TEMPERATURE: "DEV_GPU_TEMP DEV_GPU_TEMP_CELSIUS",
    Raw.ECC: "DEV_ECC_DBE_VOL_TOTAL",
    Raw.LINK_GEN: "DEV_PCIE_LINK_GEN",
    Raw.LINK_WIDTH: "DEV_PCIE_LINK_WIDTH",
    Raw.ENERGY: "DEV_TOTAL_ENERGY_CONSUMPTION",
    Raw.ENERGY_JOULES: "DEV_GPU_ENERGY_JOULES_TOTAL",
    Raw.POWER_VIOLATION_NS: "DEV_POWER_VIOLATION",
    Raw.THERMAL_VIOLATION_NS: "DEV_THERMAL_VIOLATION",
    Raw.SW_POWER_CAP_NS: "DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS",
    Raw.SW_THERMAL_NS: "DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS",
    Raw.HW_THERMAL_NS: "DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS",
    Raw.POWER_BRAKE_NS: "DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS",
}
NAMES: Final[dict[Raw, tuple[str, ...]]] = {
    raw: tuple(f"DCGM_FI_{name}" for name in names.split()) for raw, names in _NAMES.items()
}
COLUMNS: Final[dict[bytes, int]] = {name.encode(): int(raw) for raw, names in NAMES.items() for name in names}
"""Series name → raw column."""

RATIOS: Final[tuple[tuple[Raw, Metric], ...]] = (
    (Raw.TENSOR, Metric.TENSOR_ACTIVE),
    (Raw.SM_ACTIVE, Metric.SM_ACTIVE),
    (Raw.OCCUPANCY, Metric.SM_OCCUPANCY),
    (Raw.DRAM, Metric.DRAM_ACTIVE),
    (Raw.GRAPHICS, Metric.GR_ENGINE_ACTIVE),
    (Raw.FP64, Metric.FP64_ACTIVE),
    (Raw.FP32, Metric.FP32_ACTIVE),
    (Raw.FP16, Metric.FP16_ACTIVE),
    (Raw.INTEGER, Metric.INTEGER_ACTIVE),
    (Raw.HMMA, Metric.HMMA_ACTIVE),
    (Raw.IMMA, Metric.IMMA_ACTIVE),
    (Raw.DFMA, Metric.DFMA_ACTIVE),
)
"""Profiling ratios: 0…1 in every regime."""

SAME_UNIT: Final[tuple[tuple[Raw, Metric], ...]] = (
    *RATIOS,
    (Raw.POWER, Metric.POWER),
    (Raw.POWER_LIMIT, Metric.POWER_LIMIT),
    (Raw.PCIE_RX, Metric.PCIE_RX),
    (Raw.PCIE_TX, Metric.PCIE_TX),
    (Raw.NVLINK_RX, Metric.NVLINK_RX),
    (Raw.NVLINK_TX, Metric.NVLINK_TX),
    (Raw.CLOCK_EVENTS, Metric.CLOCK_EVENTS),
    (Raw.XID, Metric.XID),
    (Raw.TEMPERATURE, Metric.TEMPERATURE),
    (Raw.ECC, Metric.ECC_UNCORRECTED),
    (Raw.LINK_GEN, Metric.PCIE_LINK_GEN),
    (Raw.LINK_WIDTH, Metric.PCIE_LINK_WIDTH),
)
