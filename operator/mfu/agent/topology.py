"""How the GPUs of a node are joined: NVLinks by peer, NVSwitch, and the NVLink domain that reaches beyond the node."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from mfu.agent.inventory import AgentGPU
from mfu.agent.nvml import GPULost, ask

MOST_LINKS: Final = 72
_FABRIC_COMPLETED: Final = 3


@dataclass(frozen=True, slots=True)
class Links:
    """NVLinks of one GPU: active ones by the bus id of the GPU at the other end, and those that end in a switch."""

    present: int = 0
    active: int = 0
    switch: int = 0
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """`matrix[i][j]` counts links between the GPUs at places i and j; through NVSwitch, all links that both have."""

    domain: str
    switched: bool
    matrix: tuple[tuple[int, ...], ...]


def read(gpus: Sequence[AgentGPU]) -> Topology | None:
    """None on a node without NVLink. Raises NVMLUnavailable."""
    links = [_guarded_links(gpu) for gpu in gpus]
    if not any(each.present for each in links):
        return None
    switched = any(each.switch for each in links)
    matrix = tuple(tuple(_joined(gpus, links, row, column) for column in range(len(gpus))) for row in range(len(gpus)))
    domains = {name for gpu in gpus if not gpu.lost and (name := _guarded_domain(gpu))}
    return Topology(domain=domains.pop() if len(domains) == 1 else "", switched=switched, matrix=matrix)


def _guarded_links(gpu: AgentGPU) -> Links:
    try:
        return Links() if gpu.lost else _links(gpu.handle)
    except GPULost:
        return Links()


def _guarded_domain(gpu: AgentGPU) -> str:
    try:
        return _domain(gpu.handle)
    except GPULost:
        return ""


def _links(handle: Any) -> Links:
    states = [state for link in range(_link_count(handle)) if (state := _state(handle, link)) is not None]
    active = [link for link, state in enumerate(states) if state]
    switch, peers = 0, []
    for link in active:
        if ask(pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link) == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
            switch += 1
            continue
        remote = ask(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link)
        if remote is not None:
            peers.append(f"{remote.domain:04x}:{remote.bus:02x}:{remote.device:02x}.0")
    return Links(len(states), len(active), switch, tuple(peers))


def _link_count(handle: Any) -> int:
    values = ask(pynvml.nvmlDeviceGetFieldValues, handle, (pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT,))
    if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return MOST_LINKS if _state(handle, 0) is not None else 0
    return min(int(values[0].value.uiVal), MOST_LINKS)


def _state(handle: Any, link: int) -> int | None:
    return ask(pynvml.nvmlDeviceGetNvLinkState, handle, link)


def _joined(gpus: Sequence[AgentGPU], links: Sequence[Links], row: int, column: int) -> int:
    if row == column:
        return 0
    through_switch = min(links[row].switch, links[column].switch)
    return through_switch or links[row].peers.count(gpus[column].bus_id)


def _domain(handle: Any) -> str:
    """ "<cluster UUID>.<clique>" of a completed fabric, as GFD labels nodes; "" where the fabric ends with the node."""
    info = pynvml.c_nvmlGpuFabricInfoV_t()
    if ask(pynvml.nvmlDeviceGetGpuFabricInfoV, handle, byref(info)) is None or info.state != _FABRIC_COMPLETED:
        return ""
    raw = bytes(info.clusterUuid)
    if not any(raw):
        return ""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}.{info.cliqueId}"
