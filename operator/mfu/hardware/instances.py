"""GPUs of clouds' machine types, for nodes on which nothing discovers features: the well-known label names the type.

Amazon: aws.amazon.com/ec2/instance-types (accelerated computing). Azure: learn.microsoft.com/azure/virtual-machines
(sizes, GPU accelerated). Oracle: docs.oracle.com/iaas/Content/Compute/References/computeshapes.htm (GPU shapes).
Google: cloud.google.com/compute/docs/gpus. Types that hold a part of a GPU are left out. The names of Amazon, Azure
and Oracle were looked up in what their provisioners keep: website/content/en/docs/reference/instance-types.md and
pkg/providers/instancetype of github.com/aws/karpenter-provider-aws (1d927085), pkg/utils/supported-gpus.yaml,
known_skus.yaml and designs/0002 of github.com/Azure/karpenter-provider-azure (352646f5), the node pools of
github.com/oracle-quickstart/oci-hpc-oke.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

INSTANCE_LABELS: Final = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_FAMILIES: Final[Mapping[str, str]] = {
    "p3": "v100-sxm2-16gb",
    "p3dn": "v100-sxm2-32gb",
    "p4d": "a100-sxm4-40gb",
    "p4de": "a100-sxm4-80gb",
    "p5": "h100-sxm5-80gb",
    "p5e": "h200-sxm-141gb",
    "p5en": "h200-sxm-141gb",
    "p6-b200": "b200-sxm",
    "p6-b300": "b300-sxm",
    "p6e-gb200": "gb200",
    "g4dn": "t4",
    "g5": "a10g",
    "g6": "l4",
    "gr6": "l4",
    "g6e": "l40s",
    "g7e": "rtx-pro-6000-bw-server",
}
"""Amazon's: what stands before the point."""
_TYPES: Final[Mapping[str, str]] = {
    "a2-highgpu-1g": "a100-sxm4-40gb",
    "a2-highgpu-2g": "a100-sxm4-40gb",
    "a2-highgpu-4g": "a100-sxm4-40gb",
    "a2-highgpu-8g": "a100-sxm4-40gb",
    "a2-megagpu-16g": "a100-sxm4-40gb",
    "a2-ultragpu-1g": "a100-sxm4-80gb",
    "a2-ultragpu-2g": "a100-sxm4-80gb",
    "a2-ultragpu-4g": "a100-sxm4-80gb",
    "a2-ultragpu-8g": "a100-sxm4-80gb",
    "a3-highgpu-1g": "h100-sxm5-80gb",
    "a3-highgpu-2g": "h100-sxm5-80gb",
    "a3-highgpu-4g": "h100-sxm5-80gb",
    "a3-highgpu-8g": "h100-sxm5-80gb",
    "a3-megagpu-8g": "h100-sxm5-80gb",
    "a3-ultragpu-8g": "h200-sxm-141gb",
    "a4-highgpu-8g": "b200-sxm",
    "standard_nd40rs_v2": "v100-sxm2-32gb",
    "standard_nd96asr_v4": "a100-sxm4-40gb",
    "standard_nd96ams_a100_v4": "a100-sxm4-80gb",
    "standard_nd96amsr_a100_v4": "a100-sxm4-80gb",
    "standard_nd96is_h100_v5": "h100-sxm5-80gb",
    "standard_nd96isr_h100_v5": "h100-sxm5-80gb",
    "standard_nd96is_h200_v5": "h200-sxm-141gb",
    "standard_nd96isr_h200_v5": "h200-sxm-141gb",
    "standard_nd96is_mi300x_v5": "mi300x",
    "standard_nd96isr_mi300x_v5": "mi300x",
    "standard_nc24ads_a100_v4": "a100-pcie-80gb",
    "standard_nc48ads_a100_v4": "a100-pcie-80gb",
    "standard_nc96ads_a100_v4": "a100-pcie-80gb",
    "standard_nc40ads_h100_v5": "h100-nvl-94gb",
    "standard_nc80adis_h100_v5": "h100-nvl-94gb",
    "standard_nc4as_t4_v3": "t4",
    "standard_nc8as_t4_v3": "t4",
    "standard_nc16as_t4_v3": "t4",
    "standard_nc64as_t4_v3": "t4",
    "bm.gpu4.8": "a100-sxm4-40gb",
    "bm.gpu.a100-v2.8": "a100-sxm4-80gb",
    "bm.gpu.h100.8": "h100-sxm5-80gb",
    "bm.gpu.h200.8": "h200-sxm-141gb",
    "bm.gpu.b200.8": "b200-sxm",
    "bm.gpu.l40s.4": "l40s",
    "bm.gpu.l40s-nc.4": "l40s",
    "bm.gpu.mi300x.8": "mi300x",
    "bm.gpu.a10.4": "a10",
    "vm.gpu.a10.1": "a10",
    "vm.gpu.a10.2": "a10",
}


def instance_gpu(name: str) -> str | None:
    """Catalog key: `instance_gpu("p5.48xlarge") == "h100-sxm5-80gb"`; None for a type that is not known."""
    lowered = name.lower()
    family, point, _ = lowered.partition(".")
    return _TYPES.get(lowered) or (_FAMILIES.get(family) if point else None)


def instance_of(labels: Mapping[str, str]) -> str | None:
    """The machine type of a node whose GPUs are known by it; None for others."""
    name = next((labels[each] for each in INSTANCE_LABELS if each in labels), "")
    return name if instance_gpu(name) is not None else None
