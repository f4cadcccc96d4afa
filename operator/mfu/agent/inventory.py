"""Which GPUs and MIG slices this node has: what stays the same until somebody reconfigures it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import pynvml

from mfu.agent.nvml import GPULost, NVMLMissing, ask, need
from mfu.hardware.catalog import Catalog, load
from mfu.hardware.types import Unmatched
from mfu.units import MIB

HOPPER: Final = 9
_NODE_WORDS: Final = 16
_COMPUTE_PART: Final = re.compile(r"^\d+c\.")
_PROFILE: Final = re.compile(r"\bMIG\s+((?:\d+c\.)?\d+g\.\d+gb(?:\+\S+)?)")


@dataclass(frozen=True, slots=True)
class Instance:
    """One MIG device: a compute instance within a GPU instance."""

    uuid: str
    gpu_instance: int
    compute_instance: int
    profile: str
    placement_start: int | None = None
    handle: Any = field(default=None, compare=False, repr=False)

    @property
    def gpu_instance_profile(self) -> str:
        """Of the whole GPU instance, which is what GPM counts: `3g.40gb` for a compute instance `1c.3g.40gb` in it."""
        return _COMPUTE_PART.sub("", self.profile)


@dataclass(frozen=True, slots=True)
class AgentGPU:
    """One GPU; `product` is the catalog's API name, "" where no product matches the driver's name."""

    index: int
    uuid: str
    name: str
    product: str
    bus_id: str = ""
    memory_bytes: int | None = None
    gpm: bool = False
    mig_mode: bool = False
    instances: tuple[Instance, ...] = ()
    numa_node: int | None = None
    max_pcie_generation: int | None = None
    max_pcie_width: int | None = None
    default_power_limit_watts: int | None = None
    lost: bool = False
    handle: Any = field(default=None, compare=False, repr=False)


def scan(known: tuple[AgentGPU, ...] = ()) -> tuple[AgentGPU, ...]:
    """Every GPU of the node, by index. One that was known and no longer answers stays, marked lost.

    Raises NVMLUnavailable.
    """
    count = int(need(pynvml.nvmlDeviceGetCount))
    found = tuple(gpu for index in range(count) if (gpu := _gpu(index)) is not None)
    present = {gpu.uuid for gpu in found}
    lost = tuple(_lost(gpu) for gpu in known if gpu.uuid not in present)
    return tuple(sorted((*found, *lost), key=lambda gpu: (gpu.index, gpu.uuid)))


def _gpu(index: int) -> AgentGPU | None:
    try:
        handle = need(pynvml.nvmlDeviceGetHandleByIndex, index)
        return _described(index, handle)
    except (GPULost, NVMLMissing):
        return None


def _lost(gpu: AgentGPU) -> AgentGPU:
    return AgentGPU(index=gpu.index, uuid=gpu.uuid, name=gpu.name, product=gpu.product, bus_id=gpu.bus_id, lost=True)


def _described(index: int, handle: Any) -> AgentGPU:
    name = str(need(pynvml.nvmlDeviceGetName, handle))
    mode = ask(pynvml.nvmlDeviceGetMigMode, handle)
    mig = bool(mode and mode[0])
    limit = ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
    total, _ = memory(handle)
    product = product_of(name)
    return AgentGPU(
        index=index,
        uuid=str(need(pynvml.nvmlDeviceGetUUID, handle)),
        name=name,
        product=product,
        bus_id=_bus_id(handle),
        memory_bytes=total,
        gpm=supports_gpm(handle),
        mig_mode=mig,
        instances=_instances(handle, product) if mig else (),
        numa_node=_numa_node(handle),
        max_pcie_generation=ask(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        max_pcie_width=ask(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        default_power_limit_watts=None if limit is None else round(limit / 1000),
        handle=handle,
    )


@lru_cache(maxsize=64)
def product_of(name: str) -> str:
    """`product_of("NVIDIA H200") == "H200-SXM"`: the catalog's API name, "" for a name that it does not know."""
    device = _catalog().resolve(name)
    return "" if isinstance(device, Unmatched) else device.gpu.api_name


