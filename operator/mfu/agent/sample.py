"""One pass over the GPUs: every number that NVML and GPM give, in the units of `Metric`. Unknown numbers are absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from mfu.agent.gpm import Gpm
from mfu.agent.inventory import AgentGPU, Instance, memory
from mfu.agent.nvml import GPULost, NVMLMissing, ask
from mfu.observe.metric import Metric

Values = dict[Metric, float]
Key = tuple[str, int | None]

SLOW_EVERY: Final = 15
"""Passes between readings of what hardly changes, or takes the driver long (violation times: 1 ms on an H200)."""
_NANOSECONDS: Final = 1e-9
_POWER_TIME: Final = pynvml.NVML_FI_DEV_PERF_POLICY_POWER
_THERMAL_TIME: Final = pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """One device at one instant; `instance` is None for a whole GPU (or the frame around its MIG slices)."""

    gpu: AgentGPU
    instance: Instance | None
    observed_at: float
    values: Mapping[Metric, float]

    @property
    def key(self) -> Key:
        return self.gpu.uuid, None if self.instance is None else self.instance.gpu_instance


@dataclass(slots=True)
class Sampler:
    """Reads the devices of one inventory. `lost` collects GPUs that stopped answering, `moved` tells of MIG changes."""

    gpus: tuple[AgentGPU, ...]
    window_seconds: float = 15.0
    lost: set[str] = field(default_factory=set)
    moved: bool = False
    _gpm: dict[Key, Gpm] = field(default_factory=dict)
    _slow: dict[str, Values] = field(default_factory=dict)
    _held: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    _passes: int = 0

    def read(self, now: float) -> list[DeviceReading]:
        """Readings of all devices that answer. Raises NVMLUnavailable when the driver went away."""
        self._passes += 1
        found: list[DeviceReading] = []
        for gpu in self.gpus:
            if gpu.lost or gpu.uuid in self.lost:
                continue
            try:
                found += self._gpu(gpu, now)
            except GPULost:
                self.lost.add(gpu.uuid)
        return found

    def close(self) -> None:
        for gpm in self._gpm.values():
            gpm.close()
        self._gpm.clear()

    def _gpu(self, gpu: AgentGPU, now: float) -> list[DeviceReading]:
        # Each GPU in another pass, so that none of them takes long.
        if gpu.uuid not in self._slow or (self._passes + gpu.index) % SLOW_EVERY == 0:
            self._slow[gpu.uuid] = slow_values(gpu) | self._violations(gpu, now)
        values = self._slow[gpu.uuid] | fast_values(gpu)
        if gpu.mig_mode:
            return [DeviceReading(gpu, None, now, values), *self._slices(gpu, now)]
        if gpu.gpm:
            self._sample_pipes((gpu.uuid, None), gpu.handle, now)
        return [DeviceReading(gpu, None, now, values)]

    def _slices(self, gpu: AgentGPU, now: float) -> list[DeviceReading]:
        found = []
        by_instance = {each.gpu_instance: each for each in reversed(gpu.instances)}
        for number, instance in sorted(by_instance.items()):
            if not gpu.gpm or self._sample_pipes((gpu.uuid, number), gpu.handle, now):
                found.append(DeviceReading(gpu, instance, now, _memory_values(instance.handle)))
        return found

    def _sample_pipes(self, key: Key, handle: Any, now: float) -> bool:
        """Whether the device, or the slice, is there to be sampled."""
        gpm = self._gpm.get(key) or self._gpm.setdefault(key, Gpm(handle, key[1], self.window_seconds))
        try:
            gpm.sample(now)
        except NVMLMissing:
            self._gpm.pop(key).close()
            self.moved = True
            return False
        return True

    def pipes(self, key: Key) -> Values | None:
        """Averages of pipe and link activity over the window, None where they are not told. Raises NVMLUnavailable."""
        gpm = self._gpm.get(key)
        try:
            return None if gpm is None or key[0] in self.lost else gpm.averages()
        except (GPULost, NVMLMissing):
            return None

    def _violations(self, gpu: AgentGPU, now: float) -> Values:
        """Share of the time since the last look in which power or heat held the clocks back."""
        times = ask(pynvml.nvmlDeviceGetFieldValues, gpu.handle, (_POWER_TIME, _THERMAL_TIME))
        if times is None or any(each.nvmlReturn != pynvml.NVML_SUCCESS for each in times):
            return {}
        power, thermal = (int(each.value.ullVal) * _NANOSECONDS for each in times)
        before, self._held[gpu.uuid] = self._held.get(gpu.uuid), (now, power, thermal)
        if before is None or now <= before[0] or power < before[1] or thermal < before[2]:
            return {}
        elapsed = now - before[0]
        return {
            Metric.POWER_VIOLATION_RATIO: min(1.0, (power - before[1]) / elapsed),
            Metric.THERMAL_VIOLATION_RATIO: min(1.0, (thermal - before[2]) / elapsed),
        }


Read = tuple[Metric, float, Callable[..., Any], tuple[Any, ...]]
_FAST: Final[tuple[Read, ...]] = (
    (Metric.SM_CLOCK, 1e6, pynvml.nvmlDeviceGetClockInfo, (pynvml.NVML_CLOCK_SM,)),
    (Metric.POWER, 1e-3, pynvml.nvmlDeviceGetPowerUsage, ()),
    (Metric.CLOCK_EVENTS, 1.0, pynvml.nvmlDeviceGetCurrentClocksEventReasons, ()),
)
_SLOW: Final[tuple[Read, ...]] = (
    (Metric.POWER_LIMIT, 1e-3, pynvml.nvmlDeviceGetEnforcedPowerLimit, ()),
    (Metric.TEMPERATURE, 1.0, pynvml.nvmlDeviceGetTemperature, (pynvml.NVML_TEMPERATURE_GPU,)),
    (
        Metric.ECC_UNCORRECTED,
        1.0,
        pynvml.nvmlDeviceGetTotalEccErrors,
        (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_AGGREGATE_ECC),
    ),
    (Metric.PCIE_LINK_GEN, 1.0, pynvml.nvmlDeviceGetCurrPcieLinkGeneration, ()),
    (Metric.PCIE_LINK_WIDTH, 1.0, pynvml.nvmlDeviceGetCurrPcieLinkWidth, ()),
)


def fast_values(gpu: AgentGPU) -> Values:
    """What a busy second can change."""
    values = _asked(gpu, _FAST) | _memory_values(gpu.handle)
    rates = None if gpu.mig_mode else ask(pynvml.nvmlDeviceGetUtilizationRates, gpu.handle)
    if rates is not None:
        values[Metric.GPU_UTIL], values[Metric.MEM_UTIL] = rates.gpu / 100, rates.memory / 100
    return values


def slow_values(gpu: AgentGPU) -> Values:
    """Limits, links and counters."""
    return _asked(gpu, _SLOW)


def energy_joules(gpu: AgentGPU) -> float | None:
    """Since the driver was loaded. Takes the driver 5 ms on an H200: now and then only."""
    millijoules = ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu.handle)
    return None if millijoules is None else millijoules * 1e-3


def _asked(gpu: AgentGPU, reads: tuple[Read, ...]) -> Values:
    found: Values = {}
    for metric, factor, function, arguments in reads:
        answer = ask(function, gpu.handle, *arguments)
        if answer is not None:
            found[metric] = answer * factor
    return found


def _memory_values(handle: Any) -> Values:
    total, used = memory(handle)
    known = {Metric.FB_TOTAL: total, Metric.FB_USED: used}
    return {metric: float(value) for metric, value in known.items() if value is not None}
