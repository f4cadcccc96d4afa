"""The operator as a process of its own, and what the system and its metrics page say of it."""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child

AGES: Final = 'mfu_operator_judgement_age_seconds{quantile="%s"}'
OLDEST: Final = AGES % "1"
SLOW_READERS: Final = 4


def cpu_seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    pid: int
    port: int

    def page(self) -> dict[str, float]:
        """Its own metrics by name and labels; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return {}
        rows = (line.rpartition(" ") for line in text.splitlines() if line.startswith("mfu_operator_"))
        return {name: float(value) for name, _, value in rows}

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.pid)

    def peak_mib(self) -> float:
        """Since `forget_peak`, or since it began."""
        return self._mib("VmHWM:")

    def resident_mib(self) -> float:
        return self._mib("VmRSS:")

    def _mib(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextmanager
def operator(kubeconfig: Path, folder: Path, exporters_port: int | None) -> Iterator[Running]:
    """With the chart's settings but for addresses: leases, telemetry and writes are real."""
    (port,) = free_ports(1)
    config, log = folder / "config.yaml", folder / "operator.log"
    config.write_text(yaml.safe_dump(_config(port, exporters_port)))
    command = [sys.executable, "-m", "mfu", "operator", f"--kubeconfig={kubeconfig}", f"--config={config}"]
    child = Child("operator", command, log=log, home=folder)
    child.start()
    try:
        if child.pid is None:
            raise RuntimeError("the operator did not start")
        yield Running(child.pid, port)
    finally:
        child.stop()


def _config(port: int, exporters_port: int | None) -> dict[str, Any]:
    dcgm: dict[str, Any] = {"enabled": False}
    if exporters_port is not None:
        dcgm = {"urlTemplate": f"http://127.0.0.1:{exporters_port}/{{node}}", "scrapeIntervalSeconds": 30}
    return {
        "server": {"host": "127.0.0.1", "port": port},
        "leaderElection": {"namespace": "default"},
        "dcgm": dcgm,
    }


@dataclass(slots=True)
class Sampled:
    """One phase as seen from outside."""

    operator: Running
    beside: Mapping[str, int]
    """Processes on the same cores, by name."""
    began: float = field(default_factory=time.monotonic)
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU-seconds of each when the phase began."""
    ages: list[float] = field(default_factory=list)
    oldest: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self.operator.forget_peak()
        self.began, self.cpu = time.monotonic(), self._cpu()

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds_of(pid) for name, pid in {"operator": self.operator.pid, **self.beside}.items()}

    def sample(self) -> None:
        page = self.operator.page()
        self.ages += [page[AGES % "0.99"]] if AGES % "0.99" in page else []
        self.oldest += [page[OLDEST]] if OLDEST in page else []

    def cores(self) -> dict[str, float]:
        """How many each process got since the phase began."""
        seconds = time.monotonic() - self.began
        return {name: round((now - self.cpu[name]) / seconds, 3) for name, now in self._cpu().items()}


@contextmanager
def slow_readers(port: int) -> Iterator[None]:
    """Who asks for the metrics page and does not read it."""
    with ExitStack() as opened:
        for _ in range(SLOW_READERS):
            reader = opened.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with suppress(OSError):
                reader.connect(("127.0.0.1", port))
                reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        yield
