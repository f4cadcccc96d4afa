"""Tests on mutated functions, in forks of a process that has collected them once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from tools.mutations import Mutant

LONGEST_SECONDS: Final = 60
"""A mutant that runs longer hangs, and was noticed."""
SHOWN_EVERY: Final = 50


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
class Result:
    mutant: Mutant
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Reach:
    """One collected test: the lines that it runs by file, and how long it takes."""

    item: pytest.Item
    lines: dict[str, set[int]]
    seconds: float


class Hunt:
    """A pytest plugin that takes the place of running the tests once."""

    def __init__(self, mutants: Sequence[Mutant], prefixes: tuple[str, ...], jobs: int) -> None:
        self._mutants, self._prefixes, self._jobs = mutants, prefixes, jobs
        self.results: list[Result] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reaches = sorted((self._reach(item) for item in session.items), key=lambda each: each.seconds)
        waiting, running = list(reversed(self._mutants)), dict[int, Mutant]()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop()
                items = [each.item for each in reaches if mutant.lines & each.lines.get(mutant.path, set())]
                if mutant.number is None and not items:
                    self._count(mutant, Outcome.UNREACHED)
                    continue
                running[_forked(mutant, items or [each.item for each in reaches])] = mutant
            if running:
                pid, status = os.wait()
                self._count(running.pop(pid), Outcome.of(status))
        self.results.sort(key=lambda each: (each.mutant.module, each.mutant.line, each.mutant.change))
        return True

    def _count(self, mutant: Mutant, outcome: Outcome) -> None:
        self.results.append(Result(mutant, outcome))
        if len(self.results) % SHOWN_EVERY == 0:
            print(f"{len(self.results)} of {len(self._mutants)}", file=sys.stderr, flush=True)

    def _reach(self, item: pytest.Item) -> _Reach:
        """Raises RuntimeError where the test fails without any mutant."""
        lines: dict[str, set[int]] = defaultdict(set)

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if not frame.f_code.co_filename.startswith(self._prefixes):
                return None
            lines[frame.f_code.co_filename].add(frame.f_lineno)
            return trace

        began = time.monotonic()
        sys.settrace(trace)
        try:
            passed = _passes(item)
        finally:
            sys.settrace(None)
        if not passed:
            raise RuntimeError(f"{item.nodeid} fails without any mutant")
        return _Reach(item, dict(lines), time.monotonic() - began)


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _forked(mutant: Mutant, items: Sequence[pytest.Item]) -> int:
    """The process ends with 0 where no test noticed anything."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_SECONDS)
        _install(mutant)
        status = 0 if all(_passes(item) for item in items) else 1
    finally:
        os._exit(status)


def _install(mutant: Mutant) -> None:
    """The changed code in the function that everybody holds, or the changed number wherever it was imported to."""
    module = sys.modules[mutant.module]
    if mutant.number is not None:
        name, value = mutant.number
        known = getattr(module, name)
        for other in list(sys.modules.values()):
            if getattr(other, name, None) is known:
                setattr(other, name, value)
        return
    code = next(
        each for each in _codes(compile(mutant.tree, mutant.path, "exec")) if each.co_qualname == mutant.function
    )
    _function(module, mutant.function).__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _function(module: Any, qualified: str) -> FunctionType:
    """A function, method, property or class method by its qualified name, behind whatever wraps it."""
    found: Any = module
    for part in qualified.split("."):
        found = vars(found)[part] if isinstance(found, type) else getattr(found, part)
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    found = getattr(found, "__wrapped__", found)
    if not isinstance(found, FunctionType):
        raise TypeError(f"{qualified} is no function")
    return found
