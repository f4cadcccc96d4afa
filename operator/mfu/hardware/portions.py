"""What sharing systems give a pod of a GPU: by resources beside or instead of whole GPUs, or by annotations.

HAMi: github.com/Project-HAMi/HAMi (charts/hami/values.yaml, docs/develop/protocol.md). KAI Scheduler and Run:ai:
github.com/kai-scheduler/KAI-Scheduler/blob/main/docs/gpu-sharing/README.md and pkg/common/constants. Volcano:
github.com/volcano-sh/devices. Alibaba: github.com/AliyunContainerService/gpushare-scheduler-extender. Tencent:
github.com/tkestack/gpu-manager and tencentcloud.com/document/product/457/59103 (qGPU). Koordinator:
koordinator.sh/docs/user-manuals/fine-grained-device-scheduling. Huawei:
support.huaweicloud.com/intl/en-us/drawer-cce. Amazon: github.com/awslabs/aws-virtual-gpu-device-plugin. The names of
HAMi and KAI Scheduler were looked up in their code (4707fb02, d5bc503a), the others in manifests and documents that
public repositories hold: units of 256 MiB for vcuda-memory, of 128 MiB in Huawei's name, GiB for qgpu-memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from mfu.hardware.labels import WHOLE
from mfu.hardware.slices import MOST_DEVICES, amount_of

_MIB: Final = 2.0**20
_GIB: Final = 2.0**30
FRACTION, MEMORY, DEVICES = "gpu-fraction", "gpu-memory", "gpu-fraction-num-devices"
"""Annotations of KAI Scheduler and Run:ai: a part of each device, MiB of each device, and how many devices."""
RESERVED_LABEL: Final = "runai-gpu-group"
"""Carried by the pod that holds a whole device for those that share it, and by them."""
_ALLOCATED: Final = {"hami.io/vgpu-devices-allocated": "HAMi", "volcano.sh/vgpu-ids-new": "Volcano vGPU"}
"""What a scheduler wrote of the devices that it gave: uuid,vendor,MiB,percent of cores: per device; per container."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What its system gives a pod of each device that it has: of compute or memory, whichever is told."""

    system: str
    fraction: float | None = None
    memory_bytes: float | None = None

    def share(self, device_memory_bytes: float | None) -> float | None:
        """The larger of its parts, for that is what nobody else can have; None where none is known. At most 1.

        `Portion("HAMi", 0.3, 40e9).share(80e9) == 0.5`.
        """
        of_memory = None
        if self.memory_bytes is not None and device_memory_bytes:
            of_memory = self.memory_bytes / device_memory_bytes
        known = [each for each in (self.fraction, of_memory) if each is not None]
        return min(1.0, max(known)) if known else None


@dataclass(frozen=True, slots=True)
class _System:
    """Resources of one system. `percent` are of one device; `memory` is bytes a unit.

    Without `count` amounts are of all devices together: 200 percent are two devices.
    """

    name: str
    count: str = ""
    percent: tuple[str, ...] = ()
    memory: Mapping[str, float] = field(default_factory=dict)
    per_unit: float = 0.01

    @property
    def parts(self) -> frozenset[str]:
        return frozenset((*self.percent, *self.memory))


