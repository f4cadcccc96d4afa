"""The store: bounded, honest about age and restarts. Times are plain seconds; nothing here waits."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.observe.readings import (
    METRICS,
    Counter,
    GPUIdentity,
    GPUKey,
    GPURound,
    Metric,
    ProgressReading,
    SourceState,
)
from mfu.observe.steady import level_of
from mfu.telemetry.store.recent import Store

POD = ("team-a", "llama-0")


def device(
    uuid: str = "GPU-0", pod: str | None = "llama-0", instance: int | None = None, **more: object
) -> GPUIdentity:
    namespace = "team-a" if pod else None
    return GPUIdentity(GPUKey(uuid, instance), "NVIDIA H200", "n", namespace=namespace, pod=pod, **more)  # type: ignore[arg-type]


def one(at: float, tensor: float, *devices: GPUIdentity, interval: float = 15.0, source: str = "dcgm") -> GPURound:
    found = devices or (device(),)
    values = np.full((len(found), METRICS), np.nan)
    values[:, Metric.TENSOR_ACTIVE] = tensor
    values[:, Metric.POWER_LIMIT] = 700.0
    return GPURound(source, SourceState.OK, found, np.full(len(found), at), values, interval)


def filled(count: int, step: float = 15.0, **options: float) -> Store:
    store = Store(interval_seconds=step, max_devices=64, **options)  # type: ignore[arg-type]
    for k in range(count):
        store.add_round(one(step * k, k / 1000), step * k)
    return store


def test_series_holds_the_window_in_order() -> None:
    found = filled(10).series([POD], 135.0)
    assert found is not None
    assert found.times.tolist() == [15.0 * k for k in range(10)]
    assert found.values[:, 0, Metric.TENSOR_ACTIVE] == pytest.approx([k / 1000 for k in range(10)], rel=1e-6)
    assert (found.values[:, 0, Metric.POWER_LIMIT] == 700).all()
    assert (found.sources, found.interval_seconds) == (("dcgm",), 15.0)


def test_a_shorter_window_is_cut_and_a_long_past_is_bounded() -> None:
    store = filled(1000)
    now = 15.0 * 999
    short, whole = store.series([POD], now, 60.0), store.series([POD], now)
    assert short is not None
    assert whole is not None
    assert len(short.times) == 4
    assert len(whole.times) == 40
    assert whole.times[0] > now - 600


def test_repeats_and_late_arrivals_are_passed_over() -> None:
    store = Store(interval_seconds=15, max_devices=8)
    added = [store.add_round(one(at, at), 100.0) for at in (30.0, 30.0, 15.0, 45.0)]
    assert added == [1, 0, 0, 1]
    found = store.series([POD], 45.0)
    assert found is not None
    assert found.times.tolist() == [30.0, 45.0]


def test_unknown_times_are_no_reading() -> None:
    store = Store(max_devices=8)
    assert store.add_round(one(np.nan, 0.5), 1.0) == 0
    assert store.add_round(one(np.inf, 0.5), 1.0) == 0


@pytest.mark.parametrize(("age", "known"), [(0, True), (30, True), (30.1, False), (300, False)])
def test_older_than_two_intervals_is_unknown(age: float, known: bool) -> None:
    store = filled(10)
    now = 135.0 + age
    fleet, series = store.latest(now), store.series([POD], now)
    assert series is not None
    assert (not np.isnan(fleet.values[0, Metric.TENSOR_ACTIVE])) == known
    assert (len(series.times) > 0) == known
    assert fleet.sources == {"dcgm": SourceState.OK if known else SourceState.STALE}


def test_the_interval_is_the_rounds_own() -> None:
    store = Store(max_devices=8)
    store.add_round(one(0.0, 0.5, interval=60.0), 0.0)
    assert not np.isnan(store.latest(120.0).values[0, 0])
    assert np.isnan(store.latest(120.1).values[0, 0])


def test_a_metric_that_is_first_told_later_is_unknown_before_and_costs_nothing_until_then() -> None:
    store, late = filled(3), one(45.0, 0.4)
    before = store.metrics_kept
    late.values[:, Metric.SM_CLOCK] = 1.7e9
    store.add_round(late, 45.0)
    store.add_round(one(60.0, 0.5), 60.0)
    found = store.series([POD], 60.0)
    assert found is not None
    clocks = found.values[:, 0, Metric.SM_CLOCK]
    assert np.isnan(clocks[[0, 1, 2, 4]]).all()
    assert clocks[3] == pytest.approx(1.7e9)
    assert found.values[:, 0, Metric.TENSOR_ACTIVE] == pytest.approx([0.0, 0.001, 0.002, 0.4, 0.5], rel=1e-6)
    assert (before, store.metrics_kept) == (1, 2)


def test_the_newest_readings_are_copied_once_a_round_and_when_they_go_stale() -> None:
    store = filled(3)
    first, again, stale = (store.latest(at) for at in (31.0, 32.0, 61.0))
    assert again.values is first.values
    assert np.isnan(stale.values).all()
    assert not np.isnan(first.values[:, Metric.TENSOR_ACTIVE]).any()
    store.add_round(one(62.0, 0.7), 62.0)
    assert store.latest(62.0).values[0, Metric.TENSOR_ACTIVE] == 0.7
    assert again.values[0, Metric.TENSOR_ACTIVE] == 0.002


def test_pods_that_nothing_is_known_of() -> None:
    assert filled(1).series([("team-a", "other")], 0.0) is None
    assert Store(max_devices=8).latest(0.0).devices == ()


def test_devices_of_other_phases_line_up() -> None:
    store = Store(interval_seconds=30, max_devices=8)
    for k in range(5):
        store.add_round(one(30.0 * k, 0.1, device("GPU-0"), interval=30), 30.0 * k)
        store.add_round(one(30.0 * k + 15, 0.2, device("GPU-1", pod="llama-1"), interval=30, source="other"), 0.0)
    found = store.series([POD, ("team-a", "llama-1")], 135.0)
    assert found is not None
    assert found.values.shape == (5, 2, METRICS)
    assert not np.isnan(found.values[:, :, Metric.TENSOR_ACTIVE]).any()
    assert found.times.tolist() == [7.5 + 30 * k for k in range(5)]


def test_a_missed_round_is_a_gap_of_that_device_only() -> None:
    store = Store(interval_seconds=15, max_devices=8)
    both = (device("GPU-0"), device("GPU-1"))
    for k in range(4):
        store.add_round(one(15.0 * k, 0.1, *(both if k != 2 else both[:1])), 15.0 * k)
    found = store.series([POD], 45.0)
    assert found is not None
    assert np.isnan(found.values[:, :, 0]).tolist() == [[False, False], [False, False], [False, True], [False, False]]


def test_a_device_that_changed_hands_starts_afresh_and_counts_once() -> None:
    store = Store(interval_seconds=15, max_devices=8)
    store.add_round(one(0.0, 0.1), 0.0)
    store.add_round(one(15.0, 0.9, device(pod="other-0")), 15.0)
    fleet = store.latest(15.0)
    assert [each.pod for each in fleet.devices] == ["other-0"]
    found = store.series([("team-a", "other-0")], 15.0)
    assert found is not None
    assert found.values[:, 0, 0] == pytest.approx([0.9])


def test_shared_devices_keep_a_row_per_pod() -> None:
    store = Store(max_devices=8)
    store.add_round(one(0.0, 0.1, device(shared=True), device(pod="other-0", shared=True)), 0.0)
    assert [each.pod for each in store.latest(0.0).devices] == ["llama-0", "other-0"]


def test_two_sources_of_a_device_never_mix_and_the_preferred_takes_over() -> None:
    store = Store(interval_seconds=15, max_devices=8, prefer=("agent",))
    store.add_round(one(0.0, 0.1, source="dcgm"), 0.0)
    assert store.add_round(one(5.0, 0.2, source="prometheus"), 5.0) == 0
    assert store.add_round(one(6.0, 0.3, source="agent"), 6.0) == 1
    assert store.add_round(one(15.0, 0.1, source="dcgm"), 15.0) == 0
    assert store.add_round(one(60.0, 0.1, source="dcgm"), 60.0) == 1, "a silent source loses the device"


def test_a_clock_that_jumped_back_does_not_silence_a_device() -> None:
    store = filled(3)
    assert store.add_round(one(-10_000.0, 0.5), -10_000.0) == 1
    assert store.latest(-10_000.0).values[0, 0] == 0.5


def test_rows_are_freed_and_reused() -> None:
    store = Store(interval_seconds=15, max_devices=4)
    for k in range(100):
        store.add_round(one(400.0 * k, 0.1, device(pod=f"p-{k}")), 400.0 * k)
    assert len(store.latest(400.0 * 99).devices) == 1
    assert store.series([("team-a", "p-0")], 400.0 * 99) is None


def test_a_full_store_refuses_new_devices_and_says_so() -> None:
    store = Store(max_devices=2)
    store.add_round(one(0.0, 0.1, *(device(f"GPU-{k}") for k in range(5))), 0.0)
    assert len(store.latest(0.0).devices) == 2
    assert store.refused_devices == 3


def reading(at: float, tokens: float, pod: str = "llama-0", source: str = "progress") -> ProgressReading:
    return ProgressReading("team-a", pod, source, at, {Counter.TRAINED_TOKENS: tokens}, scope_total=True)


def totals(store: Store, now: float) -> list[float]:
    found = store.series([POD], now)
    return [] if found is None else [each.counters[Counter.TRAINED_TOKENS] for each in found.progress]


def run(*tokens: float) -> list[float]:
    store = Store(interval_seconds=30, max_devices=4)
    for k, value in enumerate(tokens):
        store.add_progress([reading(30.0 * k, value)])
    return totals(store, 30.0 * (len(tokens) - 1))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param((0, 100, 200, 300), [0, 100, 200, 300], id="plain"),
        pytest.param((1000, 1100, 1200, 80, 180), [1000, 1100, 1200, 80, 180], id="restart from zero"),
        pytest.param((1000, 1100, 1200, 900, 1000), [1000, 1100, 1200, 900, 1000], id="resumed from a checkpoint"),
        pytest.param((10000, 11000, 10950, 12000), [10000, 11000, 10950, 12000], id="a checkpoint just before"),
        pytest.param((1000, 1100, 0, 0, 100), [1000, 1100, 0, 0, 100], id="zero after a restart"),
        pytest.param((1000, 500), [1000, 500], id="half is a fall, not jitter"),
    ],
)  # fmt: skip
def test_a_fall_stays_visible_however_small(given: tuple[float, ...], kept: list[float]) -> None:
    assert run(*given) == kept


def test_jitter_of_a_difference_is_taken_out() -> None:
    """Prompt less cached is read from two counters that move one after the other."""
    store = Store(interval_seconds=30, max_devices=4)
    for k, value in enumerate((10000.0, 11000.0, 10950.0, 12000.0, 6000.0)):
        store.add_progress([ProgressReading("team-a", "llama-0", "vLLM", 30.0 * k, {Counter.PREFILL_TOKENS: value})])
    found = store.series([POD], 120.0)
    assert found is not None
    assert [each.counters[Counter.PREFILL_TOKENS] for each in found.progress] == [10000, 11000, 11000, 12000, 6000]


def test_a_counter_that_is_missing_once_goes_on() -> None:
    store = Store(interval_seconds=30, max_devices=4)
    empty = ProgressReading("team-a", "llama-0", "progress", 30.0, {})
    store.add_progress([reading(0.0, 100), empty, reading(60.0, 300)])
    found = store.series([POD], 60.0)
    assert found is not None
    assert [dict(each.counters) for each in found.progress] == [
        {Counter.TRAINED_TOKENS: 100}, {}, {Counter.TRAINED_TOKENS: 300},
    ]  # fmt: skip


def test_stale_progress_is_left_out() -> None:
    store = Store(interval_seconds=30, max_devices=4)
    store.add_progress([reading(0.0, 100)])
    assert totals(store, 60.0) == [100]
    assert totals(store, 60.1) == []


def test_a_frontend_is_not_counted_beside_its_workers() -> None:
    store = Store(interval_seconds=30, max_devices=4)
    store.add_progress([reading(0.0, 100, source="vLLM"), reading(0.0, 100, pod="front", source="Dynamo frontend")])
    found = store.series([POD, ("team-a", "front")], 0.0)
    assert found is not None
    assert [each.pod for each in found.progress] == ["llama-0"]
    alone = store.series([("team-a", "front")], 0.0)
    assert alone is not None
    assert [each.pod for each in alone.progress] == ["front"]


def test_pods_are_bounded() -> None:
    store = Store(interval_seconds=30, max_devices=4, max_pods=2)
    assert store.add_progress([reading(0.0, 1, pod=f"p-{k}") for k in range(5)]) == 2
    assert store.refused_pods == 3


def test_progress_ages_out_with_the_rounds() -> None:
    store = Store(interval_seconds=30, max_devices=4, max_pods=1)
    store.add_progress([reading(0.0, 1, pod="old")])
    store.add_round(one(5000.0, 0.1), 5000.0)
    assert store.add_progress([reading(5000.0, 1)]) == 1


def test_why_a_pod_told_nothing_goes_with_its_series() -> None:
    store = Store(interval_seconds=30, max_devices=4)
    store.add_round(one(0.0, 0.1, device("GPU-0")), 0.0)
    store.unread("progress", {f"{POD[0]}/{POD[1]}": "tps is a gauge, not a counter"})
    found = store.series([POD], 0.0)
    assert found is not None and found.unread == "tps is a gauge, not a counter"
    store.add_progress([reading(0.0, 5.0)])
    heard = store.series([POD], 0.0)
    assert heard is not None and heard.unread == ""


def test_a_level_is_compared_with_the_newest_readings() -> None:
    store = Store(interval_seconds=15, max_devices=8)
    for k in range(10):
        store.add_round(one(15.0 * k, 0.4), 15.0 * k)
    series = store.series([POD], 135.0)
    assert series is not None
    level = level_of(series)
    assert level is not None
    assert store.stands(level, [POD], 135.0, uids={})
    assert not store.stands(level, [POD], 170.0, uids={}), "two rounds are missing"
    assert not store.stands(level, [("team-a", "other")], 135.0, uids={})
    store.add_round(one(150.0, 0.5), 150.0)
    assert not store.stands(level, [POD], 150.0, uids={})
