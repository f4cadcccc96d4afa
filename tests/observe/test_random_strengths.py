"""Faults of random strength on random shapes and products: what the three fixed strengths do not show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mfu.api.causes import Cause
from mfu.observe.assess import assess
from mfu.observe.evidence import trimmed
from mfu.observe.readings import Floats, Metric
from mfu.predict import predict
from mfu.predict.types import Prediction, Training
from mfu.workload.flops import training_flops_per_token
from tests.builders.faults import (
    DATA,
    H100,
    H200,
    Rank,
    Run,
    device,
    gpt,
    idle_phase,
    phase,
    run,
    spin_phase,
    timeline,
    training,
    transfer_phase,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not here"),
]
SHAPES = [
    (12, 768, 64, 32, 1024, 0.083),
    (24, 1024, 64, 16, 1024, 0.11),
    (24, 2048, 128, 4, 2048, 0.14),
    (24, 2048, 128, 8, 2048, 0.276),
    (32, 2560, 128, 8, 2048, 0.60),
    (16, 4096, 128, 4, 2048, 0.35),
]
"""Layers, hidden, head width, micro-batch, sequence, seconds of a healthy step."""
RUNS = 30
Draw = np.random.Generator


def shape(draw: Draw, ranks: int) -> tuple[Training, float]:
    layers, hidden, head, micro_batch, sequence, seconds = SHAPES[draw.integers(len(SHAPES))]
    return training(micro_batch, sequence, ranks, arch=gpt(layers, hidden, head)), seconds


def product(draw: Draw) -> str:
    return (H200, H100)[draw.integers(2)]


def busy(name: str, scenario: str = "ddp-healthy-nvlink") -> Floats:
    """A healthy row with three quarters of the memory in use."""
    row = phase(scenario).copy()
    row[Metric.FB_USED] = 0.75 * device(name).gpu.memory_bytes
    return row


def healthy(draw: Draw) -> Run:
    name, ranks = product(draw), int(draw.choice([1, 2, 4]))
    setup, step = shape(draw, ranks)
    work = busy(name)
    work[Metric.TENSOR_ACTIVE] *= draw.uniform(0.75, 1.05)
    work[Metric.DRAM_ACTIVE] *= draw.uniform(0.9, 1.5)
    values = timeline((Rank(((step, work),)),) * ranks, seed=int(draw.integers(1_000_000)), events=4)
    return run("healthy", Cause.NONE, setup, values, product=name)


def starved(draw: Draw) -> Run:
    name, ranks, wait = product(draw), int(draw.choice([1, 2])), draw.uniform(0.1, 0.7)
    setup, step = shape(draw, ranks)
    work = busy(name)
    rank = Rank(((step, work), (step * wait / (1 - wait), idle_phase(work))), jitter=draw.uniform(0.0, 0.3))
    values = timeline((rank,) * ranks, seed=int(draw.integers(1_000_000)), events=4, lockstep=bool(draw.integers(2)))
    return run(f"starved {wait:.2f}", Cause.DATA_STARVATION, setup, values, product=name)


def straggling(draw: Draw) -> Run:
    name, ranks, wait = product(draw), int(draw.choice([2, 4, 8])), draw.uniform(0.1, 0.6)
    setup, step = shape(draw, ranks)
    work, gap = busy(name), step * wait / (1 - wait)
    late = Rank(((step, work), (gap, idle_phase(work))), jitter=0.1)
    waiting = Rank(((step, work), (gap, spin_phase(work))), jitter=0.1)
    values = timeline((late,) + (waiting,) * (ranks - 1), seed=int(draw.integers(1_000_000)), events=4)
    return run(f"straggling {wait:.2f}", Cause.STRAGGLER, setup, values, product=name)


LEAST_LINK = 0.2
"""A smaller share lies within the band of what is expected: no loss that anything could be blamed for."""


def communicating(draw: Draw) -> Run:
    name, ranks, share = product(draw), int(draw.choice([2, 4])), draw.uniform(LEAST_LINK, 0.7)
    micro_batch, pcie = int(draw.choice([1, 2])), bool(draw.integers(2))
    work = busy(name)
    work[Metric.TENSOR_ACTIVE], work[Metric.SM_ACTIVE], work[Metric.SM_CLOCK] = 0.45, 0.82, 1.87e9
    work[[Metric.NVLINK_RX, Metric.NVLINK_TX]] = 0.0
    link = transfer_phase(work, pcie=40e9) if pcie else transfer_phase(work, nvlink=300e9)
    compute = 0.042 * micro_batch
    rank = Rank(((compute, work), (compute * share / (1 - share), link)))
    values = timeline((rank,) * ranks, seed=int(draw.integers(1_000_000)))
    setup = training(micro_batch, 2048, ranks)
    return run(f"link {share:.2f}", Cause.COMMUNICATION, setup, values, product=name, nvlink=not pcie)


def judge(made: Run) -> Cause:
    assert made.setup is not None
    answer = predict(made.setup, made.placement)
    expected = answer if isinstance(answer, Prediction) else None
    now = float(made.series.times[-1])
    return assess(made.setup, made.placement, expected=expected, series=made.series, now=now).cause


@pytest.mark.parametrize("make", [starved, straggling, communicating])
def test_named_right_at_any_strength(make: Callable[[Draw], Run]) -> None:
    draw = np.random.default_rng(11)
    made = [make(draw) for _ in range(RUNS)]
    wrong = [(each.name, judge(each)) for each in made if judge(each) is not each.cause]
    assert len(wrong) <= 0.05 * RUNS, wrong


def test_no_healthy_run_is_accused() -> None:
    draw = np.random.default_rng(12)
    accused = [judge(healthy(draw)) for _ in range(2 * RUNS)]
    assert set(accused) == {Cause.NONE}


def bursting(draw: Draw) -> tuple[Run, float]:
    """Whole seconds of idleness anywhere, at the edges of the recording too; with the tensor activity that is true."""
    name, wait = product(draw), draw.uniform(0.1, 0.4)
    setup, _ = shape(draw, 1)
    work = busy(name)
    burst = draw.uniform(1.0, 5.0)
    rank = Rank(((burst * (1 - wait) / wait, work), (burst, idle_phase(work))), jitter=draw.uniform(0.0, 0.3))
    values = np.roll(timeline((rank,), seed=int(draw.integers(1_000_000)), events=4), int(draw.integers(60)), axis=0)
    return run(f"bursts {wait:.2f}", Cause.DATA_STARVATION, setup, values, product=name), wait


def small_and_starved(draw: Draw) -> Run:
    """Steps far shorter than NVML's window, and far longer waits."""
    name, wait = product(draw), draw.uniform(0.75, 0.95)
    step, arch = draw.uniform(0.03, 0.08), gpt(12, 768, 64)
    sequences = 0.5 * 989e12 * step / (training_flops_per_token(arch, 512) * 512)
    setup = training(round(sequences), 512, 1, arch=arch)
    work = busy(name)
    rank = Rank(((step, work), (step * wait / (1 - wait), idle_phase(work))), jitter=draw.uniform(0.0, 0.2))
    values = timeline((rank,), seed=int(draw.integers(1_000_000)), events=4)
    return run(f"small and starved {wait:.2f}", Cause.DATA_STARVATION, setup, values, product=name)


