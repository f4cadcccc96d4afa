"""Nodes without feature discovery: GKE's and Karpenter's own labels."""

from __future__ import annotations

import pytest

from mfu.hardware.clouds import cloud_device, cloud_name, product_key
from mfu.hardware.slices import Slices, slices_of

GKE, PARTITION = "cloud.google.com/gke-accelerator", "cloud.google.com/gke-gpu-partition-size"
KARPENTER, MEMORY = "karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory"

A100 = "A100-SXM4-80GB"
TYPE = "node.kubernetes.io/instance-type"


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        ({GKE: "nvidia-tesla-t4"}, "T4"),
        ({GKE: "nvidia-tesla-a100"}, "A100-SXM4-40GB"),
        ({GKE: "nvidia-tesla-a100", PARTITION: "1g.5gb"}, "A100-SXM4-40GB-MIG-1g.5gb"),
        ({GKE: "nvidia-h100-mega-80gb"}, "H100-SXM5"),
        ({GKE: "nvidia-gb200"}, "GB200"),
        ({KARPENTER: "h100", MEMORY: "81920"}, "H100-SXM5"),
        ({KARPENTER: "a100", MEMORY: "40960"}, "A100-SXM4-40GB"),
        ({KARPENTER: "v100", MEMORY: "32768"}, "V100-SXM2-32GB"),
        ({"eks.amazonaws.com/instance-gpu-name": "t4"}, "T4"),
        ({"eks.amazonaws.com/instance-gpu-name": "a100", "eks.amazonaws.com/instance-gpu-memory": "81920"}, A100),
        ({"gpu.nvidia.com/class": "A100_NVLINK_80GB"}, A100),
        ({"gpu.nvidia.com/class": "H100", "gpu.nvidia.com/model": "H100_NVLINK_80GB"}, "H100-SXM5"),
        ({TYPE: "p5.48xlarge"}, "H100-SXM5"),
        ({TYPE: "g5.xlarge"}, "A10G"),
        ({TYPE: "p6-b200.48xlarge"}, "B200"),
        ({TYPE: "Standard_ND96isr_H100_v5"}, "H100-SXM5"),
        ({TYPE: "Standard_NC24ads_A100_v4"}, "A100-PCIe-80GB"),
        ({TYPE: "BM.GPU.H100.8"}, "H100-SXM5"),
        ({"beta.kubernetes.io/instance-type": "BM.GPU.MI300X.8"}, "MI300X"),
    ],
)
def test_known_words(labels: dict[str, str], label: str) -> None:
    device = cloud_device(labels)
    assert device is not None
    assert device.label == label


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {GKE: "nvidia-next-gpu"},
        {GKE: "nvidia-tesla-a100", PARTITION: "9g.90gb"},
        {KARPENTER: "a100"},
        {TYPE: "m7i.large"},
        {TYPE: "g6"},
        # A part of an A10.
        {TYPE: "Standard_NV6ads_A10_v5"},
        # What the cloud says of the GPU stands before what it says of the machine.
        {KARPENTER: "next", TYPE: "p5.48xlarge"},
    ],
)
def test_what_is_not_known_stays_unknown(labels: dict[str, str]) -> None:
    assert cloud_device(labels) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.product"),
        ("nvidia-l4", GKE),
        ("h100", KARPENTER),
        ("BM.GPU.H100.8", TYPE),
        ("AMD_Instinct_MI300X_OAM", None),
        ("a product of tomorrow", "nvidia.com/gpu.product"),
    ],
)
def test_the_label_that_says_a_product(name: str, key: str | None) -> None:
    assert product_key(name) == key


def test_the_word_itself_is_kept_for_people() -> None:
    assert cloud_name({GKE: "nvidia-next-gpu"}) == "nvidia-next-gpu"
    assert cloud_name({}) is None


def test_gke_shares_in_time() -> None:
    labels = {"cloud.google.com/gke-max-shared-clients-per-gpu": "48"}
    assert slices_of("nvidia.com/gpu", 96, labels) == Slices(2, 48)
