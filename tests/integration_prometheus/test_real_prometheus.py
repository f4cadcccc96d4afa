"""A fleet read through a real Prometheus equals the fleet read directly, in all three regimes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from mfu.observe.readings import GPUKey, GPURound, Metric, SourceState
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.store.recent import Store

pytestmark = pytest.mark.integration

REGIMES = ("legacy", "transition", "new")
WANT = {
    Metric.TENSOR_ACTIVE: 0.431207,
    Metric.DRAM_ACTIVE: 0.302118,
    Metric.SM_CLOCK: 1.755e9,
    Metric.POWER: 652.318,
    Metric.GPU_UTIL: 0.99,
    Metric.FB_USED: 62932 * 2**20,
    Metric.PCIE_RX: 184512331.0,
}
_WAIT_SECONDS = 30.0


async def _until(read: Callable[[], Awaitable[GPURound]], enough: Callable[[GPURound], bool]) -> GPURound:
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        found = await read()
        if enough(found) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


def _row(found: GPURound, regime: str, index: int, instance: int | None = None) -> int:
    wanted = GPUKey(f"GPU-{regime}-0000-4000-8000-00000000000{index}", instance)
    rows = [row for row, device in enumerate(found.devices) if device.key == wanted]
    assert len(rows) == 1, (wanted, [device.key for device in found.devices])
    return rows[0]


def _complete(found: GPURound) -> bool:
    return len(found.devices) == 15 and not np.isnan(found.values[:, Metric.TENSOR_ACTIVE]).any()


@pytest.mark.parametrize("rules", [True, False, None])
async def test_every_regime_reads_alike(prometheus, rules: bool | None) -> None:
    source = PrometheusAPI(prometheus.url, interval_seconds=5.0, rules=rules)
    try:
        found = await _until(lambda: source.read(time.time()), _complete)
    finally:
        await source.close()
    assert (found.state, len(found.devices)) == (SourceState.OK, 15), found.message
    for regime in REGIMES:
        values = found.values[_row(found, regime, 0)]
        assert {metric: float(values[metric]) for metric in WANT} == pytest.approx(WANT), regime
        assert found.values[_row(found, regime, 1), Metric.XID] == 31
        assert found.values[_row(found, regime, 1), Metric.GPU_UTIL] == pytest.approx(0.01)
        trainer = found.devices[_row(found, regime, 0)]
        assert (trainer.namespace, trainer.pod, trainer.container) == ("team-a", "llama-0", "trainer")
        assert trainer.node == f"node-{regime}"
        assert found.devices[_row(found, regime, 2, 1)].pod == "svc-7c9d-xk2lp"
        assert found.devices[_row(found, regime, 3)].pod is None, "the exporter's own pod does not run on the GPU"


@pytest.mark.parametrize("rules", [True, False])
async def test_a_stopped_exporter_turns_to_unknown(prometheus, rules: bool) -> None:
    source, store = PrometheusAPI(prometheus.url, interval_seconds=1.5, rules=rules), Store(interval_seconds=1.5)

    async def read() -> GPURound:
        now = time.time()
        found = await source.read(now)
        store.add_round(found, now)
        return found

    def unknown(regime: str) -> bool:
        fleet = store.latest(time.time())
        rows = [row for row, device in enumerate(fleet.devices) if regime in device.key.uuid]
        return bool(np.isnan(fleet.values[rows, Metric.TENSOR_ACTIVE]).all())

    try:
        await _until(read, _complete)
        assert not unknown("legacy")
        prometheus.exporters.stopped.add("legacy")
        await _until(read, lambda _: unknown("legacy"))
        assert unknown("legacy")
        assert not unknown("new")
    finally:
        prometheus.exporters.stopped.discard("legacy")
        await source.close()


async def test_a_wrong_address_is_a_state(prometheus) -> None:
    source = PrometheusAPI(f"{prometheus.url}/nowhere")
    try:
        found = await source.read(time.time())
    finally:
        await source.close()
    assert (found.state, found.devices) == (SourceState.UNREACHABLE, ())
    assert "404" in found.message
