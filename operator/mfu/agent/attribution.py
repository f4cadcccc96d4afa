"""Device ids of the kubelet → pods on our GPUs and MIG slices, in every form that device plugins and DRA use."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.agent.inventory import AgentGPU
from mfu.agent.podresources import PodResourcesError
from mfu.agent.sample import Key
from mfu.agent.wire import ContainerDevice

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 10.0
KEEP_SECONDS: Final = 120.0
"""How long the last answer stands while the kubelet does not give a new one: longer than it takes to restart."""
_GKE: Final = re.compile(r"nvidia(\d+)(?:/gi(\d+))?(?:/vgpu\d+)?")
_DRA: Final = re.compile(r"gpu-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class HoldingContainer:
    """A container that holds a device."""

    namespace: str
    name: str
    container: str


def by_device(found: Iterable[ContainerDevice], gpus: Iterable[AgentGPU]) -> dict[Key, tuple[HoldingContainer, ...]]:
    """Pods of each device; more than one where it is time-sliced or its compute instances are handed out apart."""
    keys, indices = _keys(gpus)
    pods: dict[Key, set[HoldingContainer]] = {}
    for each in found:
        key = key_of(each.device, keys, indices)
        if key is not None:
            pods.setdefault(key, set()).add(HoldingContainer(each.namespace, each.pod, each.container))
    return {key: tuple(sorted(held)) for key, held in pods.items()}


def _keys(gpus: Iterable[AgentGPU]) -> tuple[dict[str, Key], dict[int, str]]:
    keys: dict[str, Key] = {}
    indices: dict[int, str] = {}
    for gpu in gpus:
        keys[gpu.uuid.lower()] = (gpu.uuid, None)
        indices[gpu.index] = gpu.uuid
        for instance in gpu.instances:
            keys[instance.uuid.lower()] = (gpu.uuid, instance.gpu_instance)
    return keys, indices


def key_of(device: str, keys: Mapping[str, Key], indices: Mapping[int, str]) -> Key | None:
    """`GPU-<uuid>`, `MIG-<uuid>`, `GPU-<uuid>::3` (a time slice), `nvidia0/gi1` (GKE), `gpu-0` (DRA)."""
    bare = device.split("::", 1)[0].lower()
    if bare in keys:
        return keys[bare]
    gke, dra = _GKE.fullmatch(bare), _DRA.fullmatch(bare)
    match = gke or dra
    if match is None or int(match.group(1)) not in indices:
        return None
    instance = gke.group(2) if gke else None
    return indices[int(match.group(1))], None if instance is None else int(instance)


@dataclass(slots=True)
class Attribution:
    """Asks the kubelet now and then, and remembers its last answer through a restart of it."""

    ask: Callable[[], list[ContainerDevice]]
    available: bool | None = None
    """Whether the last call was answered; None before the first."""
    _found: list[ContainerDevice] = field(default_factory=list)
    _answered_at: float | None = None
    _asked_at: float | None = None

    def refresh(self, now: float) -> None:
        """At most once in POLL_SECONDS; never raises."""
        if self._asked_at is not None and now - self._asked_at < POLL_SECONDS:
            return
        self._asked_at = now
        try:
            self._found, self._answered_at = self.ask(), now
        except PodResourcesError as error:
            if self.available is not False:
                log.warning("the kubelet does not tell the pods of devices: error=%s", error)
            self.available = False
            if self._answered_at is None or now - self._answered_at > KEEP_SECONDS:
                self._found = []
            return
        self.available = True

    def pods(self, gpus: Iterable[AgentGPU]) -> dict[Key, tuple[HoldingContainer, ...]]:
        return by_device(self._found, gpus)
