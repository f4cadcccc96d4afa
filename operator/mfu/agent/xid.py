"""Xid errors: one event set over all GPUs, emptied at every pass, so that no thread has to wait inside the driver."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from ctypes import c_void_p, cast
from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from mfu.agent.inventory import AgentGPU
from mfu.agent.nvml import GPULost, NVMLUnavailable, ask

MOST_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Xid:
    """One error as the driver numbered it."""

    uuid: str
    number: int
    at: float


@dataclass(slots=True)
class XidWatch:
    """Registers for the GPUs of one inventory."""

    _set: Any = None
    _uuids: dict[int, str] = field(default_factory=dict)

    def open(self, gpus: Iterable[AgentGPU]) -> None:
        """Raises NVMLUnavailable. GPUs that cannot report events are left out."""
        self.close()
        self._set = ask(pynvml.nvmlEventSetCreate)
        for gpu in gpus:
            if self._set is None or gpu.lost:
                continue
            try:
                ask(pynvml.nvmlDeviceRegisterEvents, gpu.handle, pynvml.nvmlEventTypeXidCriticalError, self._set)
            except GPULost:
                continue
            self._uuids[_address(gpu.handle)] = gpu.uuid

    def watches(self, uuid: str) -> bool:
        """Whether silence means that nothing happened."""
        return uuid in self._uuids.values()

    def take(self, now: float) -> list[Xid]:
        """What happened since the last call. Raises NVMLUnavailable."""
        found: list[Xid] = []
        while self._set is not None and len(found) < MOST_AT_ONCE:
            try:
                # Nothing to report is an error (Timeout), which `ask` turns into None.
                event = ask(pynvml.nvmlEventSetWait_v2, self._set, 0)
            except GPULost:
                break
            if event is None:
                break
            uuid = self._uuids.get(_address(event.device))
            if uuid is not None:
                found.append(Xid(uuid, int(event.eventData), now))
        return found

    def close(self) -> None:
        if self._set is not None:
            # It may have gone away already with the driver that made it.
            with suppress(GPULost, NVMLUnavailable):
                ask(pynvml.nvmlEventSetFree, self._set)
        self._set = None
        self._uuids.clear()


def _address(handle: Any) -> int:
    return cast(handle, c_void_p).value or 0
