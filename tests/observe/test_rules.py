"""One sign, one cause: each rule speaks up for its own evidence and is silent without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.types import Precision
from mfu.observe.assess import assess
from mfu.observe.assessment import Assessment
from mfu.observe.diagnosis.gaps import gap_spread
from mfu.observe.readings import Counter, Floats, Gauge, Metric, ProgressReading
from mfu.predict import predict
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Precisions, Prediction, Recompute, Training
from mfu.workload.architecture import Architecture
from tests.builders.readings import GPT, H100, NOW, job, recent, table

NAN = float("nan")


def judge(values: Floats, setup: Any = None, *, progress: tuple[ProgressReading, ...] = (), **place: Any) -> Assessment:
    placement = replace(Placement(H100, values.shape[1]), **place)
    return assess(setup or job(), placement, series=recent(values, progress=progress), now=NOW)


def spoiled(device: int | slice, **changes: float) -> Floats:
    values = table()
    for name, value in changes.items():
        values[:, device, Metric[name]] = value
    return values


@pytest.mark.parametrize(
    ("values", "cause", "actor"),
    [
        (spoiled(1, GR_ENGINE_ACTIVE=0.6, SM_ACTIVE=0.55, TENSOR_ACTIVE=0.6), Cause.STRAGGLER, Actor.TENANT),
        (spoiled(0, SM_ACTIVE=0.6), Cause.STRAGGLER, Actor.PROVIDER),
        (spoiled(1, SM_CLOCK=1200e6, TENSOR_ACTIVE=0.66), Cause.STRAGGLER, Actor.PROVIDER),
        (
            spoiled(slice(None), GR_ENGINE_ACTIVE=0.0, TENSOR_ACTIVE=0.0, GPU_UTIL=0.0),
            Cause.IDLE_ALLOCATION,
            Actor.TENANT,
        ),
        (spoiled(slice(None), CLOCK_EVENTS=0x40, SM_CLOCK=1200e6), Cause.POWER_OR_THERMAL, Actor.PROVIDER),
        (spoiled(slice(None), POWER_LIMIT=450.0, SM_CLOCK=1150e6, POWER=449.0), Cause.POWER_OR_THERMAL, Actor.PROVIDER),
        (spoiled(slice(None), SM_CLOCK=1410e6, POWER=480.0), Cause.POWER_OR_THERMAL, Actor.PROVIDER),
        (spoiled(1, PCIE_LINK_WIDTH=8.0), Cause.DEGRADED_HARDWARE, Actor.PROVIDER),
        (spoiled(slice(None), FP32_ACTIVE=0.66, TENSOR_ACTIVE=0.035), Cause.PRECISION, Actor.TENANT),
        (spoiled(slice(None), DRAM_ACTIVE=0.56, TENSOR_ACTIVE=0.1, SM_CLOCK=1980e6), Cause.MEMORY_BOUND, Actor.TENANT),
    ],
)
def test_a_sign_names_its_cause(values: Floats, cause: Cause, actor: Actor) -> None:
    found = judge(values)
    assert (found.cause, found.findings[0].actor) == (cause, actor)
    assert found.findings[0].evidence


def test_without_profiling_what_nvml_knows_is_still_said() -> None:
    nvml = {"TENSOR_ACTIVE": NAN, "SM_ACTIVE": NAN, "GR_ENGINE_ACTIVE": NAN, "DRAM_ACTIVE": NAN}
    assert judge(spoiled(slice(None), GPU_UTIL=0.0, **nvml)).cause is Cause.IDLE_ALLOCATION
    narrow = table(**nvml)
    narrow[:, 1, Metric.PCIE_LINK_WIDTH] = 8.0
    assert judge(narrow).cause is Cause.DEGRADED_HARDWARE


@pytest.mark.parametrize(
    "changes",
    [
        {"XID": 79.0},
        {"XID": 31.0},
        {"ECC_UNCORRECTED": 4.0},
        {"CLOCK_EVENTS": 0x4},
        {"PCIE_LINK_WIDTH": 16.0},
        {"PCIE_LINK_WIDTH": 0.0},
        {"PCIE_LINK_GEN": 5.0},
    ],
)
def test_old_faults_and_normal_states_accuse_nobody(changes: dict[str, float]) -> None:
    """The last Xid is repeated for ever, ECC counts since boot, and the power cap is normal at full load."""
    assert judge(spoiled(slice(None), **changes)).cause is Cause.NONE


@pytest.mark.parametrize(("metric", "value"), [(Metric.XID, 79.0), (Metric.ECC_UNCORRECTED, 1.0)])
def test_a_new_fault_names_its_gpu(metric: Metric, value: float) -> None:
    values = table()
    values[..., metric] = 0.0
    values[400:, 1, metric] = value
    found = judge(values)
    assert (found.cause, found.findings[0].device) == (Cause.DEGRADED_HARDWARE, "1")


@pytest.mark.parametrize("metric", [each for each in Metric if each is not Metric.TENSOR_ACTIVE])
def test_a_reading_that_is_gone_accuses_nobody(metric: Metric) -> None:
    assert judge(spoiled(slice(None), **{metric.name: NAN})).cause is Cause.NONE


def test_reported_waiting_is_enough_for_data_starvation() -> None:
    progress = tuple(
        ProgressReading("n", "p", "report", float(t), {Counter.DATA_WAIT_SECONDS: 0.3 * t}) for t in range(0, 601, 10)
    )
    found = judge(table(), progress=progress)
    assert found.cause is Cause.DATA_STARVATION
    assert found.findings[0].speedup == pytest.approx(1 / 0.7, rel=0.02)


def test_idle_with_long_gaps_is_starvation_with_steady_ones_the_host() -> None:
    idle = {"GR_ENGINE_ACTIVE": 0.6, "SM_ACTIVE": 0.57, "TENSOR_ACTIVE": 0.39, "GPU_UTIL": 0.6}
    steady, bursts = spoiled(slice(None), **idle), spoiled(slice(None), **idle)
    bursts[::3, :, Metric.GPU_UTIL], bursts[1::3, :, Metric.GPU_UTIL] = 0.0, 1.0
    assert judge(steady).cause is Cause.HOST_OVERHEAD
    assert judge(bursts).cause is Cause.DATA_STARVATION


def test_spread_of_a_single_gap() -> None:
    assert gap_spread(gap=0.27, period=0.54, window=1 / 6) == pytest.approx(0.38, abs=0.01)
    assert gap_spread(gap=0.01, period=0.03, window=1 / 6) == 0.0


@pytest.mark.parametrize(("gap", "period"), [(0.1, 0.4), (0.3, 0.5), (0.05, 1.0)])
def test_spread_of_a_single_gap_by_sampling(gap: float, period: float) -> None:
    window = 1 / 6
    starts = np.random.default_rng(3).uniform(0, period, 20_000)
    inside = (starts[:, None] + np.linspace(0, window, 200)) % period
    busy = (inside >= gap).mean(axis=1)
    assert gap_spread(gap=gap, period=period, window=window) == pytest.approx(float(busy.std()), abs=0.01)


def test_recomputation_is_given_away_by_memory_and_fits_without() -> None:
    one = table(devices=1, FB_USED=24e9)
    found = judge(one, job(global_batch_size=8, parallelism=Parallelism()))
    assert found.cause is Cause.RECOMPUTE
    assert "fits" in found.findings[0].action


def test_declared_recomputation_that_is_needed_is_no_waste() -> None:
    big = Architecture("gpt", 60, 8192, 64, 64, 128, 32768, 50304, gated_ffn=False)
    setup = job(architecture=big, recompute=Recompute.FULL, micro_batch_size=1, global_batch_size=2)
    assert judge(table(), setup).cause is not Cause.RECOMPUTE


def test_pipeline_bubble_is_arithmetic() -> None:
    setup = job(parallelism=Parallelism(pipeline=2), global_batch_size=16, micro_batch_size=8)
    found = judge(table(), setup)
    assert found.cause is Cause.PIPELINE_BUBBLE
    assert found.findings[0].speedup == pytest.approx(1.5)


def decode(batch: float) -> Inference:
    arch = Architecture("gpt-7b", 32, 4096, 32, 32, 128, 16384, 32000, gated_ffn=False)
    return Inference(arch, Precisions(), Phase.DECODE, 1024, 1.0, batch, Parallelism())


@pytest.mark.parametrize(
    ("batch", "cause"), [(1, Cause.LOW_CONCURRENCY), (8, Cause.LOW_CONCURRENCY), (64, Cause.NONE), (128, Cause.NONE)]
)
def test_decode_is_lonely_or_at_its_limit(batch: float, cause: Cause) -> None:
    values = table(devices=1, TENSOR_ACTIVE=0.003 * batch, DRAM_ACTIVE=0.68, SM_ACTIVE=0.85)
    found = judge(values, decode(batch))
    assert found.cause is cause
    assert "×" in found.findings[0].action


def test_a_full_cache_with_a_queue_is_pressure() -> None:
    gauges = {Gauge.KV_CACHE_USAGE: 0.99, Gauge.WAITING_REQUESTS: 12.0, Gauge.RUNNING_REQUESTS: 40.0}
    progress = tuple(ProgressReading("n", "p", "vllm", float(t), {}, gauges) for t in range(0, 600, 10))
    values = table(devices=1, TENSOR_ACTIVE=0.2, DRAM_ACTIVE=0.68, SM_ACTIVE=0.85)
    assert judge(values, decode(64), progress=progress).cause is Cause.KV_CACHE_PRESSURE


def test_small_batch_counts_its_gain_in_points_and_memory() -> None:
    changes = {
        "GR_ENGINE_ACTIVE": 0.55,
        "SM_ACTIVE": 0.37,
        "TENSOR_ACTIVE": 0.04,
        "GPU_UTIL": 0.55,
        "DRAM_ACTIVE": 0.24,
    }
    tiny = Training(GPT, Precisions(), 128, 1, 1, Parallelism())
    found = judge(table(devices=1, FB_USED=13e9, **changes), tiny)
    assert (found.cause, found.findings[0].explains) == (Cause.SMALL_BATCH, Explains.CONFIGURATION)
    assert "points" in found.findings[0].action
    assert "GiB, fits" in found.findings[0].action


def test_batches_that_come_in_over_pcie_are_no_collective() -> None:
    assert judge(table(PCIE_RX=25e9, PCIE_TX=0.2e9)).cause is Cause.NONE


def test_shares_never_explain_more_than_was_lost() -> None:
    expected = predict(job(), Placement(H100, 2))
    assert isinstance(expected, Prediction)
    values = spoiled(1, GR_ENGINE_ACTIVE=0.2, SM_ACTIVE=0.19, TENSOR_ACTIVE=0.3)
    values[:, 0, Metric.TENSOR_ACTIVE] = 0.3
    values[..., Metric.CLOCK_EVENTS] = 0x40
    values[..., Metric.SM_CLOCK] = 1200e6
    values[..., Metric.PCIE_LINK_WIDTH] = 8.0
    found = assess(job(), Placement(H100, 2), expected=expected, series=recent(values), now=NOW)
    best = found.best()
    assert best is not None and best.mfu is not None
    claimed = [each.share for each in found.findings if each.share is not None]
    assert len(claimed) > 1
    assert sum(claimed) == pytest.approx(expected.mfu - best.mfu)


def test_precision_is_counted_over_the_16_bit_peak() -> None:
    wide = Precisions(Precision.FP32, Precision.FP32, Precision.FP32)
    found = judge(spoiled(slice(None), FP32_ACTIVE=0.676, TENSOR_ACTIVE=0.035, SM_CLOCK=1980e6), job(precisions=wide))
    main = found.findings[0]
    assert main.counterfactual_mfu is not None
    assert main.share == pytest.approx(main.counterfactual_mfu - 0.048, abs=0.005)


def test_slow_fabric_is_the_provider_s_and_names_the_collective() -> None:
    changes = {"SM_ACTIVE": 0.31, "TENSOR_ACTIVE": 0.142, "DRAM_ACTIVE": 0.116, "SM_CLOCK": 1980e6, "POWER": 365.0}
    values = table(PCIE_TX=30e9, PCIE_RX=26e9, FB_USED=21e9, **changes)
    setup = job(micro_batch_size=1, global_batch_size=2)
    found = judge(values, setup, nvlink=False).findings[0]
    assert (found.cause, found.actor) == (Cause.COMMUNICATION, Actor.PROVIDER)
    assert "gradient all-reduce at 30 GB/s over PCIe" in found.message
    assert found.counterfactual_mfu == pytest.approx(0.35, rel=0.25)
