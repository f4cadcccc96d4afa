"""When a workload counts as measured: which meter speaks, and whether the other one fell silent or never spoke."""

from __future__ import annotations

import pytest

from mfu.api.conditions import ConditionStatus, Reason
from mfu.api.workload_status import Meter
from mfu.engine.judged import measured
from mfu.engine.say.conditions import telemetry_available
from mfu.observe.assessment import Assessment, Observation, TelemetryState, Window

PROGRESS = Observation(Window.TEN_MINUTES, Meter.PROGRESS, 0.4, 0.4, None, 0.39, 0.41, 1.0, "progress", 1.0, 0.9)
ROWS = {
    "counters": (Assessment(state=TelemetryState.OK), True),
    "progress where no exporter speaks": (Assessment((PROGRESS,), state=TelemetryState.MISSING), True),
    "progress without the profiling module": (Assessment((PROGRESS,), state=TelemetryState.NO_PROFILING), True),
    "progress on shared GPUs": (Assessment((PROGRESS,), state=TelemetryState.SHARED), True),
    "progress while counters stopped": (Assessment((PROGRESS,), state=TelemetryState.STALE), False),
    "progress on an unknown product": (Assessment((PROGRESS,), state=TelemetryState.UNKNOWN_PRODUCT), False),
    "nothing": (Assessment(state=TelemetryState.MISSING), False),
}


@pytest.mark.parametrize("case", ROWS)
def test_measured(case: str) -> None:
    assessment, answer = ROWS[case]
    assert measured(assessment) is answer
    verdict = telemetry_available(assessment, running=True)
    assert verdict.status is (ConditionStatus.TRUE if answer else ConditionStatus.FALSE)
    assert (verdict.reason is Reason.READINGS_FRESH) is answer
