"""The three naming and unit regimes give the same readings; a name alone never decides a unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfu.observe.readings import GPUKey, GPURound, Metric, SourceState
from mfu.telemetry.dcgm.adapter import read_once

DATA = Path(__file__).parent / "data"
UUID = "GPU-5b1c2a3d-0000-4000-8000-00000000000"
REGIMES = ("legacy", "transition", "new")


def text(regime: str) -> bytes:
    return (DATA / f"dcgm_{regime}.txt").read_bytes()


def cell(found: GPURound, metric: Metric, uuid: str, instance: int | None = None) -> float:
    rows = [row for row, device in enumerate(found.devices) if device.key == GPUKey(uuid, instance)]
    assert len(rows) == 1
    return float(found.values[rows[0], metric])


WANT = {
    Metric.TENSOR_ACTIVE: 0.431207,
    Metric.DRAM_ACTIVE: 0.302118,
    Metric.GR_ENGINE_ACTIVE: 0.998,
    Metric.SM_CLOCK: 1.755e9,
    Metric.POWER: 652.318,
    Metric.ENERGY: 91234567.12,
    Metric.GPU_UTIL: 0.99,
    Metric.FB_USED: 62932 * 2**20,
    Metric.FB_TOTAL: (62932 + 18000 + 627) * 2**20,
    Metric.PCIE_RX: 184512331.0,
    Metric.PCIE_TX: 104512331.0,
}


@pytest.mark.parametrize("regime", REGIMES)
def test_each_regime_gives_the_same_readings(regime: str) -> None:
    found = read_once(text(regime), 1000.0)
    assert found.state is SourceState.OK
    assert {metric: cell(found, metric, f"{UUID}0") for metric in WANT} == pytest.approx(WANT)
    assert cell(found, Metric.XID, f"{UUID}1") == 31
    assert np.isnan(cell(found, Metric.SM_ACTIVE, f"{UUID}0"))
    assert np.isnan(cell(found, Metric.NVLINK_RX, f"{UUID}0"))


@pytest.mark.parametrize("regime", REGIMES)
def test_one_percent_is_one_percent_in_every_regime(regime: str) -> None:
    assert cell(read_once(text(regime), 1000.0), Metric.GPU_UTIL, f"{UUID}1") == pytest.approx(0.01)


@pytest.mark.parametrize("regime", REGIMES)
def test_devices_carry_their_labels(regime: str) -> None:
    found = {device.key: device for device in read_once(text(regime), 1000.0).devices}
    assert len(found) == 5
    trainer = found[GPUKey(f"{UUID}0")]
    assert (trainer.namespace, trainer.pod, trainer.container) == ("team-a", "llama-0", "trainer")
    assert (trainer.node, trainer.index, trainer.product_name) == ("gpu-node-01", "0", "NVIDIA H100 80GB HBM3")
    slice_ = found[GPUKey(f"{UUID}2", 1)]
    assert (slice_.mig_profile, slice_.pod) == ("3g.40gb", "svc-7c9d-xk2lp")
    assert found[GPUKey(f"{UUID}2", 9)].pod is None
    assert found[GPUKey(f"{UUID}3")].pod is None


@pytest.mark.parametrize("regime", REGIMES)
def test_a_known_node_beats_the_exporters_host_name(regime: str) -> None:
    assert {device.node for device in read_once(text(regime), 1000.0, node="real").devices} == {"real"}
