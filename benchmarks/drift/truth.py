"""Jobs whose efficiency falls by 8 % for a planted reason, as telemetry would show them. Knows nothing of any detector.

Every ten seconds a job's GPUs are read and its progress is counted. The rate of a job is its level times a scatter of
0.3 to 3 % from minute to minute, as recordings show it, part of which carries over to the next minute; now and then it
saves a checkpoint for half a minute. Another version or size means new pods, which start for two to four minutes, while
the declaration is written up to three minutes before them or after them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import METRICS, Counter, GPUIdentity, GPUKey, Metric, ProgressReading, WorkloadSeries
from tests.builders.readings import HEALTHY

Floats = NDArray[np.float64]
EVERY: Final = 10.0
WINDOW: Final = 600.0
LOSS: Final = 0.08
MFU: Final = 0.42
PEAK: Final = 989.4e12
GPUS_PER_NODE: Final = 8
TENSOR_PER_MFU: Final = 1 / 0.765
SCATTER: Final = (0.003, 0.03)
"""Relative standard deviation of a minute, least and most."""
CHECKPOINT_EVERY, CHECKPOINT_SECONDS = 3_600.0, 30.0
_HEALTHY: Final = {
    **{metric: value for metric, value in HEALTHY.items() if metric is not Metric.TENSOR_ACTIVE},
    Metric.NVLINK_TX: 2.1e10,
    Metric.NVLINK_RX: 2.1e10,
    Metric.PCIE_TX: 4e8,
    Metric.PCIE_RX: 4e8,
    Metric.PCIE_LINK_WIDTH: 16.0,
}


class Planted(StrEnum):
    """What the regression is, in the words of the report."""

    NONE = "nothing"
    VERSION = "a version"
    SLOW_NODE = "a slow node"
    LOST_LINK = "a lost link"
    SCALE_OUT = "a scale-out"
    PRODUCT = "one product of two"


@dataclass(frozen=True, slots=True)
class Story:
    """One planted regression. Minutes are from the start; `scatter` and `carried` are of one minute's rate."""

    planted: Planted
    seed: int
    scatter: float
    carried: float
    onset: int
    nodes: int = 2
    variant: int = 0
    """Which of the ways in which it may show."""

    @property
    def changes_pods(self) -> bool:
        return self.planted in (Planted.VERSION, Planted.SCALE_OUT)


def stories(each_kind: int, seed: int = 0) -> list[Story]:
    """So many of each kind, their noise spread evenly over what recordings show."""
    random = np.random.default_rng(seed)
    kinds = [each for each in Planted if each is not Planted.NONE]
    return [
        Story(
            planted=kind,
            seed=int(random.integers(2**31)),
            scatter=float(np.linspace(*SCATTER, each_kind)[number]),
            carried=float(random.uniform(0.0, 0.5)),
            onset=int(random.integers(45, 120)),
            nodes=int(random.choice([2, 3, 4])),
            variant=number % 2,
        )
        for kind in kinds
        for number in range(each_kind)
    ]


def scatter(random: np.random.Generator, minutes: int, *, sd: float, carried: float) -> Floats:
    """Relative deviations minute by minute, with the lag-one correlation `carried` and the standard deviation `sd`."""
    fresh = random.normal(size=minutes)
    found = np.empty(minutes)
    state = float(fresh[0])
    for minute in range(minutes):
        found[minute] = state
        state = carried * state + (1 - carried**2) ** 0.5 * float(fresh[minute])
    return sd * found


def steady(seed: int, minutes: int) -> Floats:
    """MFU of a job to which nothing happens, minute by minute: scatter, the warmth of the day, a pause an hour."""
    random = np.random.default_rng(seed)
    noise = scatter(random, minutes, sd=float(random.uniform(*SCATTER)), carried=float(random.uniform(0.0, 0.5)))
    at = np.arange(minutes)
    day = 0.005 * np.sin(2 * np.pi * (at / 1440 + random.uniform()))
    pauses = np.where((at + int(random.integers(60))) % 60 == 0, random.uniform(0.4, 0.9), 1.0)
    return np.asarray(random.uniform(0.15, 0.6) * (1 + noise + day) * pauses)