_SYSTEMS: Final = (
    _System("HAMi", WHOLE, ("nvidia.com/gpumem-percentage", "nvidia.com/gpucores"), {"nvidia.com/gpumem": _MIB}),
    _System(
        "Volcano vGPU",
        "volcano.sh/vgpu-number",
        ("volcano.sh/vgpu-memory-percentage", "volcano.sh/vgpu-cores"),
        {"volcano.sh/vgpu-memory": _MIB},
    ),
    _System("Volcano", memory={"volcano.sh/gpu-memory": _MIB}),
    _System("Huawei CCE", percent=("volcano.sh/gpu-core.percentage",), memory={"volcano.sh/gpu-mem.128Mi": 128 * _MIB}),
    _System("Alibaba gpushare", percent=("aliyun.com/gpu-core.percentage",), memory={"aliyun.com/gpu-mem": _GIB}),
    _System(
        "Tencent GPU manager", percent=("tencent.com/vcuda-core",), memory={"tencent.com/vcuda-memory": 256 * _MIB}
    ),
    _System(
        "Tencent qGPU",
        percent=("tke.cloud.tencent.com/qgpu-core",),
        memory={"tke.cloud.tencent.com/qgpu-memory": _GIB},
    ),
    _System(
        "Koordinator",
        percent=("koordinator.sh/gpu", "koordinator.sh/gpu-core", "koordinator.sh/gpu-memory-ratio"),
        memory={"koordinator.sh/gpu-memory": 1.0},
    ),
    _System("Amazon virtual GPU", percent=("k8s.amazonaws.com/vgpu",), per_unit=0.1),
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Of one container: devices, and what it gets of each."""

    devices: int
    portion: Portion


def portion_of(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[int, Portion] | None:
    """Devices that the pod shares, and what it gets of each; None for a pod that asks for whole ones or for none.

    `metadata` and `spec` are the pod's, or its template's.
    """
    annotations = metadata.get("annotations") or {}
    containers = [each for each in spec.get("containers") or () if isinstance(each, Mapping)]
    asked = [found for each in containers if (found := _asked(_amounts(each))) is not None]
    if not asked:
        return None if _whole(containers) and not _given(annotations) else _annotated(annotations, spec)
    return _given(annotations) or _together(asked)


def reserves(metadata: Mapping[str, Any]) -> bool:
    """Is it the pod by which KAI Scheduler or Run:ai takes a whole device for those that share it?"""
    name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
    labelled = RESERVED_LABEL in (metadata.get("labels") or {})
    return labelled and namespace.endswith("reservation") and "reservation" in name


def sharing_resource(resource: str) -> str:
    """The system that the resource belongs to; empty for one of whole GPUs, and for any other."""
    own = (each for each in _SYSTEMS if resource in each.parts or (resource == each.count != WHOLE))
    return next((each.name for each in own), "")


def devices_offered(allocatable: Mapping[str, Any]) -> int:
    """Devices behind percents that a node offers: 800 of `tencent.com/vcuda-core` are 8. 0 where none are."""
    for system in _SYSTEMS:
        if system.count:
            continue
        found = max((amount_of(allocatable.get(name)) or 0.0 for name in system.percent), default=0.0)
        if found > 0:
            return min(MOST_DEVICES, round(found * system.per_unit))
    return 0


def _amounts(container: Mapping[str, Any]) -> dict[str, float]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return {name: amount for name, text in asked.items() if (amount := amount_of(text)) is not None and amount > 0}


def _whole(containers: Sequence[Mapping[str, Any]]) -> bool:
    return any(WHOLE in _amounts(each) for each in containers)


def _asked(amounts: Mapping[str, float]) -> _Asked | None:
    for system in _SYSTEMS:
        mine = system.parts & amounts.keys()
        if not mine and not (system.count != WHOLE and system.count in amounts):
            continue
        percents = [amounts[name] * system.per_unit for name in system.percent if name in amounts]
        memory = next((amounts[name] * unit for name, unit in system.memory.items() if name in amounts), None)
        # Without a count, percents beyond a hundred are several devices; HAMi puts one where none is asked for.
        devices = amounts.get(system.count, 1.0) if system.count else max(1.0, ceil(max(percents, default=1.0) - 1e-9))
        each = 1.0 if system.count else devices
        fraction = max(percents, default=None)
        portion = Portion(
            system.name,
            None if fraction is None else fraction / each,
            None if memory is None else memory / each,
        )
        return _Asked(min(MOST_DEVICES, int(devices)), portion)
    return None


def _together(asked: Sequence[_Asked]) -> tuple[int, Portion]:
    """Several containers' devices as one number, with what they get of each in the mean."""
    devices = sum(each.devices for each in asked)
    fractions = [(each.devices, each.portion.fraction) for each in asked]
    memories = [(each.devices, each.portion.memory_bytes) for each in asked]
    return devices, Portion(asked[0].portion.system, _mean(fractions), _mean(memories))


def _mean(parts: Sequence[tuple[int, float | None]]) -> float | None:
    known = [(devices, value) for devices, value in parts if value is not None]
    total = sum(devices for devices, _ in known)
    return sum(devices * value for devices, value in known) / total if len(known) == len(parts) and total else None


def _given(annotations: Mapping[str, Any]) -> tuple[int, Portion] | None:
    for name, system in _ALLOCATED.items():
        found = [_Asked(1, each) for each in _devices(str(annotations.get(name, "")), system)]
        if found:
            return _together(found)
    return None


def _devices(text: str, system: str) -> Iterator[Portion]:
    for device in text.replace(";", ":").split(":"):
        words = device.split(",")
        memory, cores = (amount_of(words[2]), amount_of(words[3])) if len(words) >= 4 else (None, None)
        if memory is not None and cores is not None:
            # No cores are no limit of cores, not none of them.
            yield Portion(system, cores / 100 or None, memory * _MIB or None)


def _annotated(annotations: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[int, Portion] | None:
    given = _given(annotations)
    if given is not None:
        return given
    fraction, memory = amount_of(annotations.get(FRACTION)), amount_of(annotations.get(MEMORY))
    if not (fraction or memory):
        return None
    system = "Run:ai" if "runai" in str(spec.get("schedulerName", "")) else "KAI Scheduler"
    devices = int(amount_of(annotations.get(DEVICES)) or 1)
    portion = Portion(system, fraction or None, memory * _MIB if memory else None)
    return max(1, min(MOST_DEVICES, devices)), portion
