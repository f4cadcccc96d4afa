"""The shipped copy of the recordings says what the originals say."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from mfu.sim.recordings import COLUMNS, Column, load

TRACES = Path(__file__).parents[3] / "shared" / "data" / "h200" / "traces.jsonl"

GPM = {
    Column.SM: "SM_UTIL",
    Column.TENSOR: "ANY_TENSOR_UTIL",
    Column.DRAM: "DRAM_BW_UTIL",
    Column.GR_ENGINE: "GRAPHICS_UTIL",
    Column.FP32: "FP32_UTIL",
}


def original():
    if not TRACES.exists():
        pytest.skip("the recordings' originals are not beside this checkout")
    return [json.loads(line) for line in TRACES.read_text().splitlines()]


def steady(run, gpu):
    rows = [row for row in run["series"] if row["gpu"] == gpu]
    median = statistics.median(row["gpm"]["SM_UTIL"] for row in rows)
    return rows[:-1] if rows[-1]["gpm"]["SM_UTIL"] < 0.8 * median else rows


def test_every_run_was_copied() -> None:
    runs = original()

    assert set(load()) == {run["scenario"] for run in runs} | {"prefill"}


@pytest.mark.parametrize(("column", "name"), GPM.items())
def test_the_copy_equals_the_original_second_by_second(column, name) -> None:
    for run in original():
        copied = load()[run["scenario"]]
        assert copied.mfu == pytest.approx(run["mfu"], abs=1e-5)
        for gpu in range(run["gpus"]):
            seconds = [row["gpm"].get(name, 0.0) / 100 for row in steady(run, gpu)][: copied.values.shape[1]]
            np.testing.assert_allclose(copied.values[gpu, :, column], seconds, atol=6e-5)


def test_a_faulty_run_is_recognisable_in_the_copy() -> None:
    pcie, nvlink = load()["ddp-comm-pcie"], load()["ddp-comm-nvlink"]

    assert pcie.values[..., Column.GPU_UTIL].mean() > 0.95
    assert pcie.mfu < 0.5 * nvlink.mfu
    assert pcie.values[..., Column.PCIE_TX].mean() > 0.4
    assert nvlink.values[..., Column.PCIE_TX].mean() < 0.01


@pytest.mark.parametrize("scenario", ["healthy", "ddp-healthy-nvlink", "ddp-comm-pcie", "starved-steady"])
def test_counters_overstate_the_counted_mfu_by_a_tenth_at_most(scenario) -> None:
    recording = load()[scenario]

    assert 0.88 < recording.mfu / recording.activity < 1.0


def test_shares_are_fractions() -> None:
    for recording in load().values():
        assert recording.values.shape[-1] == COLUMNS
        shares = recording.values[..., Column.GR_ENGINE : Column.FP16 + 1]
        assert shares.min() >= 0
        assert shares.max() <= 1
