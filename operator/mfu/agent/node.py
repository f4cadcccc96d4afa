"""The GPUs of this node over time: open the driver, look, notice what changed, and go on whatever happens to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import pynvml

from mfu.agent import topology
from mfu.agent.attribution import HoldingContainer
from mfu.agent.energy import Energy
from mfu.agent.exposition import DeviceLine
from mfu.agent.gpunode import Found
from mfu.agent.health import Health, Record, RemappedRows, Verdict
from mfu.agent.inventory import AgentGPU, scan
from mfu.agent.nvml import GPULost, NVMLMissing, NVMLUnavailable, ask, close_library, open_library
from mfu.agent.sample import DeviceReading, Key, Sampler
from mfu.agent.topology import Topology
from mfu.agent.window import SampleWindow
from mfu.agent.xid import XidWatch
from mfu.observe.metric import Metric

log = logging.getLogger(__name__)

RESCAN_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 5.0


@dataclass(slots=True)
class Node:
    """`step(now)` once a second from one thread; `lines()` and `found()` from any."""

    window_seconds: float = 15.0
    agent_version: str = ""
    problem: str | None = "the driver has not been opened yet"
    stale_library: bool = False
    gpus: tuple[AgentGPU, ...] = ()
    driver_version: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sampler: Sampler | None = None
    _xids: XidWatch = field(default_factory=XidWatch)
    _topology: Topology | None = None
    _records: dict[str, Record] = field(default_factory=dict)
    _latest: dict[Key, DeviceReading] = field(default_factory=dict)
    _windows: dict[Key, SampleWindow] = field(default_factory=dict)
    _pipes: dict[Key, dict[Metric, float]] = field(default_factory=dict)
    _energy: dict[str, Energy] = field(default_factory=dict)
    _scanned_at: float | None = None
    _opened_at: float | None = None

    def step(self, now: float) -> None:
        """One pass. Never raises: a driver that goes away is opened again later, and readings stand still meanwhile."""
        try:
            with self._lock:
                if self._sampler is None and not self._open(now):
                    return
                self._pass(now)
        except NVMLUnavailable as error:
            self._lose_driver(error)
        except (NVMLMissing, GPULost) as error:
            # What no single GPU is to blame for, such as a count that fails with "Unknown Error".
            self._lose_driver(NVMLUnavailable(str(error)))

    def close(self) -> None:
        """Let go of the driver."""
        with self._lock:
            self._close_driver()

    def _open(self, now: float) -> bool:
        if self._opened_at is not None and now - self._opened_at < RETRY_SECONDS:
            return False
        self._opened_at = now
        self.driver_version = open_library()
        # A driver that was reloaded has forgotten its errors, and a reset has mended what needed one.
        self._records.clear()
        self._energy.clear()
        self._scanned_at = None
        self._sampler = Sampler((), self.window_seconds)
        self.problem, self.stale_library = None, False
        log.info("driver opened version=%s", self.driver_version)
        return True

    def _pass(self, now: float) -> None:
        sampler = self._sampler
        if sampler is None or sampler.moved or self._scanned_at is None or now - self._scanned_at >= RESCAN_SECONDS:
            sampler = self._rescan(now)
        lost_before = set(sampler.lost)
        readings = sampler.read(now)
        for xid in self._xids.take(now):
            log.warning("xid=%d gpu=%s", xid.number, xid.uuid)
            self._record(xid.uuid).note_xids((xid,))
        for uuid in sampler.lost - lost_before:
            log.warning("gpu lost uuid=%s", uuid)
        for reading in readings:
            with suppress(GPULost):
                self._note(reading, now)
        self._mark_lost(sampler)

    def _rescan(self, now: float) -> Sampler:
        gpus = scan(self.gpus)
        self._scanned_at = now
        known = self.gpus if self._sampler is None else self._sampler.gpus
        if self._sampler is not None and gpus == known and not self._sampler.moved and not self._sampler.lost:
            self._note_rows(gpus)
            return self._sampler
        log.info("gpus=%s", [(gpu.index, gpu.uuid, len(gpu.instances), gpu.lost) for gpu in gpus])
        if self._sampler is not None:
            self._sampler.close()
        self._sampler, self.gpus = Sampler(gpus, self.window_seconds), gpus
        self._xids.open(gpus)
        self._topology = topology.read(gpus)
        self._note_rows(gpus)
        self._forget_gone(gpus)
        return self._sampler

    def _note_rows(self, gpus: tuple[AgentGPU, ...]) -> None:
        for gpu in gpus:
            try:
                rows = None if gpu.lost else ask(pynvml.nvmlDeviceGetRemappedRows, gpu.handle)
            except GPULost:
                rows = None
            if rows is not None:
                self._record(gpu.uuid).rows = RemappedRows(pending=bool(rows[2]), failed=bool(rows[3]))

    def _forget_gone(self, gpus: tuple[AgentGPU, ...]) -> None:
        present: set[Key] = {(gpu.uuid, None) for gpu in gpus}
        present |= {(gpu.uuid, each.gpu_instance) for gpu in gpus for each in gpu.instances}
        for key in self._latest.keys() - present:
            del self._latest[key], self._windows[key]
            self._pipes.pop(key, None)

    def _note(self, reading: DeviceReading, now: float) -> None:
        record = self._record(reading.gpu.uuid)
        if reading.instance is None:
            record.note(reading.gpu, reading.values, now)
            reading = replace(reading, values={**reading.values, **self._kept(reading, record)})
        self._latest[reading.key] = reading
        self._windows.setdefault(reading.key, SampleWindow(self.window_seconds)).add(now, reading.values)

    def _kept(self, reading: DeviceReading, record: Record) -> dict[Metric, float]:
        """What is known by remembering: the last Xid, and energy."""
        gpu = reading.gpu
        found: dict[Metric, float] = {}
        if self._xids.watches(gpu.uuid):
            found[Metric.XID] = float(record.last_xid)
        joules = self._energy.setdefault(gpu.uuid, Energy()).advance(gpu, reading)
        return found if joules is None else {**found, Metric.ENERGY: joules}

    def _mark_lost(self, sampler: Sampler) -> None:
        if sampler.lost:
            self.gpus = tuple(replace(gpu, lost=gpu.lost or gpu.uuid in sampler.lost) for gpu in sampler.gpus)

    def _record(self, uuid: str) -> Record:
        return self._records.setdefault(uuid, Record())

    def _lose_driver(self, error: NVMLUnavailable) -> None:
        with self._lock:
            if self.problem is None or self._sampler is not None:
                log.warning("driver unavailable: %s", error)
            self.problem, self.stale_library = str(error), error.stale_library
            self._close_driver()

    def _close_driver(self) -> None:
        if self._sampler is not None:
            self._sampler.close()
            self._xids.close()
            close_library()
        self._sampler = None

    def lines(self, pods: Mapping[Key, tuple[HoldingContainer, ...]], now: float) -> list[DeviceLine]:
        """Every device as it is printed: means over the window, and a lost one as it was last."""
        with self._lock:
            self._read_pipes()
            gpus = {gpu.uuid: gpu for gpu in self.gpus}
            return [
                DeviceLine(
                    gpu=gpus.get(uuid, reading.gpu),
                    instance=reading.instance,
                    observed_at=reading.observed_at,
                    values=self._windows[(uuid, number)].mean() | self._pipes.get((uuid, number), {}),
                    pods=pods.get((uuid, number), ()),
                    healthy=self._healthy(gpus.get(uuid, reading.gpu), now),
                )
                for (uuid, number), reading in self._latest.items()
            ]

    def _read_pipes(self) -> None:
        """Of a device that does not answer the last averages stay, with the time of its last sample."""
        for key in self._latest:
            # The next pass finds out what is lost and says so.
            with suppress(NVMLUnavailable):
                told = None if self._sampler is None else self._sampler.pipes(key)
                if told is not None:
                    self._pipes[key] = told

    def _healthy(self, gpu: AgentGPU, now: float) -> bool | None:
        health = self._verdict(gpu, now).health
        return None if self.problem is not None or health is Health.UNKNOWN else health is Health.HEALTHY

    def _verdict(self, gpu: AgentGPU, now: float) -> Verdict:
        return self._records.get(gpu.uuid, Record()).verdict(now, lost=gpu.lost)

    def found(self, now: float) -> Found:
        """What the GPUNode tells."""
        with self._lock:
            return Found(
                gpus=self.gpus,
                values={uuid: reading.values for (uuid, number), reading in self._latest.items() if number is None},
                verdicts={gpu.uuid: self._verdict(gpu, now) for gpu in self.gpus},
                topology=self._topology,
                driver_version=self.driver_version,
                agent_version=self.agent_version,
                problem=self.problem,
            )

    @property
    def profiling(self) -> bool:
        """Whether any GPU gives pipe activity."""
        return self.problem is None and any(gpu.gpm for gpu in self.gpus)
