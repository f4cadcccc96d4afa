"""Which findings explain a loss that is there: a table over what was reached, promised and attainable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.workload_status import Meter
from mfu.engine.losses import explained
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window, main_cause
from mfu.predict.types import Attainable, Prediction, Scale
from tests.builders.cases import case

REAL = case()
EXPECTED = replace(REAL.expected, mfu=0.40, mbu=None, scale=Scale.MFU, low=0.36, high=0.44, tokens_per_s_per_gpu=1000.0)
DECODE = replace(EXPECTED, mfu=0.05, mbu=0.60, scale=Scale.MBU, low=0.55, high=0.65)


def finding(cause: Cause, explains: Explains, *, wasted: bool = True) -> Finding:
    return Finding(cause, 0.9, explains, 0.1, 0.5, "mend it", Actor.TENANT, wasted, (), 1.2)


SLOW_LINK = finding(Cause.COMMUNICATION, Explains.RUNTIME)
SMALL_BATCH = finding(Cause.SMALL_BATCH, Explains.CONFIGURATION)
HARMLESS = finding(Cause.MEMORY_BOUND, Explains.RUNTIME, wasted=False)


def seen(mfu: float | None, *found: Finding, mbu: float | None = None) -> Assessment:
    observation = Observation(Window.TEN_MINUTES, Meter.PROGRESS, mfu, mfu, mbu, None, None, 1.0, "test", 0.0, 0.9)
    return Assessment((observation,), found, state=TelemetryState.OK)


def best(rate: float, *, mbu: float | None = None) -> Attainable:
    return Attainable(replace(EXPECTED, tokens_per_s_per_gpu=rate, mbu=mbu), REAL.setup)


BETTER, SAME = best(1200.0), best(1010.0)
Row = tuple[Assessment | None, Prediction | None, Attainable | None, list[tuple[Cause, bool]]]
ROWS: dict[str, Row] = {
    "no readings": (None, EXPECTED, BETTER, []),
    "no prediction: findings as they are": (
        seen(0.2, SLOW_LINK, SMALL_BATCH),
        None,
        None,
        [(Cause.COMMUNICATION, True), (Cause.SMALL_BATCH, True)],
    ),
    "below the band": (
        seen(0.2, SLOW_LINK, SMALL_BATCH),
        EXPECTED,
        BETTER,
        [(Cause.COMMUNICATION, True), (Cause.SMALL_BATCH, True)],
    ),
    "within the band nothing at run time is to blame": (
        seen(0.36, SLOW_LINK, SMALL_BATCH),
        EXPECTED,
        BETTER,
        [(Cause.SMALL_BATCH, True)],
    ),
    "a hair below the band": (seen(0.359, SLOW_LINK), EXPECTED, BETTER, [(Cause.COMMUNICATION, True)]),
    "nothing observed accuses": (seen(None, SLOW_LINK, mbu=0.1), EXPECTED, BETTER, [(Cause.COMMUNICATION, True)]),
    "nothing better is attainable: told, not called waste": (
        seen(0.2, SMALL_BATCH),
        EXPECTED,
        SAME,
        [(Cause.SMALL_BATCH, False)],
    ),
    "that excuses no runtime loss": (seen(0.2, SLOW_LINK), EXPECTED, SAME, [(Cause.COMMUNICATION, True)]),
    "attainable unknown": (seen(0.2, SMALL_BATCH), EXPECTED, None, [(Cause.SMALL_BATCH, True)]),
    "healthy decode is judged on its bandwidth": (
        seen(0.05, SLOW_LINK, SMALL_BATCH, mbu=0.58),
        DECODE,
        best(4000.0, mbu=0.3),
        [(Cause.SMALL_BATCH, False)],
    ),
    "slow decode": (seen(0.05, SLOW_LINK, mbu=0.3), DECODE, best(1000.0, mbu=0.7), [(Cause.COMMUNICATION, True)]),
}


@pytest.mark.parametrize("name", ROWS)
def test_explained(name: str) -> None:
    assessment, prediction, possible, want = ROWS[name]
    assert [(each.cause, each.wasted) for each in explained(assessment, prediction, possible)] == want


@pytest.mark.parametrize(
    ("state", "findings", "want"),
    [
        (TelemetryState.OK, (), Cause.NONE),
        (TelemetryState.OK, (HARMLESS,), Cause.NONE),
        (TelemetryState.OK, (HARMLESS, SLOW_LINK, SMALL_BATCH), Cause.COMMUNICATION),
        (TelemetryState.STALE, (), Cause.UNKNOWN),
        (TelemetryState.STALE, (SLOW_LINK,), Cause.COMMUNICATION),
    ],
)
def test_main_cause(state: TelemetryState, findings: tuple[Finding, ...], want: Cause) -> None:
    assert main_cause(state, findings) is want
    assert Assessment(findings=findings, state=state).cause is want