def hidden_exchange(draw: Draw) -> Run:
    """A link busy for a tenth to half of the time, all of it under full SMs."""
    name, ranks = product(draw), int(draw.choice([2, 4]))
    setup, step = shape(draw, ranks)
    work = busy(name)
    pcie, share = bool(draw.integers(2)), draw.uniform(0.1, 0.5)
    work[[Metric.NVLINK_RX, Metric.NVLINK_TX]] = 0.0 if pcie else share * 315e9
    if pcie:
        work[[Metric.PCIE_RX, Metric.PCIE_TX]] = share * 39e9
    values = timeline((Rank(((step, work),)),) * ranks, seed=int(draw.integers(1_000_000)), events=4)
    return run(f"hidden {share:.2f}", Cause.NONE, setup, values, product=name, nvlink=not pcie)


def test_idle_seconds_are_never_trimmed_away() -> None:
    draw = np.random.default_rng(13)
    for _ in range(RUNS):
        made, _ = bursting(draw)
        whole = np.nanmean(made.series.values[:, 0, Metric.GR_ENGINE_ACTIVE])
        kept = np.nanmean(trimmed(made.series).values[:, 0, Metric.GR_ENGINE_ACTIVE])
        assert kept == pytest.approx(whole, abs=0.02), made.name


def test_bursts_are_named() -> None:
    draw = np.random.default_rng(14)
    made = [bursting(draw)[0] for _ in range(RUNS)]
    wrong = [(each.name, judge(each)) for each in made if judge(each) is not each.cause]
    assert len(wrong) <= 0.05 * RUNS, wrong


def test_a_starved_small_model_is_not_its_hosts_fault() -> None:
    draw = np.random.default_rng(15)
    made = [small_and_starved(draw) for _ in range(RUNS)]
    wrong = [(each.name, judge(each)) for each in made if judge(each) is not each.cause]
    assert len(wrong) <= 0.05 * RUNS, wrong


def test_an_exchange_that_computing_hides_is_no_loss() -> None:
    draw = np.random.default_rng(16)
    made = [hidden_exchange(draw) for _ in range(RUNS)]
    assert Cause.COMMUNICATION not in {judge(each) for each in made}
