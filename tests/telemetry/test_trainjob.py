"""`TrainJob.status.trainerStatus`: strings, odd values, and what counts work."""

from __future__ import annotations

import pytest

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.pods.progress import ScrapedPod
from mfu.telemetry.pods.trainjob import read

STEPS, TOKENS = Counter.STEPS, Counter.TRAINED_TOKENS
POD = ScrapedPod("team-a", "llama-0")

STATUS = {
    "progressPercentage": 10,
    "lastUpdatedTime": "2026-11-22T06:00:00Z",
    "metrics": [
        {"name": "loss", "value": "2.1"},
        {"name": "global_step", "value": "50"},
        {"name": "num_input_tokens_seen", "value": "1048576"},
        {"name": "train_samples_total", "value": "oops"},
        {"name": "train_last_step_seconds", "value": "1.5"},
        "junk",
    ],
}


def test_trainer_status() -> None:
    found = read(STATUS, POD)
    assert found.counters == {STEPS: 50, TOKENS: 1048576}
    assert found.gauges == {Gauge.STEP_SECONDS: 1.5}
    assert (found.observed_at, found.scope_total) == (1795327200.0, True)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {**STATUS, "lastUpdatedTime": "yesterday"},
        {**STATUS, "lastUpdatedTime": "2026-11-22T06:00:00"},
        {**STATUS, "lastUpdatedTime": 5},
        {**STATUS, "metrics": None},
        {
            **STATUS,
            "metrics": [{"name": "global_step", "value": bad} for bad in ("nan", "-1", "1e999", "1_0", True, None)],
        },
    ],
)
def test_a_status_without_time_or_work_is_refused(status: dict[str, object]) -> None:
    with pytest.raises(TelemetryError):
        read(status, POD)
