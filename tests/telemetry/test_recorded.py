"""Recorded runs: every field in its unit, GPUs side by side, and damage refused with the line's number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfu.observe.readings import Metric, SourceState
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.recorded import Recorded, load, parse
from mfu.telemetry.store.recent import Store

SHARED = Path(__file__).parents[3] / "shared" / "data" / "h200" / "traces.jsonl"
ROW = {
    "t": 1.0,
    "gpu": 0,
    "gpm": {"SM_UTIL": 96.0, "ANY_TENSOR_UTIL": 73.5, "PCIE_TX_PER_SEC": 2.0, "NVLINK_TOTAL_RX_PER_SEC": 4096.0},
    "gpu_util": 99,
    "power_w": 693.6,
    "sm_clock": 1500,
    "fb_used": 65542160384,
    "events": 4,
}


def trace(*rows: dict[str, object], **more: object) -> str:
    return json.dumps({"scenario": "s", "gpu": "NVIDIA H200", "mfu": 0.5, "series": list(rows), **more})


def test_units() -> None:
    found = parse(trace(ROW))
    values = found.series.values[0, 0]
    want = {
        Metric.SM_ACTIVE: 0.96, Metric.TENSOR_ACTIVE: 0.735, Metric.PCIE_TX: 2 * 2**20, Metric.NVLINK_RX: 2.0**32,
        Metric.GPU_UTIL: 0.99, Metric.POWER: 693.6, Metric.SM_CLOCK: 1.5e9, Metric.FB_USED: 65542160384,
        Metric.CLOCK_EVENTS: 4,
    }  # fmt: skip
    assert {metric: values[metric] for metric in want} == pytest.approx(want)
    assert np.isnan(values[Metric.DRAM_ACTIVE])
    assert (found.facts["mfu"], "series" in found.facts) == (0.5, False)


def test_gpus_stand_side_by_side_in_time() -> None:
    found = parse(trace(*({**ROW, "gpu": gpu, "t": t + gpu / 100} for t in (2.0, 1.0) for gpu in (1, 0)))).series
    assert found.values.shape[:2] == (2, 2)
    assert found.times == pytest.approx([1.005, 2.005])
    assert [device.index for device in found.devices] == ["0", "1"]


@pytest.mark.parametrize(
    "line",
    ["", "[]", "{}", "{", trace({"t": 1.0}), trace({**ROW, "t": "x"}), trace({**ROW, "t": 10**400}),
     trace({**ROW, "gpm": 5})],
)  # fmt: skip
def test_damage_is_refused(line: str) -> None:
    with pytest.raises(TelemetryError):
        parse(line)


def test_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f"{trace(ROW)}\n\n{{}}\n")
    with pytest.raises(TelemetryError, match=r"t\.jsonl:3"):
        list(load(path))


@pytest.mark.skipif(not SHARED.exists(), reason="the shared recordings are not here")
def test_the_shared_recordings_are_read_whole() -> None:
    found = list(load(SHARED))
    assert len(found) == 12
    for each in found:
        assert each.series.values.shape[1] == each.facts["gpus"] if "gpus" in each.facts else True
        assert not np.isnan(each.series.values[:, :, [Metric.TENSOR_ACTIVE, Metric.SM_CLOCK, Metric.POWER]]).any()
        assert each.series.interval_seconds == pytest.approx(1.0, rel=0.05)


async def test_played_back_as_a_source() -> None:
    source = Recorded(parse(trace(*({**ROW, "t": t, "power_w": 100 * t} for t in (1.0, 2.0, 3.0)))), started_at=1000.0)
    assert (await source.read(1000.5)).state is SourceState.UNREACHABLE
    for now, at in ((1001.0, 1001.0), (1002.9, 1002.0), (1500.0, 1003.0)):
        found = await source.read(now)
        assert (found.observed_at[0], found.values[0, Metric.POWER]) == (at, 100 * (at - 1000))
    store = Store(interval_seconds=1.0, max_devices=4)
    store.add_round(await source.read(1003.0), 1003.0)
    assert np.isnan(store.latest(1005.1).values[0, Metric.POWER])
    await source.close()
