"""Who holds which device, and what the devices read over time."""

import numpy as np
import pytest

from mfu.sim.fleet import NoRoom, SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import SimPod, Workload
from mfu.sim.recordings import Column
from mfu.sim.replay import PERIOD_SECONDS
from mfu.sim.truth import IDLE, Fault, InvalidPlan, Truth, TruthMode

HEALTHY = Truth(0.42, model="llama-3.1-8b")


def fleet(*workloads, nodes="H100-SXM5=2", **kwargs):
    return SimFleet(parse_nodes(nodes), workloads, 7, **kwargs)


def tensor_over_a_period(simulated, devices):
    rounds = [simulated.sample(1000.0 + second).values[devices] for second in range(PERIOD_SECONDS)]
    return np.mean(rounds, axis=0)[:, Column.TENSOR]


def test_pods_get_free_devices_of_their_node() -> None:
    simulated = fleet(nodes="H100-SXM5=1,H200-SXM=1")
    first = simulated.place(SimPod("a", "p-0", "p", HEALTHY, 4, node="h200-sxm-00"))
    second = simulated.place(SimPod("a", "p-1", "p", HEALTHY, 4, node="h200-sxm-00"))

    assert {slot.node for slot in first} == {"h200-sxm-00"}
    assert [slot.index for slot in first + second] == list(range(8))


@pytest.mark.parametrize(
    "pod",
    [
        SimPod("a", "p", "p", HEALTHY, 9, node="h100-sxm5-00"),
        SimPod("a", "p", "p", HEALTHY, 1, resource="nvidia.com/mig-1g.10gb"),
        SimPod("a", "p", "p", HEALTHY, 1, node="elsewhere"),
    ],
    ids=["too many", "no such resource", "no such node"],
)
def test_what_does_not_fit_is_refused(pod) -> None:
    with pytest.raises(NoRoom):
        fleet().place(pod)


def test_a_refused_truth_takes_no_device() -> None:
    simulated = fleet()
    with pytest.raises(InvalidPlan):
        simulated.place(SimPod("a", "p", "p", Truth(0.4, Fault.WRONG_PRECISION), 8))

    assert simulated.pods == {}
    assert set(simulated.holder) == {None}


def test_a_removed_pod_frees_its_devices_and_they_idle() -> None:
    simulated = fleet(Workload("a", "t", HEALTHY))
    busy = simulated.sample(100.0).values[:8, Column.TENSOR].min()
    simulated.remove("a/t-0")
    simulated.remove("a/t-0")

    assert busy > 0.3
    assert simulated.sample(101.0).values[:8, Column.TENSOR].max() == 0
    assert simulated.place(SimPod("b", "u", "u", HEALTHY, 8, node="h100-sxm5-00"))


def test_an_idle_pod_holds_devices_and_does_nothing() -> None:
    simulated = fleet(Workload("a", "t", IDLE))

    assert simulated.holder[0] is not None
    assert simulated.sample(5.0).values[:, Column.SM].max() == 0


def test_the_same_seed_reads_the_same() -> None:
    first, second = (fleet(Workload("a", "t", HEALTHY)).sample(123.0).values for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_another_seed_reads_otherwise() -> None:
    other = SimFleet(parse_nodes("H100-SXM5=2"), [Workload("a", "t", HEALTHY)], 8)

    assert not np.array_equal(other.sample(123.0).values, fleet(Workload("a", "t", HEALTHY)).sample(123.0).values)


def test_exporters_repeat_a_collection_until_the_next() -> None:
    simulated = fleet(Workload("a", "t", HEALTHY), interval_seconds=10.0)

    assert simulated.sample(100.0) is simulated.sample(109.9)
    assert simulated.sample(110.0).at == 110.0


def test_time_that_runs_backwards_changes_nothing() -> None:
    simulated = fleet(Workload("a", "t", HEALTHY))
    later = simulated.sample(100.0)

    assert simulated.sample(50.0) is later


def test_noise_averages_out_to_the_recorded_shape() -> None:
    simulated = fleet(Workload("a", "t", HEALTHY))
    means = tensor_over_a_period(simulated, slice(0, 8))

    assert np.ptp(means) < 0.02
    assert np.ptp(simulated.sample(2000.0).values[:8, Column.TENSOR]) > 0.002


def test_a_long_interval_averages_but_clocks_stay_instantaneous() -> None:
    slow = fleet(Workload("a", "t", Truth(0.2, Fault.STARVED_INPUT)), interval_seconds=14.0)
    fast = fleet(Workload("a", "t", Truth(0.2, Fault.STARVED_INPUT)))
    spread = [
        np.std([each.sample(1000.0 + 14 * step).values[:8] for step in range(5)], axis=(0, 1)) for each in (slow, fast)
    ]

    assert spread[0][Column.SM] < 0.5 * spread[1][Column.SM]
    assert spread[0][Column.CLOCK] > 0.01


def test_one_straggler_in_a_workload() -> None:
    simulated = fleet(Workload("a", "t", Truth(0.27, Fault.STRAGGLER), pods=2))
    busy = np.mean([simulated.sample(1000.0 + second).values[:16, Column.SM] for second in range(14)], axis=0)

    assert busy.argmin() == 0
    assert busy[0] < 0.85 * np.median(busy)


def test_energy_follows_power() -> None:
    simulated = fleet(Workload("a", "t", HEALTHY))
    simulated.sample(0.0)
    joules = [simulated.sample(float(second)).energy_joules[0] for second in range(1, 11)]

    assert np.all(np.diff(joules) > 0)
    assert 500 < joules[-1] / 10 < 720


def test_a_throttled_workload_counts_thermal_seconds() -> None:
    simulated = fleet(Workload("a", "t", Truth(0.25, Fault.THROTTLED_CLOCK, 0.7)))
    simulated.sample(0.0)
    sample = simulated.sample(10.0)

    assert sample.thermal_seconds[0] == 10
    assert sample.thermal_seconds[15] == 0


def test_serving_and_training_fill_memory() -> None:
    simulated = fleet(
        Workload("a", "t", HEALTHY),
        Workload("a", "s", Truth(0.2, mode=TruthMode.SERVING, model="llama-3.1-8b"), gpus=4),
    )

    assert simulated.memory_share[0] < simulated.memory_share[8]
    assert simulated.memory_share[15] < 0.01
