"""The recordings that the simulator replays: how a GPU's counters move together, second by second, under one cause."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mfu.units import MIB

Floats = NDArray[np.float64]


class Column(IntEnum):
    """Column of a recording. Everything is relative, so that it can be scaled to another product."""

    GR_ENGINE = 0
    SM = 1
    OCCUPANCY = 2
    INTEGER = 3
    TENSOR = 4
    HMMA = 5
    DRAM = 6
    FP32 = 7
    FP16 = 8
    PCIE_TX = 9
    PCIE_RX = 10
    NVLINK_TX = 11
    NVLINK_RX = 12
    GPU_UTIL = 13
    MEM_UTIL = 14
    POWER = 15
    CLOCK = 16
    EVENTS = 17


COLUMNS: Final = len(Column)
SHARES: Final = slice(Column.GR_ENGINE, Column.FP16 + 1)
PCIE: Final = slice(Column.PCIE_TX, Column.PCIE_RX + 1)
NVLINK: Final = slice(Column.NVLINK_TX, Column.NVLINK_RX + 1)
NVML_UTILS: Final = slice(Column.GPU_UTIL, Column.MEM_UTIL + 1)

# The recorded product, NVIDIA H200 SXM: facts of its datasheet (PCIe 5 x16, 18 NVLinks of 25 GB/s each way, 700 W),
# and the clock at which 132 SMs reach the datasheet's 989.4 TFLOP/s.
_PCIE_BYTES_PER_S: Final = 63.0e9
_NVLINK_BYTES_PER_S: Final = 450.0e9
_TDP_WATTS: Final = 700.0
REFERENCE_CLOCK_MHZ: Final = 1830.0


@dataclass(frozen=True, slots=True)
class Recording:
    """One run on H200s. `values` [GPUs, seconds, COLUMNS]: shares 0..1, links as a share of one direction's rate,
    power as a share of the limit, clock over the reference clock, events the NVML bit mask. `mfu` was counted.
    """

    scenario: str
    truth: str
    precision: str
    mfu: float
    values: Floats

    @property
    def activity(self) -> float:
        """Mean tensor activity × mean clock over the reference clock: what the counters make of the run's MFU."""
        rows = self.values.reshape(-1, COLUMNS)
        return float(rows[:, Column.TENSOR].mean() * rows[:, Column.CLOCK].mean())


@lru_cache(maxsize=1)
def load() -> dict[str, Recording]:
    """All recordings by scenario."""
    text = (resources.files("mfu.sim") / "data" / "h200_recordings.json").read_text(encoding="utf-8")
    return {row["scenario"]: _recording(row) for row in json.loads(text)["recordings"]}


def _recording(row: dict[str, Any]) -> Recording:
    seconds = min(len(gpu) for gpu in row["gpus"])
    values = np.array([gpu[:seconds] for gpu in row["gpus"]], dtype=np.float64)
    values[..., SHARES] /= 100.0
    values[..., NVML_UTILS] /= 100.0
    values[..., PCIE] *= MIB / _PCIE_BYTES_PER_S
    values[..., NVLINK] *= MIB / _NVLINK_BYTES_PER_S
    values[..., Column.POWER] /= _TDP_WATTS
    values[..., Column.CLOCK] /= REFERENCE_CLOCK_MHZ
    return Recording(row["scenario"], row["truth"], row["precision"], row["mfu"], values)
