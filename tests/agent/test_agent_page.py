"""The agent's page is what the operator's own adapter reads, and what any Prometheus can parse."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mfu.agent import server
from mfu.agent.attribution import Attribution, HoldingContainer
from mfu.agent.exposition import DeviceLine, escaped, label_sets, number, render
from mfu.agent.inventory import AgentGPU, Instance
from mfu.agent.node import Node
from mfu.agent.runtime import NodeAgent
from mfu.agent.window import SampleWindow
from mfu.agent.wire import ContainerDevice
from mfu.observe.metric import Metric
from mfu.observe.readings import GPUKey, SourceState
from mfu.telemetry.agent.adapter import read_once
from mfu.telemetry.agent.names import SERIES
from tests.agent.conftest import FakeNVML
from tests.builders.program import running

BOARD = AgentGPU(index=0, uuid="GPU-0", name="NVIDIA H100 80GB HBM3", product="H100-SXM5")
SLICED = AgentGPU(index=1, uuid="GPU-1", name="NVIDIA H100 80GB HBM3", product="H100-SXM5", mig_mode=True)
SLICE = Instance("MIG-0", 9, 0, "1g.10gb")


def test_every_metric_comes_back_from_the_operators_adapter() -> None:
    values = dict.fromkeys(SERIES, 4.0)
    ratios = {metric: 0.01 * (1 + int(metric)) for metric, name in SERIES.items() if name.endswith("_ratio")}
    page = render("node-1", [DeviceLine(BOARD, None, 100.0, values | ratios)], {})
    found = read_once(page, 105.0, node="node-1")
    assert found.state is SourceState.OK
    assert found.observed_at.tolist() == [100.0]
    for metric in SERIES:
        assert found.values[0][metric] == pytest.approx((values | ratios)[metric])


def test_unknown_numbers_are_left_out_and_read_as_unknown() -> None:
    found = read_once(render("node-1", [DeviceLine(BOARD, None, 100.0, {Metric.POWER: 300.0})], {}), 100.0)
    assert found.values[0][Metric.POWER] == 300.0
    assert found.values[0][Metric.TENSOR_ACTIVE] != found.values[0][Metric.TENSOR_ACTIVE]


def test_slices_inherit_from_the_frame_around_them() -> None:
    lines = [
        DeviceLine(SLICED, None, 100.0, {Metric.SM_CLOCK: 1.5e9, Metric.POWER: 400.0}),
        DeviceLine(SLICED, SLICE, 100.0, {Metric.TENSOR_ACTIVE: 0.6}, (HoldingContainer("team", "pod", "main"),)),
    ]
    found = read_once(render("node-1", lines, {}), 100.0)
    device = found.devices[0]
    assert (len(found.devices), device.key, device.mig_profile, device.pod) == (1, GPUKey("GPU-1", 9), "1g.10gb", "pod")
    assert found.values[0][Metric.SM_CLOCK] == 1.5e9
    assert found.values[0][Metric.TENSOR_ACTIVE] == pytest.approx(0.6)


def test_a_shared_device_is_printed_once_a_pod_and_marked() -> None:
    line = DeviceLine(
        BOARD,
        None,
        100.0,
        {Metric.POWER: 1.0},
        (HoldingContainer("team", "a", "main"), HoldingContainer("team", "b", "main")),
    )
    found = read_once(render("node-1", [line], {}), 100.0)
    assert [(device.pod, device.shared) for device in found.devices] == [("a", True), ("b", True)]
    assert all('shared="true"' in labels for labels in label_sets("node-1", line))


def test_two_containers_of_one_pod_share_nothing_with_others() -> None:
    line = DeviceLine(
        BOARD, None, 100.0, {}, (HoldingContainer("team", "a", "one"), HoldingContainer("team", "a", "two"))
    )
    assert not any("shared" in labels for labels in label_sets("node-1", line))


def test_any_prometheus_can_parse_it() -> None:
    values = dict.fromkeys(SERIES, 1.0)
    page = render('no"de\\1', [DeviceLine(BOARD, None, 1e9, values, healthy=True)], {"mfu_agent_nvml_up": 1.0}).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families["mfu_gpu_sm_clock_hertz"].samples[0].labels["node"] == 'no"de\\1'
    assert families["mfu_gpu_energy_joules"].type == "counter"
    assert families["mfu_agent_nvml_up"].samples[0].value == 1.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.12345678901, "0.123456789"),
        (1755000000.0, "1755000000"),
        (1795331202.839126, "1795331202.839126"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_label_escapes() -> None:
    assert escaped('a"b\\c\n') == 'a\\"b\\\\c\\n'


def test_gauges_are_means_over_the_window_and_masks_are_not() -> None:
    window = SampleWindow(3.0)
    for second, tensor in enumerate((0.9, 0.2, 0.4, 0.6)):
        window.add(float(second), {Metric.TENSOR_ACTIVE: tensor, Metric.CLOCK_EVENTS: float(second)})
    assert window.mean() == pytest.approx({Metric.TENSOR_ACTIVE: 0.4, Metric.CLOCK_EVENTS: 3.0})


def test_a_metric_unknown_at_times_is_averaged_over_the_rest() -> None:
    window = SampleWindow(10.0)
    window.add(0.0, {Metric.POWER: 100.0})
    window.add(1.0, {Metric.POWER: 200.0, Metric.TENSOR_ACTIVE: 0.5})
    assert window.mean() == pytest.approx({Metric.POWER: 150.0, Metric.TENSOR_ACTIVE: 0.5})


def test_agent_page_names_pods_of_the_kubelet(nvml: FakeNVML) -> None:
    nvml.reset(1)
    held = [ContainerDevice("team", "pod", "main", "nvidia.com/gpu", "GPU-00000000-0000-0000-0000-000000000000")]
    agent = NodeAgent(Node(), "node-1", attribution=Attribution(lambda: held), clock=lambda: 50.0)
    agent.step()
    agent.errands()
    page = agent.page()
    device = read_once(page, 50.0).devices[0]
    assert (device.namespace, device.pod, device.container, device.node) == ("team", "pod", "main", "node-1")
    assert b'mfu_agent_pod_resources_up{node="node-1"} 1' in page
    agent.node.close()


def test_server_answers_and_refuses() -> None:
    with server.serve(
        "127.0.0.1", 0, metrics=lambda: b"x 1\n", healthy=lambda: None, ready=lambda: "no driver"
    ) as port:
        assert fetch(port, "/metrics?a=b") == (200, b"x 1\n")
        assert fetch(port, "/healthz") == (200, b"ok\n")
        assert fetch(port, "/readyz") == (503, b"no driver\n")
        assert fetch(port, "/") == (404, b"not found\n")


def loopback6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return socket.has_dualstack_ipv6()


@pytest.mark.skipif(not loopback6(), reason="no IPv6 here")
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_without_a_host_both_address_families_are_served(address: str) -> None:
    with server.serve("", 0, metrics=lambda: b"x 1\n", healthy=lambda: None, ready=lambda: None) as port:
        assert fetch(port, "/healthz", address) == (200, b"ok\n")


def fetch(port: int, path: str, address: str = "127.0.0.1") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.slow
def test_the_command_serves_a_library_of_the_usual_name_and_ends_at_sigterm(fake_library: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "mfu", "agent", "--no-gpunode", "--pod-resources", "", "--node", "n"]
    environment = os.environ | {"LD_LIBRARY_PATH": str(fake_library.parent), "FAKE_NVML_GPUS": "2"}
    with running([*command, "--port", str(port)], env=environment | {"PYTHONPATH": "operator"}) as process:
        deadline = time.monotonic() + 90
        page = b""
        while page.count(b"tensor_active_ratio{") < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                page = fetch(port, "/metrics")[1]
            except OSError:
                continue
        assert page.count(b"tensor_active_ratio{") == 2
        assert fetch(port, "/readyz")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_round_that_breaks_off_is_counted_and_the_next_one_comes(nvml: FakeNVML) -> None:
    rounds = iter([False, False, True])

    class Stop:
        def wait(self, seconds: float) -> bool:
            return next(rounds)

    def broken() -> list[ContainerDevice]:
        raise KeyError("metadata")

    agent = NodeAgent(Node(), "node-1", attribution=Attribution(broken), stop=Stop())  # type: ignore[arg-type]
    agent.clock = iter([0.0, 100.0, 200.0]).__next__
    agent._run_errands()
    assert agent.failures == 2
    assert b'mfu_agent_failures_total{node="node-1"} 2' in agent.page()


def test_compute_instances_of_one_gpu_instance_are_one_device() -> None:
    instance = Instance("MIG-0", 2, 0, "1c.3g.40gb")
    labels = label_sets("node-1", DeviceLine(SLICED, instance, 0.0, {}))
    assert 'mig_profile="3g.40gb"' in labels[0]
