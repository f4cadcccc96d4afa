"""A parent that has imported `mfu` once and forks whole programs of it: `python -m e2e.testbed.warm SOCKET`.

What is saved is Python's start and the imports, about 1.6 seconds of a processor a program, and nothing else. Each fork
is a process of its own in a group of its own, with its own log, home and signals; it runs `mfu` from its arguments on,
builds its own connections, watches and loop, and dies of SIGKILL as any other. The parent has one thread and no loop of
its own when it forks, so a fork finds nothing of another's.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from e2e.testbed.cluster.launch import PR_SET_PDEATHSIG
from e2e.testbed.cluster.process import Child, StartFailed
from e2e.testbed.cluster.waiting import wait_until

_IMPORTED: Final = ("mfu.cli.main", "mfu.cli.operator", "mfu.cli.release")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy starts a pool of threads when it is imported."""


class Forked:
    """A forked program, known by a descriptor that stays its own even when its number is given to another process."""

    def __init__(self, name: str, pid: int, log: Path) -> None:
        self.name, self.log = name, log
        self._pid = pid
        self._descriptor = os.pidfd_open(pid)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return None if select.select([self._descriptor], [], [], 0)[0] else self._pid

    def wait_ready(self, ready: Callable[[], bool], *, within_seconds: float) -> None:
        """Return once `ready()`; raises StartFailed when it ends first or the time is over."""
        deadline = time.monotonic() + within_seconds
        while not ready():
            if self.pid is None or time.monotonic() > deadline:
                raise StartFailed(f"{self.name} did not become ready; {self.log}:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """By SIGKILL, whatever it was doing; returns when it is gone."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
        wait_until(lambda: self.pid is None, what=f"{self.name} gone", every_seconds=0.01)
        os.close(self._descriptor)


class Warm:
    """The parent, from the process that asks it for programs."""

    def __init__(self, folder: Path) -> None:
        self._socket, self._folder = folder / "warm.sock", folder
        command: list[str | Path] = [sys.executable, "-m", "e2e.testbed.warm", self._socket]
        self._child = Child("warm", command, log=folder / "warm.log", home=folder, environment=_ONE_THREAD)

    @contextmanager
    def run(self) -> Iterator[Warm]:
        """Ready to fork when the block begins; what it forked ends with it."""
        self._child.start()
        try:
            self._child.wait_ready(self._socket.exists)
            yield self
        finally:
            self._child.stop()

    def fork(self, name: str, *arguments: str | Path) -> Forked:
        """`mfu` with these arguments, as a process of its own."""
        log = self._folder / f"{name}.log"
        asked = {"arguments": [str(each) for each in arguments], "log": str(log), "home": str(self._folder)}
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._socket))
            line.sendall(json.dumps(asked).encode() + b"\n")
            answer = line.makefile().readline()
        if not answer:
            raise StartFailed(f"{name} was not forked:\n{self._child.log_tail()}")
        return Forked(name, int(answer), log)


def serve(path: Path) -> None:
    """Fork what is asked for, for ever."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    # Who has died is gone at once: a zombie would still look like a process.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "threads do not survive a fork"
    with socket.socket(socket.AF_UNIX) as listening:
        # There once it listens, and not before.
        unheard = path.with_suffix(".new")
        listening.bind(str(unheard))
        listening.listen()
        unheard.rename(path)
        while True:
            line, _ = listening.accept()
            with line:
                _answer(line, listening)


def _answer(line: socket.socket, listening: socket.socket) -> None:
    asked = json.loads(line.makefile().readline())
    pid = os.fork()
    if pid == 0:
        listening.close()
        line.close()
        _become(asked)
    line.sendall(f"{pid}\n".encode())


def _become(asked: dict[str, Any]) -> NoReturn:
    """The program that was asked for; ends with it, and with its parent."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ["HOME"] = asked["home"]
    sys.argv = ["mfu", *asked["arguments"]]
    code: Any = 1
    try:
        importlib.import_module("mfu.cli.main").run()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing that the parent registered for its own end is to run here.
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
