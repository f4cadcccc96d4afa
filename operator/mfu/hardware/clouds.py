"""What node labels say that the GPUs are: feature discovery's, else a cloud's own words for them.

GKE: cloud.google.com/kubernetes-engine/docs/how-to/gpus (accelerator names, partition sizes, time sharing).
Karpenter: karpenter.sh/docs/reference/instance-types (GPU name and memory in MiB); EKS Auto Mode writes the same under
its own name (docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html). CoreWeave: sky/provision/kubernetes and
its tests in github.com/skypilot-org/skypilot, docs.coreweave.com (A100_PCIE_80GB). Others by the machine's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mfu.hardware.catalog import load
from mfu.hardware.instances import INSTANCE_LABELS, instance_gpu, instance_of
from mfu.hardware.labels import AMD_PARTITION_LABELS, AMD_PARTS, PRODUCT_LABEL
from mfu.hardware.types import Device

GKE_PRODUCT: Final = "cloud.google.com/gke-accelerator"
GKE_PARTITION: Final = "cloud.google.com/gke-gpu-partition-size"
KARPENTER_PRODUCT: Final = "karpenter.k8s.aws/instance-gpu-name"
KARPENTER_MEMORY: Final = "karpenter.k8s.aws/instance-gpu-memory"
EKS_PRODUCT: Final = "eks.amazonaws.com/instance-gpu-name"
EKS_MEMORY: Final = "eks.amazonaws.com/instance-gpu-memory"
COREWEAVE_PRODUCTS: Final = ("gpu.nvidia.com/model", "gpu.nvidia.com/class")
"""The model tells more than the class, which may be no more than "H100"."""

_GKE: Final = {
    "nvidia-tesla-t4": "t4",
    "nvidia-tesla-v100": "v100-sxm2-16gb",
    "nvidia-tesla-p100": "p100-pcie-16gb",
    "nvidia-l4": "l4",
    "nvidia-tesla-a100": "a100-sxm4-40gb",
    "nvidia-a100-80gb": "a100-sxm4-80gb",
    "nvidia-h100-80gb": "h100-sxm5-80gb",
    "nvidia-h100-mega-80gb": "h100-sxm5-80gb",
    "nvidia-h200-141gb": "h200-sxm-141gb",
    "nvidia-b200": "b200-sxm",
    "nvidia-gb200": "gb200",
    "nvidia-gb300": "gb300",
    "nvidia-rtx-pro-6000": "rtx-pro-6000-bw-server",
}
_KARPENTER: Final = {
    ("t4", ""): "t4",
    ("a10g", ""): "a10g",
    ("l4", ""): "l4",
    ("l40s", ""): "l40s",
    ("v100", "16384"): "v100-sxm2-16gb",
    ("v100", "32768"): "v100-sxm2-32gb",
    ("a100", "40960"): "a100-sxm4-40gb",
    ("a100", "81920"): "a100-sxm4-80gb",
    ("h100", ""): "h100-sxm5-80gb",
    ("h200", ""): "h200-sxm-141gb",
    ("b200", ""): "b200-sxm",
    ("b300", ""): "b300-sxm",
    ("gb200", ""): "gb200",
    ("rtx-pro-server-6000", ""): "rtx-pro-6000-bw-server",
}
"""By name and memory in MiB; "" where the name alone is of one product."""
_COREWEAVE: Final = {
    "A100_NVLINK_80GB": "a100-sxm4-80gb",
    "A100_PCIE_80GB": "a100-pcie-80gb",
    "H100_NVLINK_80GB": "h100-sxm5-80gb",
    "H200": "h200-sxm-141gb",
}


def cloud_name(labels: Mapping[str, str]) -> str | None:
    """The cloud's word for the product, else for the machine; None where no label of theirs is there."""
    names = (GKE_PRODUCT, KARPENTER_PRODUCT, EKS_PRODUCT, *COREWEAVE_PRODUCTS)
    return next((labels[name] for name in names if labels.get(name)), None) or instance_of(labels)


def cloud_device(labels: Mapping[str, str]) -> Device | None:
    """The device that one unit of `nvidia.com/gpu` is there; None where the labels name none that is known.

    `cloud_device({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}).label == "A100-SXM4-40GB"`, and with
    `gke-gpu-partition-size: 1g.5gb` beside it "A100-SXM4-40GB-MIG-1g.5gb".
    """
    key = _key(labels)
    if key is None:
        return None
    gpu, size = load().gpus[key], labels.get(GKE_PARTITION)
    if not size:
        return Device(gpu, None)
    profile = load().mig_profile(key, size)
    return None if profile is None else Device(gpu, profile)


def product_key(name: str) -> str | None:
    """The node label that says so: `product_key("p5.48xlarge") == "node.kubernetes.io/instance-type"`.

    None where the name alone does not tell which label: AMD's nodes say theirs under one of three.
    """
    if name in _GKE:
        return GKE_PRODUCT
    if any(name == known for known, _ in _KARPENTER):
        return KARPENTER_PRODUCT
    if name in _COREWEAVE:
        return COREWEAVE_PRODUCTS[0]
    if instance_gpu(name) is not None:
        return INSTANCE_LABELS[0]
    found = load().resolve(name)
    return None if isinstance(found, Device) and found.gpu.vendor != "NVIDIA" else PRODUCT_LABEL


def labelled_device(named: str | None, labels: Mapping[str, str]) -> Device | None:
    """What one whole GPU of a node is. `named`: feature discovery's label, or the cloud's word; None where unknown.

    AMD's compute partitions are None: what one part of such a GPU can do is not known here.
    """
    if parts_of(labels) != 1:
        return None
    found = load().resolve(named) if named else None
    return found if isinstance(found, Device) else cloud_device(labels) if named in (None, cloud_name(labels)) else None


def partition_of(labels: Mapping[str, str]) -> str:
    """Such as `cpx_nps4`; `spx` where the GPUs are whole or no label tells."""
    return next((labels[name] for name in AMD_PARTITION_LABELS if name in labels), "spx")


def parts_of(labels: Mapping[str, str]) -> int:
    """Devices that the system sees of each GPU."""
    return AMD_PARTS.get(partition_of(labels).partition("_")[0].lower(), 1)


def _key(labels: Mapping[str, str]) -> str | None:
    if GKE_PRODUCT in labels:
        return _GKE.get(labels[GKE_PRODUCT])
    for product, size in ((KARPENTER_PRODUCT, KARPENTER_MEMORY), (EKS_PRODUCT, EKS_MEMORY)):
        if labels.get(product):
            return _KARPENTER.get((labels[product], labels.get(size, ""))) or _KARPENTER.get((labels[product], ""))
    named = next((labels[name] for name in COREWEAVE_PRODUCTS if labels.get(name)), "")
    found = load().resolve(named) if named else None
    known = _COREWEAVE.get(named) or (found.gpu.key if isinstance(found, Device) else None)
    return known or instance_gpu(instance_of(labels) or "")
