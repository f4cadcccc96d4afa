"""The counters meter: worked numbers, precision paths, unknowns, and the fleet's array form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.observe.counters import counters_mfu, fleet_counters_mfu, peak_table
from mfu.observe.executed import UNDECLARED, Executed, executed
from mfu.observe.readings import METRICS, Floats, Metric
from mfu.predict.types import Inference, Parallelism, Phase, Precisions, Recompute, Training
from mfu.workload.architecture import Architecture

H200 = Device(load().gpus["h200-sxm-141gb"])
GPT = Architecture("gpt", 24, 2048, 16, 16, 128, 8192, 50304, gated_ffn=False)


def training(**changes: object) -> Training:
    fields: dict[str, object] = {
        "architecture": GPT,
        "precisions": Precisions(),
        "sequence_length": 2048,
        "global_batch_size": 12,
        "micro_batch_size": 12,
        "parallelism": Parallelism(),
    }
    return Training(**(fields | changes))  # type: ignore[arg-type]


def reading(**values: float) -> Floats:
    row = np.full(METRICS, np.nan)
    for name, value in values.items():
        row[Metric[name]] = value
    return row


BUSY = reading(TENSOR_ACTIVE=0.733, SM_CLOCK=1522e6, POWER=693.0)


def test_worked_number_of_the_healthy_recording() -> None:
    found = counters_mfu(BUSY, H200, Precision.BF16, intent=executed(training()))
    assert found.tensor == pytest.approx(0.610, abs=0.001)
    assert found.mfu == pytest.approx(0.560, abs=0.002)


def test_attention_and_recomputation_are_taken_off() -> None:
    plain, again = executed(training()), executed(training(recompute=Recompute.FULL))
    assert plain.attention == pytest.approx(1.030, abs=0.003)
    assert again.recompute == pytest.approx(1.213, abs=0.003)


def test_megatron_runs_the_whole_layer_again() -> None:
    again = executed(training(recompute=Recompute.FULL, engine="Megatron"))
    assert again.recompute == pytest.approx(1 + (1 - 0.0729) / 3, abs=0.002)


def test_fp32_is_measured_on_its_own_pipe_and_peak() -> None:
    row = reading(TENSOR_ACTIVE=0.0355, FP32_ACTIVE=0.6758, SM_CLOCK=1980e6, POWER=651.0)
    wide = Precisions(Precision.FP32, Precision.FP32, Precision.FP32)
    found = counters_mfu(row, H200, Precision.FP32, intent=executed(training(precisions=wide)))
    assert found.mfu == pytest.approx(0.708, abs=0.02)


def test_products_off_the_tensor_cores_count_against_the_declared_peak() -> None:
    row = reading(TENSOR_ACTIVE=0.0355, FP32_ACTIVE=0.6758, SM_CLOCK=1980e6, POWER=651.0)
    found = counters_mfu(row, H200, Precision.BF16, intent=executed(training()), tensor_cores=False)
    assert found.mfu == pytest.approx(0.0479, abs=0.005)


def test_few_tokens_still_take_a_whole_tile() -> None:
    assert executed(training(micro_batch_size=1, sequence_length=16, global_batch_size=1)).tiles == 4.0
    assert executed(training()).tiles == 1.0


def test_fp8_keeps_attention_and_head_in_16_bit() -> None:
    narrow = Precisions(Precision.FP8, Precision.BF16, Precision.BF16)
    assert executed(training(precisions=narrow)).precision == pytest.approx(1 + 0.071 + 0.073, abs=0.003)


@pytest.mark.parametrize(("batch", "tensor", "truth"), [(64, 0.2027, 0.0936), (16, 0.0129, 0.0067)])
def test_decode_tiles_are_mostly_padding(batch: float, tensor: float, truth: float) -> None:
    """Both H200 decode recordings, within a point."""
    arch = Architecture("gpt-7b", 32, 4096, 32, 32, 128, 16384, 32000, gated_ffn=False)
    setup = Inference(arch, Precisions(), Phase.DECODE, 1024, 1.0, batch, Parallelism())
    clock, power = (1695e6, 696.0) if batch == 64 else (1980e6, 382.0)
    row = reading(TENSOR_ACTIVE=tensor, SM_CLOCK=clock, POWER=power)
    found = counters_mfu(row, H200, Precision.BF16, intent=executed(setup))
    assert found.mfu == pytest.approx(truth, abs=0.01)


def test_prefill_recording_within_two_points() -> None:
    arch = Architecture("gpt-7b", 32, 4096, 32, 32, 128, 16384, 32000, gated_ffn=False)
    setup = Inference(arch, Precisions(), Phase.PREFILL, 2048, 1.0, 1, Parallelism())
    row = reading(TENSOR_ACTIVE=0.8076, SM_CLOCK=1568e6, POWER=673.0)
    assert counters_mfu(row, H200, Precision.BF16, intent=executed(setup)).mfu == pytest.approx(0.6292, abs=0.02)


@pytest.mark.parametrize("missing", [Metric.TENSOR_ACTIVE, Metric.SM_CLOCK])
def test_a_missing_reading_is_unknown(missing: Metric) -> None:
    row = BUSY.copy()
    row[missing] = np.nan
    assert np.isnan(counters_mfu(row, H200, Precision.BF16, intent=None).mfu)


def test_unknown_power_lies_between_capped_and_free() -> None:
    def mfu(power: float) -> float:
        row = BUSY.copy()
        row[Metric.POWER] = power
        return float(counters_mfu(row, H200, Precision.BF16, intent=None).mfu)

    assert mfu(693.0) < mfu(np.nan) < mfu(300.0)


@given(tensor=st.floats(0, 1), clock=st.floats(2e8, 2e9), power=st.floats(0, 800), ratio=st.floats(1.0, 3.0))
def test_never_above_the_raw_activity_nor_negative(tensor: float, clock: float, power: float, ratio: float) -> None:
    row = reading(TENSOR_ACTIVE=tensor, SM_CLOCK=clock, POWER=power)
    found = counters_mfu(row, H200, Precision.BF16, intent=Executed(attention=ratio))
    assert 0 <= found.mfu <= found.tensor


def test_fleet_form_is_the_single_form_without_intent() -> None:
    rows = np.stack([BUSY, BUSY * 0.5, BUSY])
    found = fleet_counters_mfu(rows, peak_table((H200, H200, None)))
    single = counters_mfu(rows[:2], H200, Precision.BF16, intent=None).mfu
    assert found[:2] == pytest.approx(single)
    assert np.isnan(found[2])
    assert UNDECLARED.relative_sd > executed(training()).relative_sd


def test_fleet_of_forty_thousand_is_array_work() -> None:
    rows = np.tile(BUSY, (40_000, 1))
    assert fleet_counters_mfu(rows, peak_table((H200,) * 40_000)).shape == (40_000,)