@dataclass(slots=True)
class TrueJob:
    """One job over time. Seconds are from the start of the story."""

    name: str
    story: Story
    product: str = "NVIDIA H100 80GB HBM3"
    regresses: bool = True
    minutes: int = 0
    flops_per_token: float = 1.0
    _rate: Floats = field(init=False)
    _tokens: Floats = field(init=False)
    _noise: np.random.Generator = field(init=False)
    declared_at: float = field(init=False)
    pods_at: float = field(init=False)
    starts_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        story, salt = self.story, sum(map(ord, self.name))
        random = np.random.default_rng([story.seed, salt])
        self._noise = np.random.default_rng([story.seed, salt, 1])
        self.pods_at = 60.0 * story.onset
        self.declared_at = self.pods_at + 60.0 * float(random.integers(-3, 4))
        self.starts_seconds = float(random.integers(120, 241))
        minute = scatter(random, self.minutes + 1, sd=story.scatter, carried=story.carried)
        at = EVERY * np.arange(int(60 * self.minutes / EVERY) + 1, dtype=np.float64)
        level = np.where(self._fell(at), 1.0 - LOSS, 1.0) * (1.0 + minute[(at // 60).astype(int)])
        saves = (at + float(random.uniform(0, CHECKPOINT_EVERY))) % CHECKPOINT_EVERY < CHECKPOINT_SECONDS
        self._rate = np.where(saves | self._starting(at), 0.0, level)
        flops = MFU * PEAK * self._rate * np.where(self._grown(at), 2, 1) * story.nodes * GPUS_PER_NODE
        self._tokens = np.concatenate(([0.0], np.cumsum(flops[1:] * EVERY))) / self.flops_per_token

    def _fell(self, at: Floats) -> NDArray[np.bool_]:
        return (at >= self.pods_at) & self.regresses

    def _starting(self, at: Floats) -> NDArray[np.bool_]:
        new = (at >= self.pods_at) & (at < self.pods_at + self.starts_seconds)
        return new & self.story.changes_pods

    def _grown(self, at: Floats | float) -> NDArray[np.bool_]:
        return np.asarray(at >= self.pods_at) & (self.story.planted is Planted.SCALE_OUT)

    def nodes(self, at: float) -> list[str]:
        count = self.story.nodes * (2 if bool(self._grown(at)) else 1)
        return [f"{self.name}-n{number}" for number in range(count)]

    def pod_generation(self, at: float) -> int:
        return int(self.story.changes_pods and at >= self.pods_at)

    @property
    def culprit(self) -> tuple[str, str | None] | None:
        """Node, and GPU where it is one of several, that is to blame."""
        if not self.regresses or self.story.planted not in (Planted.SLOW_NODE, Planted.LOST_LINK):
            return None
        node = f"{self.name}-n{self.story.seed % self.story.nodes}"
        if self.story.planted is Planted.SLOW_NODE:
            return node, None
        return node, f"GPU-{node}-{self.story.seed % GPUS_PER_NODE}"

    def series(self, at: float, *, known_since: float, offset: float) -> WorkloadSeries:
        """What a store that began at `known_since` holds at `at`; times are shifted by `offset`."""
        born = self.pods_at if self.pod_generation(at) else 0.0
        first = max(at - WINDOW, known_since, born)
        rows = np.arange(int(np.ceil(first / EVERY)), int(at // EVERY) + 1, dtype=np.int64)
        times = offset + EVERY * rows.astype(np.float64)
        devices = [(node, f"GPU-{node}-{index}") for node in self.nodes(at) for index in range(GPUS_PER_NODE)]
        values = self._values(rows, devices)
        names = tuple(
            GPUIdentity(GPUKey(gpu), self.product, node=node, index=gpu[-1], namespace="team", pod=self.pod(node, at))
            for node, gpu in devices
        )
        pod = self.pod(self.nodes(at)[0], at)
        base = self._tokens[int(np.ceil(born / EVERY))]
        progress = tuple(
            ProgressReading(
                "team",
                pod,
                "report",
                offset + EVERY * row,
                {Counter.TRAINED_TOKENS: float(self._tokens[row] - base)},
                scope_total=True,
            )
            for row in rows.tolist()
        )
        return WorkloadSeries(names, times, values, EVERY, progress, ("truth",))

    def pod(self, node: str, at: float) -> str:
        return f"{node}-{self.pod_generation(at)}"

    def _values(self, rows: NDArray[np.int64], devices: list[tuple[str, str]]) -> Floats:
        values = np.full((len(rows), len(devices), METRICS), np.nan)
        for metric, usual in _HEALTHY.items():
            values[..., metric] = usual
        rate = self._rate[rows][:, None]
        values[..., Metric.TENSOR_ACTIVE] = MFU * TENSOR_PER_MFU * rate
        values[..., Metric.SM_ACTIVE] *= rate
        fell = self._fell(EVERY * rows.astype(float))
        self._plant(values, fell, devices)
        noisy = [each for each in _HEALTHY if each not in (Metric.CLOCK_EVENTS, Metric.PCIE_LINK_WIDTH)]
        values[..., noisy] *= 1 + 0.01 * self._noise.normal(size=(len(rows), len(devices), len(noisy)))
        shares = [Metric.SM_ACTIVE, Metric.GR_ENGINE_ACTIVE, Metric.GPU_UTIL]
        values[..., shares] = np.clip(values[..., shares], 0.0, 1.0)
        return values

    def _plant(self, values: Floats, fell: NDArray[np.bool_], devices: list[tuple[str, str]]) -> None:
        """How the regression shows in the counters: a step lasts 8.7 % longer, and somebody is the reason."""
        hit = np.flatnonzero(fell)
        if not len(hit):
            return
        slower = 1 - LOSS
        if self.story.planted is Planted.PRODUCT:
            values[hit, :, Metric.SM_CLOCK] *= slower
            values[hit, :, Metric.TENSOR_ACTIVE] /= slower
            values[hit, :, Metric.SM_ACTIVE] /= slower
        if self.culprit is None:
            return
        node, gpu = self.culprit
        mine = [number for number, (on, uuid) in enumerate(devices) if on == node and gpu in (None, uuid)]
        for metric, becomes in self._signs().items():
            for number in mine:
                values[hit, number, metric] *= becomes

    def _signs(self) -> dict[Metric, float]:
        """What the culprit's readings become, relative to what they were beside its peers."""
        slower = 1 - LOSS
        if self.story.planted is Planted.SLOW_NODE and self.story.variant == 0:
            # Clocked lower: at work all the time, while its peers wait.
            return {Metric.SM_CLOCK: slower, Metric.TENSOR_ACTIVE: 1 / slower, Metric.SM_ACTIVE: 1 / slower}
        if self.story.planted is Planted.SLOW_NODE:
            # A late host: its GPUs have nothing to do while the others hold the collective open.
            return {Metric.GR_ENGINE_ACTIVE: slower}
        if self.story.variant == 0:
            # NVLink is gone: what this GPU exchanges goes over PCIe.
            return {Metric.NVLINK_TX: 0.05, Metric.NVLINK_RX: 0.05, Metric.PCIE_TX: 40.0}
        return {Metric.PCIE_LINK_WIDTH: 0.5}
