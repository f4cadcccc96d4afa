"""Parts of GPUs: the examples of each sharing system's own documentation, and that no words give more than is there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.hardware.portions import Portion, portion_of, reserves
from mfu.hardware.registered import Registered, registered

GIB = 2.0**30
MIB = 2.0**20
HAMI = "https://github.com/Project-HAMi/HAMi/blob/master/examples/nvidia/"


def asking(*limits: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    containers = [{"resources": {"limits": each}} for each in limits]
    return portion_of({"annotations": annotations or {}}, {"containers": containers, **spec})


@pytest.mark.parametrize(
    ("limits", "devices", "portion"),
    [
        # HAMi: examples/nvidia/use_sharing_card.yaml, use_memory_fraction.yaml, use_exclusive_card.yaml, example.yaml
        (
            {"nvidia.com/gpu": 1, "nvidia.com/gpumem-percentage": 40, "nvidia.com/gpucores": 60},
            1,
            Portion("HAMi", 0.6),
        ),
        (
            {"nvidia.com/gpu": 2, "nvidia.com/gpumem-percentage": 50, "nvidia.com/gpucores": 30},
            2,
            Portion("HAMi", 0.5),
        ),
        (
            {"nvidia.com/gpu": 2, "nvidia.com/gpumem-percentage": 100, "nvidia.com/gpucores": 100},
            2,
            Portion("HAMi", 1.0),
        ),
        ({"nvidia.com/gpu": "1", "nvidia.com/gpumem": "3000"}, 1, Portion("HAMi", None, 3000 * MIB)),
        ({"nvidia.com/gpumem": "3k"}, 1, Portion("HAMi", None, 3000 * MIB)),
        # Volcano: docs/user-guide/how_to_use_volcano_vgpu.md
        (
            {"volcano.sh/vgpu-number": 2, "volcano.sh/vgpu-memory": 3000, "volcano.sh/vgpu-cores": 50},
            2,
            Portion("Volcano vGPU", 0.5, 3000 * MIB),
        ),
        ({"volcano.sh/vgpu-number": 1}, 1, Portion("Volcano vGPU")),
        ({"aliyun.com/gpu-mem": 3}, 1, Portion("Alibaba gpushare", None, 3 * GIB)),
        (
            {"tencent.com/vcuda-core": 50, "tencent.com/vcuda-memory": 30},
            1,
            Portion("Tencent GPU manager", 0.5, 30 * 256 * MIB),
        ),
        ({"tke.cloud.tencent.com/qgpu-core": 200}, 2, Portion("Tencent qGPU", 1.0)),
        ({"koordinator.sh/gpu-core": 50, "koordinator.sh/gpu-memory-ratio": 75}, 1, Portion("Koordinator", 0.75)),
        (
            {"koordinator.sh/gpu-core": 20, "koordinator.sh/gpu-memory": "8Gi"},
            1,
            Portion("Koordinator", 0.2, 8 * GIB),
        ),
        ({"k8s.amazonaws.com/vgpu": 5}, 1, Portion("Amazon virtual GPU", 0.5)),
    ],
)
def test_parts_by_resources(limits: dict[str, Any], devices: int, portion: Portion) -> None:
    found = asking(limits)
    assert found is not None
    assert found[0] == devices
    assert found[1].system == portion.system
    assert found[1].fraction == pytest.approx(portion.fraction)
    assert found[1].memory_bytes == pytest.approx(portion.memory_bytes)


@pytest.mark.parametrize(
    ("annotations", "spec", "devices", "portion"),
    [
        ({"gpu-fraction": "0.5"}, {"schedulerName": "kai-scheduler"}, 1, Portion("KAI Scheduler", 0.5)),
        ({"gpu-memory": "2000"}, {"schedulerName": "kai-scheduler"}, 1, Portion("KAI Scheduler", None, 2000 * MIB)),
        (
            {"gpu-fraction": "0.25", "gpu-fraction-num-devices": "2"},
            {"schedulerName": "runai-scheduler"},
            2,
            Portion("Run:ai", 0.25),
        ),
    ],
)
def test_parts_by_annotations(
    annotations: dict[str, str], spec: dict[str, Any], devices: int, portion: Portion
) -> None:
    assert asking({}, annotations=annotations, **spec) == (devices, portion)


def test_what_the_scheduler_gave_stands_before_what_was_asked() -> None:
    """HAMi's docs/develop/protocol.md, two containers of a device each; a pod that asked for no part got all of it."""
    given_ = "GPU-0fc3,NVIDIA,3000,0:;GPU-0fc3,NVIDIA,5000,0:;"
    asked = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 3000}
    found = asking(asked, {**asked, "nvidia.com/gpumem": 5000}, annotations={"hami.io/vgpu-devices-allocated": given_})
    assert found == (2, Portion("HAMi", None, 4000 * MIB))
    whole = asking(
        {"nvidia.com/gpu": 1}, annotations={"hami.io/vgpu-devices-allocated": "GPU-00552014,NVIDIA,32768,0:;"}
    )
    assert whole == (1, Portion("HAMi", None, 32768 * MIB))


