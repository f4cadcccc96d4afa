"""What happens to a node's driver, GPUs, slices and kubelet, and how the agent comes through it."""

from __future__ import annotations

from collections.abc import Iterator

import pynvml
import pytest

from mfu.agent.energy import ENERGY_SECONDS
from mfu.agent.gpunode import status
from mfu.agent.health import Health
from mfu.agent.node import RESCAN_SECONDS, RETRY_SECONDS, Node
from mfu.observe.metric import Metric
from tests.agent.conftest import FakeNVML

UUIDS = [f"GPU-{i:08d}-0000-0000-0000-000000000000" for i in range(4)]


@pytest.fixture
def node(nvml: FakeNVML) -> Iterator[Node]:
    node = Node(window_seconds=1.0, agent_version="1")
    yield node
    node.close()
    assert nvml.samples == 0


def observed(node: Node, now: float) -> dict[str, float]:
    return {line.gpu.uuid: line.observed_at for line in node.lines({}, now) if line.instance is None}


def tensor(node: Node, now: float) -> dict[tuple[str, int | None], float | None]:
    return {
        (line.gpu.uuid, None if line.instance is None else line.instance.gpu_instance): line.values.get(
            Metric.TENSOR_ACTIVE
        )
        for line in node.lines({}, now)
    }


def test_a_driver_reset_stops_readings_and_a_driver_that_is_back_starts_them(node: Node, nvml: FakeNVML) -> None:
    node.step(0.0)
    node.step(1.0)
    nvml.driver(False)
    node.step(2.0)
    assert node.problem is not None
    assert status(node.found(2.0))["conditions"][0]["reason"] == "DriverUnavailable"
    assert status(node.found(2.0))["health"] == "Unknown"
    assert observed(node, 3.0) == dict.fromkeys(UUIDS, 1.0)
    assert {line.healthy for line in node.lines({}, 3.0)} == {None}
    nvml.driver(True)
    node.step(2.0 + 2 * RETRY_SECONDS)
    assert node.problem is None
    assert observed(node, 13.0) == dict.fromkeys(UUIDS, 12.0)


def test_a_driver_that_is_away_is_not_asked_every_second(node: Node, nvml: FakeNVML) -> None:
    nvml.driver(False)
    node.step(0.0)
    nvml.driver(True)
    node.step(RETRY_SECONDS - 1)
    assert node.problem is not None
    node.step(RETRY_SECONDS)
    assert node.problem is None


def test_errors_of_before_a_driver_reset_are_forgotten_after_it(node: Node, nvml: FakeNVML) -> None:
    node.step(0.0)
    nvml.xid(1, 48)
    node.step(1.0)
    assert node.found(1.0).verdicts[UUIDS[1]].reasons == ("XID48",)
    nvml.driver(False)
    node.step(2.0)
    nvml.driver(True)
    node.step(2.0 + RETRY_SECONDS)
    assert node.found(8.0).verdicts[UUIDS[1]].health is Health.HEALTHY


def test_a_lost_gpu_stands_still_and_the_others_go_on(node: Node, nvml: FakeNVML) -> None:
    node.step(0.0)
    nvml.lose(2)
    nvml.xid(2, 79)
    for second in range(1, 30):
        node.step(float(second))
    seen = observed(node, 30.0)
    assert seen.pop(UUIDS[2]) == 0.0
    assert set(seen.values()) == {29.0}
    found = node.found(30.0)
    assert found.verdicts[UUIDS[2]].health is Health.FAILED
    assert found.verdicts[UUIDS[2]].reasons == ("GPULost", "XID79")
    told = status(found)
    assert (told["summary"], told["health"]) == ("3/4", "Failed")
    assert [gpu["uuid"] for gpu in told["gpus"]] == UUIDS


def test_a_gpu_that_comes_back_is_read_again(node: Node, nvml: FakeNVML) -> None:
    node.step(0.0)
    nvml.lose(2)
    node.step(1.0)
    nvml.lose(2, lost=False)
    node.step(1.0 + RESCAN_SECONDS)
    node.step(2.0 + RESCAN_SECONDS)
    assert observed(node, 13.0)[UUIDS[2]] == 12.0
    assert not any(gpu.lost for gpu in node.gpus)


