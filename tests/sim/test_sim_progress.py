"""What workloads report: rates that follow from the planted MFU and the frozen FLOPs table."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mfu.hardware.types import Precision
from mfu.sim.fleet import SimFleet
from mfu.sim.flops import flops_per_token, request_flops
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.progress import rates, text
from mfu.sim.truth import IDLE, InvalidPlan, Truth, TruthMode

H100_PEAK = 989.4e12
TRAINING = Truth(0.4, model="llama-3.1-8b", sequence_length=8192)


def fleet(truth, pods=1, gpus=8, **kwargs):
    return SimFleet(parse_nodes("H100-SXM5=2"), [Workload("a", "t", truth, pods=pods, gpus=gpus, **kwargs)], 3)


def sample(page, name):
    for family in text_string_to_metric_families(page):
        for each in family.samples:
            if each.name == name:
                return each.value
    raise AssertionError(f"{name} is not on the page")


def test_the_worked_number() -> None:
    assert rates(TRAINING, 8 * H100_PEAK).trained == pytest.approx(61_513, rel=1e-4)


@pytest.mark.parametrize("window", [10.0, 60.0])
def test_the_counter_gives_the_planted_mfu_back(window) -> None:
    simulated = fleet(TRAINING)
    tokens = [sample(text(simulated, "a/t-0", now), "train_tokens_total") for now in (1000.0, 1000.0 + window)]
    flops = flops_per_token("llama-3.1-8b", "training", 8192)

    assert (tokens[1] - tokens[0]) / window * flops / (8 * H100_PEAK) == pytest.approx(0.4, abs=0.002)


def test_the_counter_never_goes_back() -> None:
    simulated = fleet(TRAINING)
    tokens = [sample(text(simulated, "a/t-0", now), "train_tokens_total") for now in np.arange(0, 30, 0.25)]

    assert np.all(np.diff(tokens) >= 0)


@pytest.mark.parametrize(("total", "share"), [(False, 0.5), (True, 1.0)])
def test_pods_report_their_share_or_the_whole(total, share) -> None:
    simulated = fleet(Truth(0.4, model="llama-3.1-8b", total=total), pods=2)
    whole = 2 * rates(Truth(0.4, model="llama-3.1-8b"), 8 * H100_PEAK).trained * 1000

    page = text(simulated, "a/t-1", 1000.0)
    assert sample(page, "train_tokens_total") == pytest.approx(share * whole, rel=1e-3)


def test_steps_move_the_counter_in_jumps() -> None:
    simulated = fleet(Truth(0.4, model="llama-3.1-8b", sequence_length=8192, step_tokens=1_000_000))
    readings = {sample(text(simulated, "a/t-0", now), "train_tokens_total") for now in range(1000, 1060)}

    assert all(reading % 1_000_000 == 0 for reading in readings)
    assert max(readings) - min(readings) == pytest.approx(59 * 61_513, abs=1e6)


def test_time_starts_with_the_pod() -> None:
    simulated = fleet(TRAINING, started=500.0)

    assert sample(text(simulated, "a/t-0", 400.0), "train_tokens_total") == 0
    assert sample(text(simulated, "a/t-0", 600.0), "train_tokens_total") == pytest.approx(6_151_300, rel=1e-2)


def test_fp8_has_twice_the_peak() -> None:
    fp8 = Truth(0.4, model="llama-3.1-8b", precision=Precision.FP8)
    slow, fast = (
        sample(text(fleet(truth), "a/t-0", 100.0), "train_tokens_total")
        for truth in (Truth(0.4, model="llama-3.1-8b"), fp8)
    )

    assert fast / slow == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("mode", [TruthMode.SERVING, TruthMode.PREFILL, TruthMode.DECODE])
def test_serving_counters_give_the_planted_mfu_back(mode) -> None:
    truth = Truth(0.2, mode=mode, model="llama-3.1-8b", input_tokens=2000, output_tokens=100)
    pages = [text(fleet(truth, gpus=1), "a/t-0", now) for now in (100.0, 160.0)]
    prompt, generated = (
        (sample(pages[1], name) - sample(pages[0], name)) / 60
        for name in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    )
    prefill, decode = request_flops(truth)
    flops = prompt * prefill / 2000 + (generated * decode / 100 if mode is not TruthMode.PREFILL else 0.0)

    assert flops / H100_PEAK == pytest.approx(0.2, abs=0.002)
    assert (prompt == 0) == (mode is TruthMode.DECODE)


def test_a_silent_workload_has_an_empty_page() -> None:
    assert text(fleet(IDLE), "a/t-0", 10.0) == ""
    assert text(fleet(Truth(0.4, model="llama-3.1-8b", metric="")), "a/t-0", 10.0) == ""


def test_flops_grow_with_length_and_are_not_extrapolated() -> None:
    short, middle, long = (flops_per_token("llama-3.1-8b", "training", length) for length in (2048, 3072, 4096))

    assert middle == pytest.approx((short + long) / 2)
    with pytest.raises(InvalidPlan, match="counted from"):
        flops_per_token("llama-3.1-8b", "training", 10**6)
    with pytest.raises(InvalidPlan, match="no training row"):
        flops_per_token("no-such-model", "training", 2048)


def test_an_explicit_number_overrides_the_table() -> None:
    assert rates(Truth(0.5, flops_per_token=1e12), 1e15).trained == pytest.approx(500)
