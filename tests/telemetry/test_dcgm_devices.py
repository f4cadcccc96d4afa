"""Devices and pods: exported_* labels, MIG slices, shared GPUs, old label names, rows that belong together."""

from __future__ import annotations

import math

import pytest

from mfu.observe.readings import GPUIdentity, GPUKey, Metric
from mfu.telemetry.dcgm.adapter import DCGMFleet, read_once
from mfu.telemetry.dcgm.labels import identity, owner
from tests.telemetry.expose import UUID, page

POD = {"namespace": "team-a", "pod": "llama-0", "container": "trainer"}
EXPORTER = {"namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-abcde", "container": "exporter"}


@pytest.mark.parametrize(
    ("labels", "relabelled", "want"),
    [
        pytest.param(POD, False, ("team-a", "llama-0", "trainer"), id="direct"),
        pytest.param({**POD, "container": "exporter"}, False, ("team-a", "llama-0", "exporter"), id="tenant's"),
        pytest.param({}, False, (None, None, None), id="free"),
        pytest.param({"pod": "", "namespace": "", "container": ""}, False, (None, None, None), id="free, 2.x"),
        pytest.param({"pod_name": "p", "pod_namespace": "n", "container_name": "c"}, False, ("n", "p", "c"), id="old"),
        pytest.param(EXPORTER, True, (None, None, None), id="relabelled and free: the exporter's own pod"),
        pytest.param(POD, True, ("team-a", "llama-0", "trainer"), id="honorLabels true"),
        pytest.param({"pod": "p"}, True, (None, None, None), id="a pod without a namespace is nobody's"),
    ],
)  # fmt: skip
def test_owner(labels: dict[str, str], relabelled: bool, want: tuple[str | None, ...]) -> None:
    found = owner(labels, relabelled=relabelled)
    assert (found.namespace, found.pod, found.container) == want


def test_exported_labels_come_first() -> None:
    labels = {**EXPORTER, **{f"exported_{name}": value for name, value in POD.items()}}
    assert owner(labels, relabelled=True).pod == "llama-0"


def test_the_old_namespace_flag_spells_uuid_small() -> None:
    found = identity({"uuid": UUID, "modelName": "NVIDIA A100-SXM4-40GB", "pod_name": "p", "pod_namespace": "n"})
    assert found is not None
    assert (found.key, found.pod) == (GPUKey(UUID), "p")


@pytest.mark.parametrize("labels", [{}, {"UUID": ""}, {"UUID": "<<<NULL>>>"}, {"nvswitch": "nvswitch0"}, {"cpu": "0"}])
def test_series_about_no_gpu_are_left_out(labels: dict[str, str]) -> None:
    assert identity(labels) is None


@pytest.mark.parametrize("instance", ["<<<NULL>>>", "x", "-1", "1.0", "²", "99999"])
def test_a_garbled_instance_is_no_device(instance: str) -> None:
    assert identity({"UUID": UUID, "GPU_I_ID": instance}) is None


def test_a_broken_profile_name_is_unknown() -> None:
    found = identity({"UUID": UUID, "GPU_I_ID": "3", "GPU_I_PROFILE": "<<<NULL>>>"})
    assert found is not None
    assert (found.key, found.mig_profile) == (GPUKey(UUID, 3), None)


def mig(instance: int, tensor: float, **labels: str) -> bytes:
    return page({"PROF_PIPE_TENSOR_ACTIVE": tensor}, GPU_I_ID=str(instance), GPU_I_PROFILE="1g.10gb", **labels)


def test_mig_slices_of_one_uuid_stay_apart_and_inherit_the_clock() -> None:
    text = mig(7, 0.1) + mig(9, 0.3, **POD) + page({"DEV_SM_CLOCK": 1500, "DEV_POWER_USAGE": "500.0"})
    found = read_once(text, 0.0)
    assert [device.key for device in found.devices] == [GPUKey(UUID, 7), GPUKey(UUID, 9)]
    assert found.values[:, Metric.TENSOR_ACTIVE].tolist() == [0.1, 0.3]
    assert found.values[:, Metric.SM_CLOCK].tolist() == [1.5e9, 1.5e9]
    assert math.isnan(found.values[0, Metric.POWER]), "the parent's power is not the slice's"


def test_a_time_sliced_gpu_keeps_a_row_per_pod_and_says_shared() -> None:
    text = page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **POD)
    text += page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, namespace="team-b", pod="svc-0", container="vllm")
    found = read_once(text, 0.0)
    assert [device.pod for device in found.devices] == ["llama-0", "svc-0"]
    assert all(device.shared for device in found.devices)
    assert len({device.key for device in found.devices}) == 1


def test_one_pod_is_not_shared() -> None:
    assert not read_once(page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **POD), 0.0).devices[0].shared


def test_samples_without_a_pod_join_the_row_of_the_device() -> None:
    text = page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **POD) + page({"DEV_XID_ERRORS": 31}, err_code="31")
    found = read_once(text, 0.0)
    assert [device.pod for device in found.devices] == ["llama-0"]
    assert found.values[0, Metric.XID] == 31


def test_two_containers_of_a_pod_are_one_row() -> None:
    text = page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **POD)
    found = read_once(text + page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **{**POD, "container": "sidecar"}), 0.0)
    assert len(found.devices) == 1
    assert "1 duplicate series" in found.message


def test_escapes_in_labels_are_undone() -> None:
    found = read_once(page({"DEV_GPU_TEMP": 40}, modelName=r"a \"b\" \\ c"), 0.0)
    assert found.devices[0].product_name == r'a "b" \ c'
    assert isinstance(found.devices[0], GPUIdentity)


def test_rows_of_one_target_that_disagree_about_a_device_are_unknown() -> None:
    text = page({"PROF_PIPE_TENSOR_ACTIVE": 0.4, "DEV_GPU_TEMP": 40}, **POD)
    found = read_once(text + page({"PROF_PIPE_TENSOR_ACTIVE": 0.5, "DEV_GPU_TEMP": 40}, gpu="7"), 0.0)
    assert math.isnan(found.values[0, Metric.TENSOR_ACTIVE])
    assert found.values[0, Metric.TEMPERATURE] == 40


def test_two_exporters_of_one_device_help_each_other_out() -> None:
    first = page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, **POD)
    second = page({"PROF_PIPE_TENSOR_ACTIVE": 0.5, "DEV_GPU_TEMP": 40}, **POD)
    found = DCGMFleet().round({"a": first, "b": second}, 0.0)
    assert len(found.devices) == 1
    assert found.values[0, [Metric.TENSOR_ACTIVE, Metric.TEMPERATURE]].tolist() == [0.4, 40]
