"""Counters of a planted truth: the working pipe costs what the recording says, everything else moves with the fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.hardware.catalog import load as load_catalog
from mfu.hardware.types import Device, Precision
from mfu.sim.recordings import Column
from mfu.sim.recordings import load as load_recordings
from mfu.sim.shapes import shape_of
from mfu.sim.truth import Fault, InvalidPlan, Truth, TruthMode

GPUS = load_catalog().gpus
H100 = Device(GPUS["h100-sxm5-80gb"])
A100 = Device(GPUS["a100-sxm4-80gb"])
L40S = Device(GPUS["l40s"])


def activity(shape, column=Column.TENSOR):
    return shape[..., column].mean() * shape[..., Column.CLOCK].mean()


@pytest.mark.parametrize("device", [H100, A100, L40S], ids=lambda device: device.label)
@pytest.mark.parametrize("mfu", [0.1, 0.33, 0.42, 0.5])
def test_healthy_training_has_the_activity_of_the_recorded_ratio(device, mfu) -> None:
    recording = load_recordings()["ddp-healthy-nvlink"]

    shape = shape_of(Truth(mfu), device, gpus=8)

    assert activity(shape) == pytest.approx(mfu * recording.activity / recording.mfu, rel=0.02)


@given(
    st.sampled_from(Fault),
    st.floats(0.01, 0.4),
    st.floats(0.05, 1.0),
    st.sampled_from([1, 8]),
    st.sampled_from([H100, A100, L40S]),
)
@settings(max_examples=60, deadline=None)
def test_no_reading_is_impossible(fault, mfu, strength, gpus, device) -> None:
    try:
        shape = shape_of(Truth(mfu, fault, strength), device, gpus)
    except InvalidPlan:
        # fp32 work at a 16-bit MFU that the fp32 pipes cannot reach, and the like
        return
    shares = shape[..., Column.GR_ENGINE : Column.FP16 + 1]
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert np.all(shape[..., Column.GR_ENGINE] >= shape[..., Column.SM])
    assert np.all(shape[..., Column.SM] >= shape[..., Column.TENSOR])
    assert shape[..., Column.POWER].max() <= 1.05
    assert np.all(shape[..., Column.CLOCK] * device.gpu.reference_clock_mhz <= device.gpu.max_clock_mhz * 1.0001)


def test_a_slow_link_keeps_the_gpu_busy_and_the_pcie_full() -> None:
    healthy, slow = shape_of(Truth(0.42), H100, 8), shape_of(Truth(0.14, Fault.SLOW_LINK), H100, 8)

    assert slow[..., Column.GPU_UTIL].mean() > 0.6
    assert slow[..., Column.PCIE_TX].mean() > 0.4
    assert healthy[..., Column.PCIE_TX].mean() < 0.01
    assert slow[..., Column.NVLINK_TX].max() == 0


def test_a_starved_gpu_waits() -> None:
    starved = shape_of(Truth(0.2, Fault.STARVED_INPUT), H100, 8)

    assert starved[..., Column.SM].mean() < 0.5
    assert starved[..., Column.PCIE_TX].mean() < 0.01
    assert starved[..., Column.TENSOR].mean() < starved[..., Column.SM].mean()


def test_wrong_precision_moves_the_work_to_the_fp32_pipe() -> None:
    shape = shape_of(Truth(0.045, Fault.WRONG_PRECISION), H100, 8)
    fp32_mfu = 0.045 * 989.4 / 66.9
    recording = load_recordings()["fp32"]

    assert shape[..., Column.TENSOR].mean() < 0.05
    expected = fp32_mfu / recording.mfu * recording.values[..., Column.FP32].mean()
    assert shape[..., Column.FP32].mean() == pytest.approx(expected, rel=0.02)


def test_wrong_precision_cannot_reach_a_16_bit_mfu() -> None:
    with pytest.raises(InvalidPlan, match="active all the time"):
        shape_of(Truth(0.4, Fault.WRONG_PRECISION), H100, 8)


def test_a_throttled_clock_is_slow_says_why_and_stays_busy() -> None:
    healthy, throttled = shape_of(Truth(0.42), H100, 8), shape_of(Truth(0.25, Fault.THROTTLED_CLOCK, 0.7), H100, 8)

    assert throttled[..., Column.CLOCK].mean() == pytest.approx(0.58 * healthy[..., Column.CLOCK].mean(), rel=0.01)
    assert np.all(throttled[..., Column.EVENTS].astype(int) & 0x20)
    assert throttled[..., Column.SM].mean() == pytest.approx(healthy[..., Column.SM].mean(), rel=0.01)
    assert throttled[..., Column.POWER].mean() < 0.7 * healthy[..., Column.POWER].mean()


def test_the_straggler_has_fewer_busy_sms_than_those_that_wait_for_it() -> None:
    waiting, late = shape_of(Truth(0.27, Fault.STRAGGLER), H100, 8)

    assert late[:, Column.SM].mean() < 0.85 * waiting[:, Column.SM].mean()


def test_low_concurrency_keeps_memory_and_pipes_busy() -> None:
    full = shape_of(Truth(0.09, mode=TruthMode.DECODE), H100, 1)
    few = shape_of(Truth(0.01, Fault.LOW_CONCURRENCY, mode=TruthMode.DECODE), H100, 1)

    for column in (Column.DRAM, Column.TENSOR):
        assert few[..., column].mean() == pytest.approx(full[..., column].mean(), rel=0.05)


def test_an_engine_without_requests_stands_still() -> None:
    full, half = (shape_of(Truth(0.09 * load, mode=TruthMode.DECODE, load=load), H100, 1) for load in (1.0, 0.5))

    for column in (Column.DRAM, Column.GR_ENGINE, Column.TENSOR):
        assert half[..., column].mean() == pytest.approx(0.5 * full[..., column].mean(), rel=0.02)


def test_planted_bandwidth_shows_as_memory_activity() -> None:
    shape = shape_of(Truth(0.09, mode=TruthMode.DECODE, mbu=0.47), H100, 1)

    assert shape[..., Column.DRAM].mean() == pytest.approx(0.47, rel=0.01)


def test_prefill_has_the_activity_of_the_recorded_ratio() -> None:
    recording = load_recordings()["prefill"]
    shape = shape_of(Truth(0.5, mode=TruthMode.PREFILL), H100, 4, prefill_share=1.0)

    assert activity(shape) == pytest.approx(0.5 * recording.activity / recording.mfu, rel=0.02)
    assert shape[..., Column.GR_ENGINE].mean() > 0.95


def test_more_prefill_means_more_tensor_work_and_less_memory() -> None:
    decode, mixed = (shape_of(Truth(0.3, mode=TruthMode.SERVING), H100, 1, prefill_share=share) for share in (0.3, 0.9))

    ratios = [shape[..., Column.TENSOR].mean() / shape[..., Column.DRAM].mean() for shape in (decode, mixed)]
    assert ratios[0] < ratios[1]


def test_a_throttled_engine_keeps_the_planted_activity() -> None:
    healthy, slow = (
        shape_of(Truth(0.3, fault, 0.5, mode=TruthMode.PREFILL), H100, 1, prefill_share=1.0)
        for fault in (Fault.NONE, Fault.THROTTLED_CLOCK)
    )

    assert activity(slow) == pytest.approx(activity(healthy), rel=0.02)
    assert slow[..., Column.CLOCK].mean() < 0.75 * healthy[..., Column.CLOCK].mean()


def test_training_faults_are_refused_for_serving() -> None:
    with pytest.raises(InvalidPlan, match="fault of training"):
        shape_of(Truth(0.3, Fault.STRAGGLER, mode=TruthMode.DECODE), H100, 1)


def test_strength_lies_between_healthy_and_faulty() -> None:
    levels = [
        shape_of(Truth(0.14, Fault.SLOW_LINK, strength), H100, 8)[..., Column.PCIE_TX].mean()
        for strength in (0.1, 0.5, 1.0)
    ]

    assert levels == sorted(levels)
    assert levels[0] < 0.2 * levels[2]


def test_a_precision_without_a_peak_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="no FP8 peak"):
        shape_of(Truth(0.4, precision=Precision.FP8), A100, 8)
