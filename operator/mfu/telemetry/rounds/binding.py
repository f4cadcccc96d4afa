"""Whose readings these are, by the cluster's word: a source may only speak of pods that are bound to its own node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import Floats, GPUIdentity, GPURound

PodName = tuple[str, str]
_ANY_TIME: Final = -np.inf


@dataclass(frozen=True, slots=True)
class PodBinding:
    """Where a pod of the cluster runs, and since when."""

    uid: str
    node: str
    started_at: float
    """Unix seconds; what a device did before belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Believed:
    """A round without what could not be believed, and what that was."""

    round: GPURound
    foreign: int = 0
    """Rows about a pod that is not bound to the row's node."""
    early: int = 0
    """Rows whose averaging began before their pod did."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why rows of a node were dropped, by node."""


@dataclass(frozen=True, slots=True)
class _Matched:
    devices: tuple[GPUIdentity, ...]
    """As the source gave them."""
    bindings: Mapping[PodName, PodBinding]
    kept: NDArray[np.intp]
    known: tuple[GPUIdentity, ...]
    """Those that are kept, with the uid of their pod."""
    since: Floats
    """When the pod of each kept row started; −∞ for devices without a pod."""
    refused: Mapping[str, str]


@dataclass(slots=True)
class Binder:
    """Checks one source's rounds. What was matched is remembered while neither labels nor pods change."""

    _last: _Matched | None = None

    def believe(self, found: GPURound, bindings: Mapping[PodName, PodBinding]) -> Believed:
        """`found` with the rows of pods that `bindings` does not have on that node left out.

        A reading averages over its source's interval: one whose interval began before its pod did tells of the pod
        that had the device, or the name, before.
        """
        matched = self._last
        if matched is None or matched.devices is not found.devices or matched.bindings is not bindings:
            matched = self._last = self._kept(_match(found.devices, bindings))
        observed = found.observed_at[matched.kept]
        early = observed - found.interval_seconds < matched.since
        dated = np.where(early, np.nan, observed)
        believed = replace(found, devices=matched.known, observed_at=dated, values=found.values[matched.kept])
        return Believed(believed, len(found.devices) - len(matched.kept), int(early.sum()), matched.refused)

    def _kept(self, fresh: _Matched) -> _Matched:
        """The same tuple as before where it says the same: stores know devices by it."""
        last = self._last
        return replace(fresh, known=last.known) if last is not None and last.known == fresh.known else fresh


def _match(devices: tuple[GPUIdentity, ...], bindings: Mapping[PodName, PodBinding]) -> _Matched:
    kept: list[int] = []
    known: list[GPUIdentity] = []
    since: list[float] = []
    refused: dict[str, str] = {}
    for row, device in enumerate(devices):
        if device.pod is None or device.namespace is None:
            kept.append(row)
            known.append(device)
            since.append(_ANY_TIME)
            continue
        bound = bindings.get((device.namespace, device.pod))
        if bound is None or device.node != bound.node or device.pod_uid not in (None, bound.uid):
            if device.node is not None:
                refused[device.node] = f"its readings name pod {device.namespace}/{device.pod}, {_why(device, bound)}"
            continue
        kept.append(row)
        known.append(device if device.pod_uid == bound.uid else replace(device, pod_uid=bound.uid))
        since.append(bound.started_at)
    return _Matched(devices, bindings, np.array(kept, dtype=np.intp), tuple(known), np.array(since), refused)


def _why(device: GPUIdentity, bound: PodBinding | None) -> str:
    if bound is None:
        return "which runs on no node"
    return f"which runs on {bound.node}" if bound.node != device.node else "of which there is a new one"
