"""Both meters over windows, their agreement, and what missing telemetry does: nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.api.causes import Cause, Explains
from mfu.api.workload_status import Meter
from mfu.hardware.types import Device
from mfu.observe.assess import Hints, assess
from mfu.observe.assessment import Assessment, Observation, TelemetryState, Window
from mfu.observe.readings import (
    Counter,
    Gauge,
    GPUIdentity,
    GPUKey,
    Metric,
    ProgressReading,
    WorkloadSeries,
)
from mfu.predict import decode_flops_per_token, predict
from mfu.predict.types import (
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Problem,
    Recompute,
    Setup,
    Training,
)
from mfu.workload.architecture import Architecture
from tests.builders.readings import CATALOG, H100, NOW, PEAK, job, recent, reports, table


def judge(series: WorkloadSeries | None, setup: Setup | None = None, **more: Any) -> Assessment:
    placement = more.pop("placement", Placement(H100, 2))
    return assess(setup or job(), placement, series=series, now=NOW, **more)


def of(found: Assessment, meter: Meter, window: Window = Window.TEN_MINUTES) -> Observation:
    return next(each for each in found.observations if (each.meter, each.window) == (meter, window))


def test_every_window_has_both_meters() -> None:
    found = judge(recent(table(), progress=reports(0.49, job())))
    assert {(each.window, each.meter) for each in found.observations} == {(w, m) for w in Window for m in Meter}
    assert of(found, Meter.COUNTERS).mfu == pytest.approx(0.495, abs=0.01)
    assert of(found, Meter.PROGRESS).mfu == pytest.approx(0.49, abs=0.005)


def test_a_restore_is_said_and_counts_as_no_work() -> None:
    said = reports(0.49, job())
    leapt = tuple(
        replace(each, counters={name: value + 5e12 * (row > 30) for name, value in each.counters.items()})
        for row, each in enumerate(said)
    )
    assert "restored to a higher count" in judge(recent(table(), progress=leapt)).message
    assert of(judge(recent(table(), progress=leapt)), Meter.PROGRESS).mfu == pytest.approx(0.49, abs=0.005)
    assert judge(recent(table(), progress=said)).message == ""


def test_progress_is_believed_before_counters() -> None:
    found = judge(recent(table(), progress=reports(0.49, job())))
    best = found.best()
    assert best is not None
    assert best.meter is Meter.PROGRESS


def test_a_window_sees_its_own_span_only() -> None:
    values = table()
    values[:-60, :, Metric.TENSOR_ACTIVE] = 0.3
    found = judge(recent(values))
    minute, ten = of(found, Meter.COUNTERS, Window.MINUTE), of(found, Meter.COUNTERS)
    assert minute.mfu == pytest.approx(0.495, abs=0.01)
    assert ten.mfu is not None
    assert ten.mfu < 0.27


def test_bands_hold_the_value_and_widen_without_intent() -> None:
    known = of(judge(recent(table())), Meter.COUNTERS)
    blind = of(assess(None, Placement(H100, 2), series=recent(table()), now=NOW), Meter.COUNTERS)
    for each in (known, blind):
        assert each.low is not None and each.high is not None and each.mfu is not None
        assert each.low < each.mfu < each.high
    assert blind.confidence < known.confidence
    assert blind.high - blind.low > known.high - known.low  # type: ignore[operator]


def test_coverage_is_the_share_of_device_time_that_was_measured() -> None:
    values = table()
    values[:, 1] = np.nan
    values[:300, 0] = np.nan
    assert of(judge(recent(values)), Meter.COUNTERS).coverage == pytest.approx(0.25, abs=0.01)


def test_devices_that_nobody_reads_lower_coverage() -> None:
    found = judge(recent(table()), hints=Hints(gpus=4))
    assert of(found, Meter.COUNTERS).coverage == pytest.approx(0.5, abs=0.01)


def test_too_little_is_unknown_not_zero() -> None:
    values = table()
    values[:-10] = np.nan
    found = of(judge(recent(values)), Meter.COUNTERS)
    assert found.mfu is None
    assert found.confidence == 0


def test_mig_is_told_with_low_confidence() -> None:
    profile = CATALOG.mig_profiles("h100-sxm5-80gb")[0]
    found = of(judge(recent(table()), placement=Placement(Device(H100.gpu, profile), 2)), Meter.COUNTERS)
    assert found.confidence <= 0.3
    assert "not verified" in found.note


@pytest.mark.parametrize(
    ("series", "state"),
    [
        (None, TelemetryState.MISSING),
        (recent(table()[:0]), TelemetryState.MISSING),
        (replace(recent(table()), times=recent(table()).times - 3.0), TelemetryState.STALE),
        (recent(table(TENSOR_ACTIVE=float("nan"))), TelemetryState.NO_PROFILING),
        (
            replace(recent(table()), devices=(GPUIdentity(GPUKey("a"), "x", shared=True),) * 2),
            TelemetryState.SHARED,
        ),
    ],
)
def test_missing_telemetry_is_a_state_and_accuses_nobody(series: WorkloadSeries | None, state: TelemetryState) -> None:
    found = judge(series)
    assert found.state is state
    assert found.findings == ()
    assert found.cause is Cause.UNKNOWN
    assert all(each.mfu is None for each in found.observations)


def test_progress_alone_is_enough_for_an_observation() -> None:
    series = recent(table(TENSOR_ACTIVE=float("nan")), progress=reports(0.41, job()))
    assert of(judge(series), Meter.PROGRESS).mfu == pytest.approx(0.41, abs=0.005)


def test_progress_that_stands_still_while_nothing_else_speaks_is_unknown() -> None:
    moving, last = reports(0.41, job())[:61], reports(0.41, job())[60]
    frozen = tuple(replace(each, counters=last.counters) for each in reports(0.41, job())[61:])
    live = recent(table(), progress=(*moving, *frozen))
    assert judge(replace(live, times=live.times - 300.0)).observations == ()
    assert of(judge(live), Meter.PROGRESS).mfu == pytest.approx(0.205, abs=0.01)


def test_an_unknown_product_is_unknown() -> None:
    found = assess(job(), None, series=recent(table()), now=NOW)
    assert (found.state, found.observations) == (TelemetryState.UNKNOWN_PRODUCT, ())


def test_30_second_collection_is_not_stale() -> None:
    series = recent(table(every=30.0), interval=30.0)
    assert judge(series).state is TelemetryState.OK


def test_agreeing_meters_make_the_intent_consistent() -> None:
    found = judge(recent(table(), progress=reports(0.48, job())))
    assert (found.intent_consistent, found.message) == (True, "")


@pytest.mark.parametrize(
    ("mfu", "setup", "named"),
    [
        (0.495 / 1.21, job(), "recompute"),
        (0.495, job(recompute=Recompute.FULL), "run once"),
        (0.2475, job(), "one rank"),
        (0.99, job(), "scope"),
        (0.495 / 2048, job(), "sequences"),
        (0.33, job(), "FLOPs per token"),
    ],
)
def test_disagreeing_meters_name_what_disagrees(mfu: float, setup: Training, named: str) -> None:
    found = judge(recent(table(), progress=reports(mfu, setup)), setup)
    assert found.intent_consistent is False
    assert named in found.message


def test_findings_of_a_suspect_intent_are_doubted() -> None:
    late = table()
    late[:, 1, Metric.GR_ENGINE_ACTIVE] = 0.5
    sure = judge(recent(late, progress=reports(0.49, job())))
    unsure = judge(recent(late, progress=reports(0.25, job())))
    assert sure.findings[0].cause is unsure.findings[0].cause is Cause.STRAGGLER
    assert unsure.findings[0].confidence == pytest.approx(sure.findings[0].confidence / 2)


def test_healthy_accuses_nobody_and_shows_what_dashboards_show() -> None:
    found = judge(recent(table()))
    assert found.cause is Cause.NONE
    assert {each.name for each in found.readings} >= {"GPU utilisation", "SM active", "tensor active", "power"}


def test_far_below_expectation_without_a_sign_is_unknown() -> None:
    expected = predict(job(), Placement(H100, 2))
    assert not isinstance(expected, Problem)
    found = judge(recent(table(TENSOR_ACTIVE=0.2)), expected=expected)
    assert found.cause is Cause.UNKNOWN
    assert found.findings[0].counterfactual_mfu == expected.mfu


def serving(phase: Phase, **changes: Any) -> Inference:
    arch = Architecture("gpt-7b", 32, 4096, 32, 32, 128, 16384, 32000, gated_ffn=False)
    fields: dict[str, Any] = {"concurrency": 64.0, "parallelism": Parallelism()}
    return Inference(arch, Precisions(), phase, 1024, 1.0, **(fields | changes))


DECODE = {"TENSOR_ACTIVE": 0.2027, "DRAM_ACTIVE": 0.678, "SM_ACTIVE": 0.853, "SM_CLOCK": 1695e6}


def test_healthy_decode_is_limited_but_wastes_nothing() -> None:
    found = judge(recent(table(devices=1, **DECODE)), serving(Phase.DECODE), placement=Placement(H100, 1))
    assert (found.cause, found.limit) == (Cause.NONE, Cause.MEMORY_BOUND)
    assert "twice the sequences" in found.findings[0].action


def test_decode_progress_gives_bandwidth_too() -> None:
    setup = serving(Phase.DECODE)
    per_second = 0.05 * PEAK / decode_flops_per_token(setup, 1024.5)
    progress = tuple(
        ProgressReading(
            "n", "p", "vllm", float(t), {Counter.DECODE_TOKENS: per_second * t}, {Gauge.RUNNING_REQUESTS: 64}
        )
        for t in range(0, 601, 5)
    )
    series = recent(table(devices=1, **DECODE), progress=progress)
    found = of(judge(series, setup, placement=Placement(H100, 1)), Meter.PROGRESS)
    assert found.mfu == pytest.approx(0.05, abs=0.002)
    assert found.mbu is not None
    assert 0.3 < found.mbu < 1.1


def test_an_idle_engine_lacks_requests_not_speed() -> None:
    series = recent(table(devices=1, GR_ENGINE_ACTIVE=0.4, GPU_UTIL=0.4, **DECODE))
    found = judge(series, serving(Phase.MIXED), placement=Placement(H100, 1))
    assert (found.cause, found.findings[0].explains) == (Cause.LOW_CONCURRENCY, Explains.RUNTIME)


def test_undeclared_gpus_are_read_without_any_intent() -> None:
    found = assess(None, Placement(H100, 2), series=recent(table()), now=NOW)
    best = found.best()
    assert best is not None and best.mfu == pytest.approx(0.49, abs=0.03)
    assert found.intent_consistent is None


@pytest.mark.parametrize("blind", [False, True], ids=["with counters", "without"])
@pytest.mark.parametrize("mfu", [1.5, 1e6, 1e300])
def test_more_work_than_the_gpus_can_do_is_no_number(mfu: float, blind: bool) -> None:
    values = table()
    if blind:
        values[..., Metric.TENSOR_ACTIVE] = np.nan
    found = judge(recent(values, progress=reports(mfu, job())))
    assert of(found, Meter.PROGRESS).mfu is None
    assert found.intent_consistent is False
    assert "progress" in found.message
    best = found.best()
    assert best is None or best.meter is Meter.COUNTERS


def test_a_gauge_is_said_and_not_measured() -> None:
    told = tuple(
        ProgressReading(
            "ns", "p", "progress", NOW - 600 + 15 * k, {Counter.TRAINED_TOKENS: 1e5 + 3e3 * (k * 7 % 5)}, {}, True
        )
        for k in range(40)
    )
    found = judge(recent(table(), progress=told))
    assert not [each for each in found.observations if each.meter is Meter.PROGRESS]
    assert (found.intent_consistent, "falls again and again" in found.message) == (False, True)


@pytest.mark.parametrize("blind", [False, True])
def test_what_could_not_be_read_is_said(blind: bool) -> None:
    values = table()
    if blind:
        values[..., Metric.TENSOR_ACTIVE] = np.nan
    found = judge(replace(recent(values), unread="tps is a gauge, not a counter"))
    assert (found.intent_consistent, found.message) == (None, "tps is a gauge, not a counter")