@pytest.mark.parametrize(
    ("limits", "annotations"),
    [
        ({"nvidia.com/gpu": 8}, {}),
        ({"cpu": 4}, {}),
        # Both schedulers refuse a fraction beside a whole GPU; so whoever writes it has the whole one.
        ({"nvidia.com/gpu": 1}, {"gpu-fraction": "0.01"}),
        ({}, {"gpu-fraction": "none"}),
        ({}, {"gpu-memory": "-5"}),
        ({"nvidia.com/gpu": 1}, {"hami.io/vgpu-devices-allocated": "GPU-1,NVIDIA,many"}),
    ],
)
def test_no_part_is_told(limits: dict[str, Any], annotations: dict[str, str]) -> None:
    assert asking(limits, annotations=annotations) is None


def test_the_larger_part_is_the_share() -> None:
    assert Portion("HAMi", 0.3, 40e9).share(80e9) == 0.5
    assert Portion("HAMi", 0.3, 40e9).share(None) == 0.3
    assert Portion("HAMi", None, 40e9).share(None) is None
    assert Portion("HAMi", None, 90e9).share(80e9) == 1.0


@given(
    limits=st.dictionaries(
        st.sampled_from(
            (
                "nvidia.com/gpu",
                "nvidia.com/gpumem",
                "nvidia.com/gpucores",
                "volcano.sh/vgpu-number",
                "tencent.com/vcuda-core",
                "koordinator.sh/gpu-memory",
                "aliyun.com/gpu-mem",
            )
        ),
        st.one_of(st.integers(-5, 10**12), st.sampled_from(("1e30", "nan", "9Ei", "", "x"))),
    ),
    annotations=st.dictionaries(
        st.sampled_from(("gpu-fraction", "gpu-memory", "gpu-fraction-num-devices", "hami.io/vgpu-devices-allocated")),
        st.text("0123456789.,:;eGPU-", max_size=24),
    ),
    memory=st.one_of(st.none(), st.floats(1e9, 1e12)),
)
def test_no_words_give_more_than_a_device_or_less_than_nothing(
    limits: dict[str, Any], annotations: dict[str, str], memory: float | None
) -> None:
    found = asking(limits, annotations=annotations)
    if found is None:
        return
    devices, portion = found
    share = portion.share(memory)
    assert 0 <= devices <= 4096
    assert share is None or 0 <= share <= 1


RESERVATION = {
    "name": "gpu-reservation-gpu-node-0-x7k2p",
    "namespace": "kai-resource-reservation",
    "labels": {"app": "kai-resource-reservation", "runai-gpu-group": "b3f2"},
}


def test_only_the_scheduler_s_own_namespace_reserves() -> None:
    assert reserves(RESERVATION)
    assert reserves({**RESERVATION, "namespace": "runai-reservation"})
    assert not reserves({**RESERVATION, "namespace": "team-a"})
    assert not reserves({**RESERVATION, "labels": {}})


V100 = (
    "GPU-0055,10,32768,100,NVIDIA-Tesla V100-PCIE-32GB,0,true:GPU-0fc3,10,32768,100,NVIDIA-Tesla V100-PCIE-32GB,0,true:"
)
JSON_OF_ONE = [
    {"id": "GPU-1", "count": 10, "devmem": 81559, "devcore": 100, "type": "NVIDIA-NVIDIA H100", "health": True}
]


@pytest.mark.parametrize(
    ("annotations", "allocatable", "expected"),
    [
        ({"hami.io/node-nvidia-register": V100}, {}, Registered("HAMi", 2, 10, "Tesla V100-PCIE-32GB")),
        ({"hami.io/node-nvidia-register": json.dumps(JSON_OF_ONE)}, {}, Registered("HAMi", 1, 10, "NVIDIA H100")),
        ({"volcano.sh/node-vgpu-register": V100}, {}, Registered("Volcano vGPU", 2, 10, "Tesla V100-PCIE-32GB")),
        ({}, {"tencent.com/vcuda-core": "800", "nvidia.com/gpu": "0"}, Registered("Tencent GPU manager", 8)),
        ({}, {"aliyun.com/gpu-mem": "60", "nvidia.com/gpu": "4"}, Registered("Alibaba gpushare", 4)),
        ({}, {"nvidia.com/gpu": "8"}, None),
        ({"hami.io/node-nvidia-register": "[{"}, {"nvidia.com/gpu": "8"}, None),
        ({"hami.io/node-nvidia-register": "a,b:c"}, {}, None),
    ],
)
def test_what_a_node_registers(
    annotations: dict[str, str], allocatable: dict[str, str], expected: Registered | None
) -> None:
    assert registered(annotations, allocatable) == expected
