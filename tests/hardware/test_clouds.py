"""Nodes without feature discovery: GKE's and Karpenter's own labels."""

from __future__ import annotations

import pytest

from mfu.hardware.clouds import cloud_device, cloud_name
from mfu.hardware.slices import Slices, slices_of

GKE, PARTITION = "cloud.google.com/gke-accelerator", "cloud.google.com/gke-gpu-partition-size"
KARPENTER, MEMORY = "karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory"


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
        {"node.kubernetes.io/instance-type": "g5.xlarge"},
    ],
)
def test_what_is_not_known_stays_unknown(labels: dict[str, str]) -> None:
    assert cloud_device(labels) is None


def test_the_word_itself_is_kept_for_people() -> None:
    assert cloud_name({GKE: "nvidia-next-gpu"}) == "nvidia-next-gpu"
    assert cloud_name({}) is None


def test_gke_shares_in_time() -> None:
    labels = {"cloud.google.com/gke-max-shared-clients-per-gpu": "48"}
    assert slices_of("nvidia.com/gpu", 96, labels) == Slices(2, 48)
