"""What a real Prometheus kept of workloads, asked as `mfu ask --prometheus` asks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mfu.telemetry.prometheus.past import past_of
from tests.integration_prometheus.test_dashboards import watching


@pytest.mark.integration
async def test_a_real_prometheus_tells_the_past_of_each_workload(tmp_path: Path) -> None:
    async with watching(tmp_path) as (url, _):
        found = await past_of(url, 7, time.time())
    faulty = found["team-vision/faulty-training"]["mfu"]
    assert faulty.low <= faulty.mean <= faulty.high
    assert faulty.mean == pytest.approx(0.15, abs=0.02)
    assert found["team-chat/serving-decode-heavy"]["mbu"].mean == pytest.approx(0.47, abs=0.02)
