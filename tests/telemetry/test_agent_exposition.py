"""The node agent's names: one a metric, units in the name, read back as they were written."""

from __future__ import annotations

import math
import re

import pytest

from mfu.observe.readings import GPUKey, Metric, SourceState
from mfu.telemetry.agent.adapter import AgentFleet, read_once
from mfu.telemetry.agent.names import COUNTERS, GAUGES, LABELS, OBSERVED_AT, SERIES

UNITS = ("ratio", "hertz", "watts", "bytes", "bytes_per_second", "celsius", "joules_total", "mask", "xid", "generation",
         "width", "errors_total", "seconds")  # fmt: skip


def line(name: str, value: object, **labels: str) -> str:
    merged = {**dict.fromkeys(LABELS, ""), "uuid": "GPU-1", "node": "n", "product": "NVIDIA H200", **labels}
    inside = ",".join(f'{key}="{text}"' for key, text in merged.items())
    return f"{name}{{{inside}}} {value}\n"


def body(at: float, **labels: str) -> str:
    values = {
        metric: 0.25 if metric.name.endswith(("ACTIVE", "RATIO", "UTIL", "OCCUPANCY")) else 5 for metric in SERIES
    }
    return "".join(line(SERIES[metric], value, **labels) for metric, value in values.items()) + line(
        OBSERVED_AT, at, **labels
    )


def test_every_metric_has_one_name_with_its_unit() -> None:
    assert set(SERIES) == set(Metric)
    assert len(set(SERIES.values())) == len(SERIES)
    for name in SERIES.values():
        assert re.fullmatch(r"mfu_gpu_[a-z0-9_]+", name)
        assert name.endswith(UNITS), name
    assert all(name.endswith("_total") for name, _ in COUNTERS.values())
    assert not any(name.endswith("_total") for name, _ in GAUGES.values())


def test_all_metrics_are_read_back() -> None:
    found = read_once(body(90.0, namespace="n", pod="p", container="c").encode(), 100.0)
    assert (found.state, found.observed_at.tolist()) == (SourceState.OK, [90.0])
    assert not any(math.isnan(value) for value in found.values[0])
    device = found.devices[0]
    assert (device.key, device.node, device.pod, device.mig_profile) == (GPUKey("GPU-1"), "n", "p", None)


def test_slices_and_shared_devices() -> None:
    text = body(90.0, gpu_instance="3", mig_profile="1g.10gb") + body(
        90.0, uuid="GPU-2", shared="true", pod="p", namespace="n"
    )
    found = read_once(text.encode(), 100.0)
    assert [(each.key, each.mig_profile, each.shared) for each in found.devices] == [
        (GPUKey("GPU-1", 3), "1g.10gb", False), (GPUKey("GPU-2"), None, True),
    ]  # fmt: skip


def test_a_device_that_no_longer_answers_stands_still_on_a_fresh_page() -> None:
    fleet = AgentFleet()
    for now in (100.0, 115.0):
        text = body(90.0) + body(now, uuid="GPU-2")
        found = fleet.round({"n": text.replace(" 5\n", f" {now}\n").encode()}, now)
    assert found.observed_at.tolist() == [90.0, 115.0]


@pytest.mark.parametrize("labels", [{"uuid": ""}, {"gpu_instance": "x"}, {"gpu_instance": "-1"}])
def test_labels_that_name_no_device(labels: dict[str, str]) -> None:
    assert read_once(line(SERIES[Metric.POWER], 5, **labels).encode(), 0.0).state is SourceState.INVALID
