"""From the labels of a DCGM series to the device and the pod that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from mfu.observe.readings import GPUIdentity, GPUKey

_EXPORTER_CONTAINERS: Final = frozenset({"exporter", "dcgm-exporter", "nvidia-dcgm-exporter"})
_EXPORTER_POD: Final = "dcgm-exporter"
_NULL: Final = "<<<NULL>>>"


class Trait(IntFlag):
    """What the labels of a target give away about its version."""

    NONE = 0
    HOSTNAME_CAPITAL = 1
    HOSTNAME_SMALL = 2
    DRIVER_LEGACY = 4
    DRIVER_SYSTEM = 8
    EXPORTED = 16
    """The scraper renamed the pod labels, so plain `pod` names the exporter."""


_TRAITS: Final[tuple[tuple[str, Trait], ...]] = (
    ("Hostname", Trait.HOSTNAME_CAPITAL),
    ("hostname", Trait.HOSTNAME_SMALL),
    ("DCGM_FI_DRIVER_VERSION", Trait.DRIVER_LEGACY),
    ("DCGM_FI_SYSTEM_DRIVER_VERSION", Trait.DRIVER_SYSTEM),
    ("exported_pod", Trait.EXPORTED),
    ("exported_namespace", Trait.EXPORTED),
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs on a device."""

    namespace: str | None = None
    pod: str | None = None
    container: str | None = None


def traits(labels: Mapping[str, str]) -> Trait:
    found = Trait.NONE
    for name, trait in _TRAITS:
        if name in labels:
            found |= trait
    return found


def owner(labels: Mapping[str, str], *, relabelled: bool = False) -> Owner:
    """The pod on the device: `exported_*` first, then `pod` or the old `pod_name`.

    `relabelled`: the series came through Prometheus, where under `honorLabels: false` plain `pod` names the exporter
    itself (dcgm-exporter issue 85); such a pod is nobody's.
    """
    exported = labels.get("exported_pod") or labels.get("exported_pod_name")
    if exported:
        namespace = labels.get("exported_namespace") or labels.get("exported_pod_namespace")
        container = labels.get("exported_container") or labels.get("exported_container_name")
        return Owner(namespace or None, exported, container or None)
    pod = labels.get("pod") or labels.get("pod_name")
    namespace = labels.get("namespace") or labels.get("pod_namespace")
    container = labels.get("container") or labels.get("container_name")
    if not pod or not namespace:
        return Owner()
    if relabelled and (_EXPORTER_POD in pod or container in _EXPORTER_CONTAINERS):
        return Owner()
    return Owner(namespace, pod, container or None)


def key(labels: Mapping[str, str]) -> GPUKey | None:
    """(UUID, GPU instance) of the series; None when it is about no GPU (NVSwitch, CPU) or the instance is garbled."""
    uuid = labels.get("UUID") or labels.get("uuid")
    if not uuid or uuid == _NULL:
        return None
    instance = labels.get("GPU_I_ID")
    if not instance:
        return GPUKey(uuid)
    if not (instance.isascii() and instance.isdigit() and len(instance) < 5):
        return None
    return GPUKey(uuid, int(instance))


def identity(labels: Mapping[str, str], *, node: str | None = None, relabelled: bool = False) -> GPUIdentity | None:
    """Device and pod of a series. `node`, where the caller knows it, beats the exporter's idea of its host name."""
    device = key(labels)
    if device is None:
        return None
    runs = owner(labels, relabelled=relabelled)
    profile = labels.get("GPU_I_PROFILE")
    return GPUIdentity(
        key=device,
        product_name=labels.get("modelName", ""),
        node=node or labels.get("Hostname") or labels.get("hostname") or labels.get("node") or None,
        index=labels.get("gpu") or None,
        mig_profile=profile if profile and profile != _NULL else None,
        namespace=runs.namespace,
        pod=runs.pod,
        container=runs.container,
    )