def _catalog() -> Catalog:
    return load()


def supports_gpm(handle: Any) -> bool:
    """Whether GPM answers: Hopper and later, with a driver that has it."""
    capability = ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    if capability is None or capability[0] < HOPPER:
        return False
    support = ask(pynvml.nvmlGpmQueryDeviceSupport, handle)
    return bool(support is not None and support.isSupportedDevice)


def memory(handle: Any) -> tuple[int | None, int | None]:
    """(total, used) bytes; used leaves out what the driver reserves, where it says how much that is."""
    info = ask(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if info is None:
        info = ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return (None, None) if info is None else (int(info.total), int(info.used))


def _bus_id(handle: Any) -> str:
    info = ask(pynvml.nvmlDeviceGetPciInfo, handle)
    if info is None:
        return ""
    return f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"


def _numa_node(handle: Any) -> int | None:
    """The one that it hangs on (nvmlDeviceGetNumaNodeId is for GPUs that are NUMA nodes themselves, as on Grace)."""
    words = ask(pynvml.nvmlDeviceGetMemoryAffinity, handle, _NODE_WORDS, pynvml.NVML_AFFINITY_SCOPE_NODE)
    if words is None:
        return None
    mask = sum(int(word) << (64 * place) for place, word in enumerate(words))
    return mask.bit_length() - 1 if mask.bit_count() == 1 else None


def _instances(handle: Any, product: str) -> tuple[Instance, ...]:
    slots = ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    found = (_instance(handle, slot, product) for slot in range(slots))
    return tuple(sorted((each for each in found if each is not None), key=_order))


def _order(instance: Instance) -> tuple[int, int]:
    return instance.gpu_instance, instance.compute_instance


def _instance(parent: Any, slot: int, product: str) -> Instance | None:
    try:
        # Slots without a slice answer NotFound, and one may be destroyed between two calls.
        handle = need(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, slot)
        gpu_instance = int(need(pynvml.nvmlDeviceGetGpuInstanceId, handle))
        return Instance(
            uuid=str(need(pynvml.nvmlDeviceGetUUID, handle)),
            gpu_instance=gpu_instance,
            compute_instance=int(ask(pynvml.nvmlDeviceGetComputeInstanceId, handle) or 0),
            profile=_profile(handle, product),
            placement_start=_placement(parent, gpu_instance),
            handle=handle,
        )
    except NVMLMissing:
        return None


def _placement(parent: Any, gpu_instance: int) -> int | None:
    """First memory slice; needs a privilege that the agent usually lacks."""
    instance = ask(pynvml.nvmlDeviceGetGpuInstanceById, parent, gpu_instance)
    info = None if instance is None else ask(pynvml.nvmlGpuInstanceGetInfo, instance)
    return None if info is None else int(info.placement.start)


def _profile(handle: Any, product: str) -> str:
    """By the MIG device's name ("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), else by its size among the product's profiles."""
    match = _PROFILE.search(str(ask(pynvml.nvmlDeviceGetName, handle) or ""))
    if match:
        return match.group(1)
    attributes = ask(pynvml.nvmlDeviceGetAttributes, handle)
    return "" if attributes is None else _profile_by_size(product, attributes)


def _profile_by_size(product: str, attributes: Any) -> str:
    gpu = _catalog().by_api_name(product)
    if isinstance(gpu, Unmatched):
        return ""
    wanted, size = int(attributes.gpuInstanceSliceCount), float(attributes.memorySizeMB) * MIB
    same = [each for each in _catalog().mig_profiles(gpu.key) if each.compute_slices == wanted and "+" not in each.name]
    nearest = min(same, key=lambda each: abs(each.memory_bytes - size), default=None)
    return "" if nearest is None else nearest.name
