"""The columns of a readings array. Apart from the arrays, so that the node agent needs no numpy."""

from __future__ import annotations

from enum import IntEnum


class Metric(IntEnum):
    """Column of a readings array."""

    TENSOR_ACTIVE = 0
    SM_ACTIVE = 1
    SM_OCCUPANCY = 2
    DRAM_ACTIVE = 3
    GR_ENGINE_ACTIVE = 4
    FP64_ACTIVE = 5
    FP32_ACTIVE = 6
    FP16_ACTIVE = 7
    INTEGER_ACTIVE = 8
    HMMA_ACTIVE = 9
    IMMA_ACTIVE = 10
    DFMA_ACTIVE = 11
    SM_CLOCK = 12
    POWER = 13
    POWER_LIMIT = 14
    FB_USED = 15
    FB_TOTAL = 16
    PCIE_RX = 17
    PCIE_TX = 18
    NVLINK_RX = 19
    NVLINK_TX = 20
    GPU_UTIL = 21
    MEM_UTIL = 22
    CLOCK_EVENTS = 23
    XID = 24
    TEMPERATURE = 25
    ECC_UNCORRECTED = 26
    PCIE_LINK_GEN = 27
    PCIE_LINK_WIDTH = 28
    ENERGY = 29
    POWER_VIOLATION_RATIO = 30
    THERMAL_VIOLATION_RATIO = 31


METRICS = len(Metric)
