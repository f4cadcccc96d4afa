"""Child processes that cannot outlive this one, in groups of their own, with a log file each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launch.py")
# Go's collector looks four times less often: an API server starts with 2.5 CPU-seconds instead of 4, for 60 MiB more.
_GOGC = "400"


class StartFailed(RuntimeError):
    """A child process ended or stayed silent when it should have become ready; the message ends with its log."""


def spawn(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in its own process group, to be killed by the kernel when this process dies (Linux)."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *map(str, command)]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            launcher, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )

    return _spawner(os.getpid()).submit(start).result()


@cache
def _spawner(_process: int) -> ThreadPoolExecutor:
    # The kernel sends the parent-death signal when the *thread* that forked ends. One thread that lives as long
    # as the process does the forking, so that a caller's short-lived thread does not take its children with it.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def end_group(process: subprocess.Popen[bytes], *, grace_seconds: float, first: int = signal.SIGTERM) -> None:
    """End a process and all of its group: `first`, then SIGKILL after the grace. Does nothing when it is gone."""
    if process.poll() is not None:
        return
    _signal_group(process.pid, first)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    # Also after a clean end of the leader: a grandchild may have stayed behind in the group.
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Child:
    """One long-running program of the control plane: restartable, its log appended to one file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        home: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        # A home of its own, because kwok for one reads settings from the user's; and etcd takes every flag from ETCD_….
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
        self._env = {"GOGC": _GOGC, **inherited, "HOME": str(home), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def crashed(self) -> bool:
        """Whether it ended although nobody stopped it."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start it; does nothing while it runs."""
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            self._process = spawn(self.command, env=self._env, stdout=log, stderr=subprocess.STDOUT)

    def stop(self, *, grace_seconds: float = 3.0) -> None:
        """End it and its group; returns when it is gone."""
        if self._process is not None:
            end_group(self._process, grace_seconds=grace_seconds)
        self._process = None

    def wait_ready(self, ready: Callable[[], bool], *, within_seconds: float = 60.0) -> None:
        """Return once `ready()`; raises StartFailed when the program ends first or the time is over."""
        deadline = time.monotonic() + within_seconds
        while not ready():
            if self.pid is None:
                raise StartFailed(f"{self.name} ended while starting; {self.log}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} not ready after {within_seconds:.0f} s; {self.log}:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return "(no log)"
        with self.log.open("rb") as handle:
            handle.seek(max(0, self.log.stat().st_size - 64 * 1024))
            return "\n".join(handle.read().decode(errors="replace").splitlines()[-lines:])
