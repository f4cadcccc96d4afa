"""What a real Prometheus kept of workloads, asked as `mfu ask --prometheus` asks."""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp
import pytest
import yaml

from e2e.testbed.prometheus import running
from mfu.controller.server import serve
from mfu.telemetry.prometheus.past import past_of
from tests.integration_prometheus.test_dashboards import registry, scraped


@pytest.mark.integration
async def test_a_real_prometheus_tells_the_past_of_each_workload(tmp_path: Path) -> None:
    async with serve(registry(), host="127.0.0.1", port=0, healthy=lambda: None, ready=lambda: None) as page:
        job = {"job_name": "mfu", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{page}"]}]}
        config = tmp_path / "prometheus.yaml"
        config.write_text(yaml.safe_dump({"scrape_configs": [job]}))
        with running(config) as url:
            async with aiohttp.ClientSession(url) as session:
                await scraped(session)
            found = await past_of(url, 7, time.time())
    faulty = found["team-vision/faulty-training"]["mfu"]
    assert faulty.low <= faulty.mean <= faulty.high
    assert faulty.mean == pytest.approx(0.15, abs=0.02)
    assert found["team-chat/serving-decode-heavy"]["mbu"].mean == pytest.approx(0.47, abs=0.02)
