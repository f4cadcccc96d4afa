"""Tests on mutated functions, in forks of a process that has collected them once."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from tools.mutations import Mutant, changed

LEAST_SECONDS: Final = 2.0
SLOWER: Final = 3.0
"""A mutant hangs, and was noticed, when a test takes so many times the processor time that it took, traced, without."""
MOST_BYTES: Final = 3 * 1024**3 // 2
"""Memory of one mutant: what grows without end fails instead of taking the machine with it."""
SHOWN_EVERY: Final = 25
KEPT_WARM: Final = ("units", "hardware", "workload", "api", "predict", "observe")
"""Rooms whose caches hold nothing of `decide` and `act`: they may not import them."""


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
    by: Path | None = None
    """The file of the test that noticed it."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """One collected test: the lines that it runs by file, and the processor time that it takes."""

    item: pytest.Item
    lines: dict[str, set[int]]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Running:
    """A mutant at work. `told` is the end of a pipe that says which of `tests` noticed it."""

    mutant: Mutant
    tests: Sequence[_Reach]
    told: int


class Hunt:
    """A pytest plugin that takes the place of running the tests once."""

    def __init__(
        self, mutants: Sequence[Mutant], prefixes: tuple[str, ...], jobs: int, ended: Callable[[Result], None]
    ) -> None:
        self._mutants, self._prefixes, self._jobs, self._told = mutants, prefixes, jobs, ended
        self._noticed: dict[str, Counter[str]] = defaultdict(Counter)
        self.results: list[Result] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reaches = sorted((self._reach(item) for item in session.items), key=lambda each: each.seconds)
        _say(f"{len(reaches)} tests, {sum(each.seconds for each in reaches):.0f} s")
        waiting, running = list(reversed(self._mutants)), dict[int, _Running]()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                mutant = waiting.pop()
                tests = self._tests(mutant, reaches)
                if not tests:
                    self._count(mutant, Outcome.UNREACHED)
                    continue
                pid, told = _forked(mutant, tests)
                running[pid] = _Running(mutant, tests, told)
            if running:
                pid, status = os.wait()
                self._ended(running.pop(pid), status)
        return True

    def _tests(self, mutant: Mutant, reaches: Sequence[_Reach]) -> list[_Reach]:
        """Those that can notice it; first those that noticed something in the same function, then the fastest."""
        if mutant.number is None:
            found = [each for each in reaches if mutant.lines & each.lines.get(mutant.path, set())]
        else:
            holders = _holders(mutant)
            found = [each for each in reaches if holders & each.lines.keys()]
        known = self._noticed[f"{mutant.module} {mutant.function}"]
        return sorted(found, key=lambda each: (-known[each.item.nodeid], each.seconds))

    def _ended(self, ended: _Running, status: int) -> None:
        with os.fdopen(ended.told) as told:
            which = told.read()
        by = None
        if which:
            noticed = ended.tests[int(which)].item
            self._noticed[f"{ended.mutant.module} {ended.mutant.function}"][noticed.nodeid] += 1
            by = noticed.path
        self._count(ended.mutant, Outcome.of(status), by)

    def _count(self, mutant: Mutant, outcome: Outcome, by: Path | None = None) -> None:
        self.results.append(Result(mutant, outcome, by))
        self._told(self.results[-1])
        if not outcome.dead:
            _say(f"{mutant.module}:{mutant.line}: {mutant.change} ({outcome.value})")
        if len(self.results) % SHOWN_EVERY == 0 or len(self.results) == len(self._mutants):
            alive = sum(not each.outcome.dead for each in self.results)
            _say(f"{len(self.results)} of {len(self._mutants)} mutants, {alive} alive; {mutant.module}")

    def _reach(self, item: pytest.Item) -> _Reach:
        """Raises RuntimeError where the test fails without any mutant."""
        lines: dict[str, set[int]] = defaultdict(set)

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if not frame.f_code.co_filename.startswith(self._prefixes):
                return None
            lines[frame.f_code.co_filename].add(frame.f_lineno)
            return trace

        forget()
        began = time.process_time()
        sys.settrace(trace)
        try:
            passed = _passes(item)
        finally:
            sys.settrace(None)
        if not passed:
            raise RuntimeError(f"{item.nodeid} fails without any mutant")
        return _Reach(item, dict(lines), time.process_time() - began)


def forget() -> None:
    """Empties the caches of everything that may hold an answer of changed code."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mfu.") and name.split(".")[1] not in KEPT_WARM:
            for each in vars(module).values():
                cleared: Callable[[], None] | None = (
                    None if isinstance(each, type) else getattr(each, "cache_clear", None)
                )
                if cleared is not None and getattr(each, "__module__", "").startswith("mfu."):
                    cleared()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _holders(mutant: Mutant) -> set[str]:
    """Files of the modules that know the number of a mutant by its name."""
    name = mutant.number[0] if mutant.number else ""
    known = getattr(sys.modules[mutant.module], name)
    return {str(each.__file__) for each in list(sys.modules.values()) if getattr(each, name, None) is known}


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _passes_in_time(reach: _Reach) -> bool:
    """Ends the process where the test takes far longer than without a mutant."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, LEAST_SECONDS + SLOWER * reach.seconds)
    return _passes(reach.item)


def _forked(mutant: Mutant, tests: Sequence[_Reach]) -> tuple[int, int]:
    """The process, which ends with 0 where no test noticed anything, and where it tells which one did."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tells)
        return pid, told
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        _install(mutant)
        noticed = next((index for index, each in enumerate(tests) if not _passes_in_time(each)), None)
        if noticed is None:
            status = 0
        else:
            os.write(tells, str(noticed).encode())
    finally:
        os._exit(status)


def _install(mutant: Mutant) -> None:
    """The changed code in the function that everybody holds, or the changed number wherever it was imported to."""
    forget()
    module = sys.modules[mutant.module]
    if mutant.number is not None:
        name, value = mutant.number
        known = getattr(module, name)
        for other in list(sys.modules.values()):
            if getattr(other, name, None) is known:
                setattr(other, name, value)
        return
    code = next(
        each for each in _codes(compile(changed(mutant), mutant.path, "exec")) if each.co_qualname == mutant.function
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
