"""The simulated fleet: which pod holds which device, and what every device's counters read at an instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.types import Device
from mfu.sim.flops import prefill_share
from mfu.sim.inventory import NodeSpec, Slot, slots
from mfu.sim.pods import SimPod, Workload
from mfu.sim.recordings import COLUMNS, NVLINK, PCIE, SHARES, Column, Floats
from mfu.sim.replay import PERIOD_SECONDS, idle_shape
from mfu.sim.shapes import STRAGGLING_ROLE, shape_of
from mfu.sim.truth import Fault, Truth, TruthMode

Ints = NDArray[np.int64]

_NOISE: Final = np.zeros(COLUMNS)
_NOISE[SHARES], _NOISE[PCIE], _NOISE[NVLINK], _NOISE[Column.POWER], _NOISE[Column.CLOCK] = (
    0.01,
    0.02,
    0.02,
    0.008,
    0.003,
)
"""Relative standard deviation of one reading around the recorded second, independent between devices and readings."""

_MEMORY_SHARE: Final = {TruthMode.TRAINING: 0.78}
_SERVING_MEMORY_SHARE: Final = 0.90
"""vLLM takes 0.9 of the memory whatever the load (gpu_memory_utilization); training jobs are sized to fit."""
_IDLE_MEMORY_SHARE: Final = 0.005


class NoRoom(Exception):
    """The node has fewer free devices of that resource than the pod asks for, or does not exist."""


@dataclass(frozen=True, slots=True)
class FleetSample:
    """One collection of the whole fleet. `values` [devices, COLUMNS] relative; the totals count since the start."""

    at: float
    values: Floats
    energy_joules: Floats
    power_capped_seconds: Floats
    thermal_seconds: Floats


class SimFleet:
    """Nodes and the pods on them. Deterministic: the same calls with the same seed read the same numbers.

    Time is given, never taken: `now` is any clock in seconds that does not run backwards between samples.
    """

    def __init__(
        self,
        nodes: Iterable[NodeSpec],
        workloads: Iterable[Workload] = (),
        seed: int = 0,
        *,
        interval_seconds: float = 1.0,
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.interval_seconds = interval_seconds
        self.slots: tuple[Slot, ...] = tuple(slot for node in self.nodes.values() for slot in slots(node))
        self.node_slices = _slices(self.slots)
        self._free_counts = {name: last - first for name, (first, last) in self.node_slices.items()}
        self.pods: dict[str, SimPod] = {}
        self.holder: list[SimPod | None] = [None] * len(self.slots)
        self.version = dict.fromkeys(self.nodes, 0)
        """Goes up when the pods of a node change."""
        self._held: dict[str, tuple[int, ...]] = {}
        self._members: dict[str, dict[str, SimPod]] = {}
        self._seed = seed
        self._shapes: list[Floats] = list(idle_shape())
        self._shape_rows: dict[tuple[Truth, str, bool], tuple[int, int]] = {}
        self._bank: Floats | None = None
        self._rows: Ints = np.zeros(len(self.slots), dtype=np.int64)
        self._phases: Ints = np.random.default_rng(seed).integers(0, PERIOD_SECONDS, len(self.slots))
        self.memory_share: Floats = np.full(len(self.slots), _IDLE_MEMORY_SHARE)
        self._tdp_watts: Floats = np.array([slot.device.gpu.tdp_watts or 0.0 for slot in self.slots])
        self._sample: FleetSample | None = None
        for workload in workloads:
            for pod in workload.sim_pods():
                self.place(pod)

    def place(self, pod: SimPod) -> tuple[Slot, ...]:
        """Give the pod devices of its node (any node that has room where it names none). Raises NoRoom, InvalidPlan."""
        if pod.key in self.pods:
            return tuple(self.slots[index] for index in self._held[pod.key])
        chosen = self._free(pod)
        self._rows_of(pod.truth, self.slots[chosen[0]].device, several=len(chosen) > 1)
        self.pods[pod.key], self._held[pod.key] = pod, chosen
        self._members.setdefault(pod.workload, {})[pod.key] = pod
        self._hold(chosen, pod)
        self._reshape(pod.workload)
        return tuple(self.slots[index] for index in chosen)

    def swap(self, pod: SimPod) -> None:
        """Another truth for a pod that runs; its devices stay. KeyError for an unknown pod, InvalidPlan."""
        held = self._held[pod.key]
        self._rows_of(pod.truth, self.slots[held[0]].device, several=len(held) > 1)
        self.pods[pod.key] = self._members[pod.workload][pod.key] = pod
        for index in held:
            self.holder[index] = pod
            self.memory_share[index] = _memory_share(pod.truth)
        self._reshape(pod.workload)

    def remove(self, key: str) -> None:
        """The pod `namespace/name` is gone; an unknown one is nothing to do."""
        pod = self.pods.pop(key, None)
        if pod is None:
            return
        del self._members[pod.workload][key]
        self._hold(self._held.pop(key), None)
        self._reshape(pod.workload)

    def held_by(self, key: str) -> tuple[Slot, ...]:
        return tuple(self.slots[index] for index in self._held.get(key, ()))

    def workload_pods(self, workload: str) -> list[SimPod]:
        """Pods of `namespace/owner`, by name."""
        return sorted(self._members.get(workload, {}).values(), key=lambda pod: pod.name)

    def sample(self, now: float) -> FleetSample:
        """What the exporters collected last at `now`: they collect once an interval and repeat that until the next."""
        at = np.floor(now / self.interval_seconds) * self.interval_seconds
        before = self._sample
        if before is not None and at <= before.at:
            return before
        values = self._values(at)
        self._sample = self._accumulate(before, float(at), values)
        return self._sample

    def _values(self, at: float) -> Floats:
        second = int(at)
        bank = self._bank if self._bank is not None else self._build_bank()
        values = bank[self._rows, (second + self._phases) % PERIOD_SECONDS]
        rng = np.random.default_rng([self._seed, second & 0x7FFFFFFF])
        values *= 1 + _NOISE * rng.standard_normal(values.shape)
        values[:, SHARES] = np.clip(values[:, SHARES], 0.0, 1.0)
        return values

    def _accumulate(self, before: FleetSample | None, at: float, values: Floats) -> FleetSample:
        if before is None:
            zero = np.zeros(len(self.slots))
            return FleetSample(at, values, zero, zero, zero)
        elapsed = at - before.at
        events = values[:, Column.EVENTS].astype(np.int64)
        watts = values[:, Column.POWER] * self._tdp_watts
        return FleetSample(
            at,
            values,
            before.energy_joules + watts * elapsed,
            before.power_capped_seconds + ((events & 0x4) > 0) * elapsed,
            before.thermal_seconds + ((events & 0x60) > 0) * elapsed,
        )

    def _free(self, pod: SimPod) -> tuple[int, ...]:
        for name in [pod.node] if pod.node is not None else self._free_counts:
            if self._free_counts.get(name, 0) < pod.count:
                continue
            first, last = self.node_slices[name]
            free = [i for i in range(first, last) if self.holder[i] is None and self.slots[i].resource == pod.resource]
            if 0 < pod.count <= len(free):
                return tuple(free[: pod.count])
        raise NoRoom(f"pod {pod.key} asks for {pod.count} × {pod.resource} on {pod.node or 'any node'}: not free there")

    def _hold(self, indexes: tuple[int, ...], pod: SimPod | None) -> None:
        for index in indexes:
            self.holder[index] = pod
            self.memory_share[index] = _IDLE_MEMORY_SHARE if pod is None else _memory_share(pod.truth)
            self._rows[index] = 0
        node = self.slots[indexes[0]].node
        self._free_counts[node] += len(indexes) if pod is None else -len(indexes)
        self.version[node] += 1

    def _reshape(self, workload: str) -> None:
        """Which recording each device of the workload replays depends on all its pods: one GPU, or several."""
        devices = [(index, pod.truth) for pod in self.workload_pods(workload) for index in self._held[pod.key]]
        for number, (index, truth) in enumerate(devices):
            first, roles = self._rows_of(truth, self.slots[index].device, several=len(devices) > 1)
            self._rows[index] = first + _role(truth, number, roles)

    def _rows_of(self, truth: Truth, device: Device, *, several: bool) -> tuple[int, int]:
        """First row of the bank that holds the shape, and how many roles (rows) it has. Raises InvalidPlan."""
        key = (truth, device.label, several)
        if key not in self._shape_rows:
            shape = shape_of(truth, device, 2 if several else 1, prefill_share(truth))
            self._shape_rows[key] = len(self._shapes), len(shape)
            self._shapes.extend(shape)
            self._bank = None
        return self._shape_rows[key]

    def _build_bank(self) -> Floats:
        """[shape rows, seconds, COLUMNS], each second being the exporter's mean over the interval that ends there."""
        seconds = max(1, round(self.interval_seconds))
        raw = np.array(self._shapes).reshape(-1, PERIOD_SECONDS, COLUMNS)
        mean: Floats = np.mean([np.roll(raw, shift, axis=1) for shift in range(min(seconds, PERIOD_SECONDS))], axis=0)
        # NVML reads clock and events at the instant of collection; everything else is an average.
        mean[..., [Column.CLOCK, Column.EVENTS]] = raw[..., [Column.CLOCK, Column.EVENTS]]
        self._bank = mean
        return mean


def _role(truth: Truth, number: int, roles: int) -> int:
    if truth.fault is Fault.STRAGGLER and roles > 1:
        return STRAGGLING_ROLE if number == 0 else 1 - STRAGGLING_ROLE
    return number % roles


def _memory_share(truth: Truth) -> float:
    if truth.mfu == 0:
        return _IDLE_MEMORY_SHARE
    return _MEMORY_SHARE.get(truth.mode, _SERVING_MEMORY_SHARE)


def _slices(all_slots: tuple[Slot, ...]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for index, slot in enumerate(all_slots):
        first, _ = found.get(slot.node, (index, index))
        found[slot.node] = (first, index + 1)
    return found
