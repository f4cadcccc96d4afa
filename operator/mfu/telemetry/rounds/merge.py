"""Rows of many label sets → one row per device and pod: parents folded into MIG slices, duplicates marked as shared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import Floats, GPUIdentity, Metric

_Indices = NDArray[np.intp]
_Pairs = tuple[_Indices, _Indices]

_INHERITED: Final = (
    Metric.SM_CLOCK,
    Metric.CLOCK_EVENTS,
    Metric.XID,
    Metric.TEMPERATURE,
    Metric.POWER_VIOLATION_RATIO,
    Metric.THERMAL_VIOLATION_RATIO,
)
_INHERITED_COLUMNS: Final = np.array([int(metric) for metric in _INHERITED], dtype=np.intp)
"""What a MIG slice shares with its GPU. Power, memory and links of the parent are not the slice's."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """How input rows become output rows; depends on the labels only, so it is reused while they stay the same."""

    devices: tuple[GPUIdentity, ...]
    base: _Indices
    fill: tuple[_Pairs, ...]
    """(output rows, input rows) of one target: unknown cells take the other row's value; where both are known and
    differ one of them is stale, and nothing is known."""
    spare: tuple[_Pairs, ...]
    """(output rows, input rows) of another target that reads the same device: it helps out, it does not contradict."""
    parent: tuple[_Pairs, ...]
    """(output rows, input rows): unknown cells of the inherited columns take the parent GPU's value."""
    duplicates: int = 0

    def apply(self, values: Floats) -> Floats:
        """Input values [rows, METRICS] → output values [devices, METRICS]."""
        result = values[self.base]
        for outputs, sources in self.fill:
            result[outputs] = _agreed(result[outputs], values[sources])
        for outputs, sources in self.spare:
            result[outputs] = _first_known(result[outputs], values[sources])
        for outputs, sources in self.parent:
            cells = np.ix_(outputs, _INHERITED_COLUMNS)
            result[cells] = _first_known(result[cells], values[np.ix_(sources, _INHERITED_COLUMNS)])
        return result


def _first_known(first: Floats, second: Floats) -> Floats:
    return np.where(np.isnan(first), second, first)


def _agreed(first: Floats, second: Floats) -> Floats:
    return np.where(
        first != second, np.where(np.isnan(first), second, np.where(np.isnan(second), first, np.nan)), first
    )


@dataclass(slots=True)
class _Draft:
    """Output rows found so far, and what fills their gaps."""

    devices: list[GPUIdentity] = field(default_factory=list)
    base: list[int] = field(default_factory=list)
    fill: list[tuple[int, int]] = field(default_factory=list)
    spare: list[tuple[int, int]] = field(default_factory=list)
    parent: list[tuple[int, int]] = field(default_factory=list)
    duplicates: int = 0

    def add(self, device: GPUIdentity, rows: list[int], others: list[int], of_row: Sequence[int]) -> None:
        """One output row from `rows` about the same device and pod, helped out by `others` about the device."""
        output = len(self.devices)
        self.devices.append(device)
        self.base.append(rows[0])
        self.duplicates += len(rows) - 1
        for row in (*rows[1:], *others):
            same_target = not of_row or of_row[row] == of_row[rows[0]]
            (self.fill if same_target else self.spare).append((output, row))


def plan(devices: Sequence[GPUIdentity], of_row: Sequence[int] = ()) -> MergePlan:
    """Merge plan of these rows, `of_row` numbering the target of each (none given: all of one).

    Rows of one device without a pod are folded into those with one. A device that several pods name is shared: it
    keeps a row per pod, all marked, because what each pod did cannot be told. A GPU in MIG slices loses its own row.
    Nodes are kept apart: what one node says of a device never touches what another says of a device of that name.
    """
    by_key: dict[tuple[str | None, str, int | None], list[int]] = defaultdict(list)
    for row, device in enumerate(devices):
        by_key[(device.node, device.key.uuid, device.key.instance)].append(row)
    sliced = {(node, uuid) for node, uuid, instance in by_key if instance is not None}
    draft = _Draft()
    for (node, uuid, instance), rows in by_key.items():
        if instance is None and (node, uuid) in sliced:
            continue
        owned = _by_pod(devices, rows)
        free = owned.pop(None, [])
        for members in owned.values() or [free]:
            draft.add(_shared(devices[members[0]], len(owned) > 1), members, free if owned else [], of_row)
            if instance is not None:
                draft.parent += [(len(draft.devices) - 1, row) for row in by_key.get((node, uuid, None), ())]
    base = np.array(draft.base, dtype=np.intp)
    layers = (_layers(draft.fill), _layers(draft.spare), _layers(draft.parent))
    return MergePlan(tuple(draft.devices), base, *layers, draft.duplicates)


def _by_pod(devices: Sequence[GPUIdentity], rows: list[int]) -> dict[tuple[str | None, str] | None, list[int]]:
    owned: dict[tuple[str | None, str] | None, list[int]] = defaultdict(list)
    for row in rows:
        device = devices[row]
        owned[None if device.pod is None else (device.namespace, device.pod)].append(row)
    return owned


def _shared(device: GPUIdentity, shared: bool) -> GPUIdentity:
    return replace(device, shared=True) if shared else device


def _layers(pairs: list[tuple[int, int]]) -> tuple[_Pairs, ...]:
    """Pairs in order of priority, cut into layers in which every output row appears once."""
    layers: list[list[tuple[int, int]]] = []
    depth: dict[int, int] = {}
    for output, source in pairs:
        level = depth.get(output, 0)
        depth[output] = level + 1
        if level == len(layers):
            layers.append([])
        layers[level].append((output, source))
    arrays = [np.array(layer, dtype=np.intp) for layer in layers]
    return tuple((array[:, 0], array[:, 1]) for array in arrays)