def test_mig_slices_made_and_destroyed_while_the_agent_runs(node: Node, nvml: FakeNVML) -> None:
    nvml.metric(0, 5, 50.0)
    node.step(0.0)
    node.step(1.0)
    assert tensor(node, 1.0)[(UUIDS[0], None)] == pytest.approx(0.5)
    nvml.slice(0, 0, 7)
    nvml.metric(0, 5, 80.0, slot=0)
    node.step(1.0 + RESCAN_SECONDS)
    node.step(2.0 + RESCAN_SECONDS)
    assert tensor(node, 13.0)[(UUIDS[0], 7)] == pytest.approx(0.8)
    nvml.unslice(0)
    nvml.slice(0, 1, 3, profile="2g.20gb", slices=2, mib=19_968)
    nvml.metric(0, 5, 30.0, slot=1)
    for second in range(3, 6):
        node.step(second + RESCAN_SECONDS)
    seen = tensor(node, 16.0)
    assert (UUIDS[0], 7) not in seen
    assert seen[(UUIDS[0], 3)] == pytest.approx(0.3)
    assert [each["profile"] for each in status(node.found(16.0))["gpus"][0]["migInstances"]] == ["2g.20gb"]


def test_mig_switched_off_gives_the_whole_gpu_again(node: Node, nvml: FakeNVML) -> None:
    nvml.slice(0, 0, 7)
    node.step(0.0)
    node.step(1.0)
    nvml.unslice(0)
    nvml.set(0, mig=0)
    nvml.metric(0, 5, 40.0)
    for second in range(2, 5):
        node.step(second + RESCAN_SECONDS)
    assert tensor(node, 15.0)[(UUIDS[0], None)] == pytest.approx(0.4)
    assert (UUIDS[0], 7) not in tensor(node, 15.0)


def test_a_node_without_a_driver_says_so_and_goes_on(nvml: FakeNVML) -> None:
    nvml.driver(False)
    node = Node()
    for second in range(20):
        node.step(float(second))
    assert node.lines({}, 20.0) == []
    assert "Driver Not Loaded" in (node.problem or "")
    told = status(node.found(20.0))
    assert (told["gpus"], told["summary"], told["health"]) == ([], "0/0", "Unknown")


def test_a_replaced_driver_needs_a_new_process(node: Node, nvml: FakeNVML, monkeypatch: pytest.MonkeyPatch) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    node.step(0.0)
    assert node.stale_library


def test_nothing_is_asked_of_a_lost_gpu(node: Node, nvml: FakeNVML) -> None:
    nvml.reset(1)
    node.step(0.0)
    nvml.lose(0)
    node.step(1.0)
    before = nvml.calls
    node.step(2.0)
    assert nvml.calls == before


def test_energy_moves_with_every_pass_and_stands_still_for_a_lost_gpu(node: Node, nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.set(0, energy=5_000, power=100_000)
    energies = []
    for second in range(4):
        node.step(float(second))
        energies.append(node.lines({}, float(second))[0].values[Metric.ENERGY])
    assert energies == [5.0, 105.0, 205.0, 305.0]
    nvml.lose(0)
    node.step(4.0)
    assert node.lines({}, 4.0)[0].values[Metric.ENERGY] == 305.0


def test_energy_is_set_right_by_the_counter_and_never_goes_back(node: Node, nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.set(0, energy=0, power=100_000)
    node.step(0.0)
    nvml.set(0, energy=7_000_000)
    node.step(ENERGY_SECONDS)
    assert node.lines({}, 60.0)[0].values[Metric.ENERGY] == 7000.0
    nvml.set(0, energy=6_000_000)
    node.step(2 * ENERGY_SECONDS)
    assert node.lines({}, 120.0)[0].values[Metric.ENERGY] == 13_000.0


def test_a_driver_that_only_says_unknown_error_is_opened_anew(
    node: Node, nvml: FakeNVML, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.step(0.0)
    with monkeypatch.context() as patched:
        patched.setattr(pynvml, "nvmlDeviceGetCount", unknown_error)
        node.step(RESCAN_SECONDS)
    assert "Unknown Error" in (node.problem or "")
    node.step(RESCAN_SECONDS + RETRY_SECONDS)
    assert node.problem is None


def unknown_error() -> int:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
