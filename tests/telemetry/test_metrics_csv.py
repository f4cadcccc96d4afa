"""The CSV that we ship starts on every dcgm-exporter: its parser's rules, and names that every DCGM since 3.3 knows."""

from __future__ import annotations

import csv
from importlib import resources

from mfu.telemetry.dcgm.fields import COLUMNS, NAMES, Raw

TYPES = {"gauge", "counter", "histogram", "summary", "label"}
NOT_IN_DCGM_3 = {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS"}


def rows() -> list[list[str]]:
    text = resources.files("mfu.telemetry").joinpath("data/dcgm-metrics.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, strict=True)]


def test_every_row_has_three_columns_and_a_known_type() -> None:
    assert all(len(row) == 3 for row in rows()), "another number of columns keeps the exporter from starting"
    assert {row[1] for row in rows()} <= TYPES
    assert len({row[0] for row in rows()}) == len(rows())


def test_spellings_are_the_legacy_ones() -> None:
    legacy = {names[0] for names in NAMES.values()}
    renamed = {name for names in NAMES.values() for name in names[1:]} - {"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"}
    names = {row[0] for row in rows()}
    assert not names & (renamed | NOT_IN_DCGM_3)
    assert not any(name.endswith(("_HERTZ", "_WATTS", "_CELSIUS", "_UTIL_RATIO")) for name in names)
    assert legacy - NOT_IN_DCGM_3 - names <= {
        f"DCGM_FI_{name}"
        for name in (
            "PROF_PIPE_FP64_ACTIVE", "PROF_PIPE_INT_ACTIVE", "DEV_SM_CLOCK_HERTZ", "DEV_FB_TOTAL",
            "DEV_FB_CAPACITY_BYTES",
            "DEV_GPU_UTIL_RATIO", "DEV_MEM_COPY_UTIL_RATIO", "DEV_ECC_DBE_VOL_TOTAL", "DEV_GPU_ENERGY_JOULES_TOTAL",
            "DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS", "DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS",
            "DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS", "DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS",
        )
    }  # fmt: skip


def test_what_diagnosis_needs_is_in_it() -> None:
    columns = {COLUMNS[row[0].encode()] for row in rows() if row[0].encode() in COLUMNS}
    needed = {
        Raw.TENSOR, Raw.SM_ACTIVE, Raw.DRAM, Raw.FP32, Raw.HMMA, Raw.CLOCK, Raw.POWER, Raw.POWER_LIMIT, Raw.FB_USED,
        Raw.PCIE_RX, Raw.NVLINK_TX, Raw.CLOCK_EVENTS, Raw.XID, Raw.LINK_GEN, Raw.POWER_VIOLATION_NS, Raw.ENERGY,
    }  # fmt: skip
    assert needed <= columns
