"""Energy of one GPU: the driver's counter now and then, carried on by the power in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.agent.inventory import AgentGPU
from mfu.agent.sample import DeviceReading, energy_joules
from mfu.observe.metric import Metric

ENERGY_SECONDS: Final = 60.0
"""Between readings of the counter: each takes the driver 5 ms on an H200."""


@dataclass(slots=True)
class Energy:
    """A counter that is as fresh as the readings beside it and never goes back: one that stands still tells readers
    that the device was not read."""

    joules: float | None = None
    at: float = 0.0
    read_at: float | None = None

    def advance(self, gpu: AgentGPU, reading: DeviceReading) -> float | None:
        """Joules at the reading. Raises GPULost, NVMLUnavailable."""
        now, power = reading.observed_at, reading.values.get(Metric.POWER)
        if self.joules is not None and power is not None:
            self.joules += power * max(0.0, now - self.at)
        self.at = now
        # Every GPU in another second: the counter takes the driver long.
        if self.read_at is None or now - self.read_at >= ENERGY_SECONDS + gpu.index:
            counted = energy_joules(gpu)
            self.read_at = now
            if counted is not None:
                self.joules = max(counted, self.joules or 0.0)
        return self.joules
