"""GPUs that a sharing system's device plugin registers on its node: HAMi, and Volcano's vGPU that came of it.

As github.com/Project-HAMi/HAMi (pkg/device/devices.go) reads them: a JSON list, or in older versions
`uuid,split,MiB,cores,type,numa,healthy[,index,mode]` for each device with ":" between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mfu.hardware.labels import WHOLE
from mfu.hardware.portions import devices_offered, sharing_resource
from mfu.hardware.slices import MOST_DEVICES, quantity

_ANNOTATIONS: Final = {"hami.io/node-nvidia-register": "HAMi", "volcano.sh/node-vgpu-register": "Volcano vGPU"}
_VENDOR: Final = "NVIDIA-"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a node's GPUs are by its sharing system. `split` is how many pods each is offered to, 0 where not told."""

    system: str
    devices: int
    split: int = 0
    product: str | None = None

    def units(self) -> int:
        return self.devices * max(1, self.split)


def registered(annotations: Mapping[str, Any], allocatable: Mapping[str, Any]) -> Registered | None:
    """None for a node that no sharing system serves."""
    for name, system in _ANNOTATIONS.items():
        rows = _rows(str(annotations.get(name, "")))[:MOST_DEVICES]
        if rows:
            kinds = {kind for _, kind in rows}
            return Registered(
                system, len(rows), max(split for split, _ in rows), kinds.pop() if len(kinds) == 1 else None
            )
    offered = [name for name in allocatable if sharing_resource(name) and quantity(allocatable[name])]
    if not offered:
        return None
    return Registered(sharing_resource(offered[0]), devices_offered(allocatable) or quantity(allocatable.get(WHOLE)))


def _rows(text: str) -> list[tuple[int, str | None]]:
    """Split and product of each healthy device."""
    try:
        read = json.loads(text) if text.startswith("[") else [_fields(each) for each in text.split(":") if each]
    except ValueError:
        return []
    known = [each for each in read if isinstance(each, Mapping) and each.get("health")]
    return [(quantity(each.get("count")), str(each.get("type") or "").removeprefix(_VENDOR) or None) for each in known]


def _fields(text: str) -> dict[str, Any] | None:
    words = text.split(",")
    if len(words) not in (7, 9):
        return None
    return {"count": words[1], "type": words[4], "health": words[6].lower() in ("true", "1", "t")}
