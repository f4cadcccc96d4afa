"""Tests on a mutated module, in a fork of this process: imports that no mutant changes are paid once."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, Final

from tools.mutations import Mutant

LONGEST_SECONDS: Final = 120
"""A mutant that runs longer hangs, and was noticed."""


class Outcome(Enum):
    NOTICED = "noticed"
    HUNG = "hung"
    SURVIVED = "survived"
    UNREACHED = "no test reaches it"

    @property
    def dead(self) -> bool:
        return self in (Outcome.NOTICED, Outcome.HUNG)

    @classmethod
    def of(cls, status: int) -> Outcome:
        if os.WIFSIGNALED(status):
            return cls.HUNG
        return cls.SURVIVED if os.WEXITSTATUS(status) == 0 else cls.NOTICED


@dataclass(frozen=True, slots=True)
class TestFile:
    path: str


def run_mutant(mutant: Mutant, files: Sequence[TestFile]) -> int:
    """Forks; the process ends with 0 where no test noticed anything."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_SECONDS)
        sys.meta_path.insert(0, _Mutated(mutant.module, compile(mutant.tree, mutant.path, "exec"), mutant.path))
        status = _tests([file.path for file in files])
    finally:
        os._exit(status)


def reached(file: TestFile, package: Path, rooms: Sequence[str]) -> dict[str, set[int]]:
    """Lines by module that the test file runs, and whether it passes at all. Raises RuntimeError where it does not."""
    with tempfile.TemporaryFile("w+") as found:
        pid = os.fork()
        if not pid:
            _traced(file, package, rooms, found)
        _, status = os.waitpid(pid, 0)
        if os.WEXITSTATUS(status):
            raise RuntimeError(f"{file.path} fails without any mutant")
        found.seek(0)
        lines: dict[str, set[int]] = defaultdict(set)
        for row in found.read().splitlines():
            module, line = row.split(":")
            lines[module].add(int(line))
        return dict(lines)


def _traced(file: TestFile, package: Path, rooms: Sequence[str], found: Any) -> None:
    here = tuple(f"{package}/{room}/" for room in rooms)
    hits: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(here):
            return None
        hits.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    status = 1
    try:
        sys.settrace(trace)
        status = _tests([file.path])
        sys.settrace(None)
        for name, line in sorted(hits):
            module = ".".join(Path(name).relative_to(package.parent).with_suffix("").parts)
            print(f"{module}:{line}", file=found)
        found.flush()
    finally:
        os._exit(status)


def _tests(paths: Sequence[str]) -> int:
    import pytest

    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    # Plugins that were imported before the fork can not be rewritten any more, which pytest warns of.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = [*quiet, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not integration"]
    return int(pytest.main([*options, *paths]))


class _Mutated(MetaPathFinder, Loader):
    """Gives one module its mutated code; leaves all others alone."""

    def __init__(self, name: str, code: CodeType, path: str) -> None:
        self._name, self._code, self._path = name, code, path

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, origin=self._path) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._path
        exec(self._code, module.__dict__)
