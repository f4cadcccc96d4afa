"""The agent as a process: a pass a second, the kubelet and the API server beside it, and a page for scrapes."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mfu.agent import exposition, server
from mfu.agent.attribution import Attribution
from mfu.agent.gpunode import status
from mfu.agent.node import Node
from mfu.agent.publish import Publisher
from mfu.telemetry.agent.names import INTERVAL, PROFILING

log = logging.getLogger(__name__)

STUCK_SECONDS: Final = 60.0
LAST_WORDS_SECONDS: Final = 5.0
ERRAND_SECONDS: Final = 2.0
_STATM: Final = Path("/proc/self/statm")


@dataclass(slots=True)
class NodeAgent:
    """Everything that runs on one node. `attribution` and `publisher` are None where they are switched off."""

    node: Node
    name: str
    interval_seconds: float = 1.0
    attribution: Attribution | None = None
    publisher: Publisher | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time
    failures: int = 0
    _stepped_at: float | None = None
    _pass_seconds: float = 0.0

    def run(self, host: str, port: int) -> None:
        """Until `stop` is set. Raises OSError where the port is taken."""
        with server.serve(host, port, metrics=self.page, healthy=self.healthy, ready=self.ready) as taken:
            log.info("serving port=%d node=%s interval=%gs", taken, self.name, self.interval_seconds)
            errands = threading.Thread(target=self._run_errands, name="errands", daemon=True)
            errands.start()
            try:
                self._run_passes()
            finally:
                self.stop.set()
                errands.join(timeout=LAST_WORDS_SECONDS)
                self.node.close()

    def _run_passes(self) -> None:
        self.step()
        give_memory_back()
        self.stop.wait(self.interval_seconds)
        due = time.monotonic()
        while not self.stop.is_set():
            self.step()
            due = max(due + self.interval_seconds, time.monotonic())
            self.stop.wait(due - time.monotonic())

    def step(self) -> None:
        """One pass over the GPUs."""
        began = time.monotonic()
        self.node.step(self.clock())
        self._stepped_at = time.monotonic()
        self._pass_seconds = self._stepped_at - began

    def _run_errands(self) -> None:
        """What may block on others must not delay a sample."""
        while not self.stop.wait(ERRAND_SECONDS):
            try:
                self.errands()
            except Exception:
                # The one guard of this loop: without it a thread would end unseen, and the GPUNode go stale for ever.
                self.failures += 1
                log.exception("errands broke off")

    def errands(self) -> None:
        now = self.clock()
        if self.attribution is not None:
            self.attribution.refresh(now)
        if self.publisher is not None and self._stepped_at is not None:
            self.publisher.offer(status(self.node.found(now)), now)

    def page(self) -> bytes:
        """What a scrape gets."""
        now = self.clock()
        pods = {} if self.attribution is None else self.attribution.pods(self.node.gpus)
        return exposition.render(self.name, self.node.lines(pods, now), self._own())

    def _own(self) -> Mapping[str, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            PROFILING: float(self.node.profiling),
            INTERVAL: self.interval_seconds,
            exposition.NVML_UP: float(self.node.problem is None),
            exposition.PASS_SECONDS: self._pass_seconds,
            exposition.CPU_SECONDS: used.ru_utime + used.ru_stime,
            exposition.RESIDENT: float(_resident_bytes()),
            exposition.FAILURES: float(self.failures),
        }
        if self.attribution is not None and self.attribution.available is not None:
            found[exposition.POD_RESOURCES] = float(self.attribution.available)
        if self.publisher is not None:
            found[exposition.WRITES] = float(self.publisher.writes)
        return found

    def healthy(self) -> str | None:
        """Only what a restart of the container mends."""
        if self.node.stale_library:
            return f"the driver was replaced, its library has to be loaded anew: {self.node.problem}"
        if self._stepped_at is not None and time.monotonic() - self._stepped_at > STUCK_SECONDS:
            return f"no pass over the GPUs has ended for {STUCK_SECONDS:.0f} s: the driver does not answer"
        return None

    def ready(self) -> str | None:
        return self.node.problem


def give_memory_back() -> None:
    """What starting took goes back to the system: 10 MiB where pynvml had to be compiled (glibc; else nothing)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
