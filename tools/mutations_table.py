"""What became of all mutants, by room and by file, with every survivor and every change that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from tools.mutations import Mutant
from tools.mutations_run import Result

LISTED: Final = Path(__file__).with_name("mutants_equivalent.yaml")


class _Change(NamedTuple):
    function: str
    """With its module."""
    change: str

    @classmethod
    def of(cls, mutant: Mutant) -> _Change:
        return cls(f"{mutant.module}.{mutant.function}".rstrip("."), mutant.change)


@dataclass(frozen=True, slots=True)
class Equivalents:
    """Changes after which the code does the same, with the reason: they can not die and are not counted."""

    reasons: Mapping[_Change, str]

    @classmethod
    def read(cls, path: Path = LISTED) -> Equivalents:
        """From `function: {change: reason}`."""
        document: dict[str, dict[str, str]] = yaml.safe_load(path.read_text()) or {}
        return cls.of({(name, change): why for name, mine in document.items() for change, why in mine.items()})

    @classmethod
    def of(cls, reasons: Mapping[tuple[str, str], str]) -> Equivalents:
        """By function and change."""
        return cls({_Change(*key): why for key, why in reasons.items()})

    def why(self, result: Result) -> str | None:
        return None if result.outcome.dead else self.reasons.get(_Change.of(result.mutant))


class _Counts(NamedTuple):
    mutants: int
    dead: int
    equivalent: int

    @property
    def percent(self) -> float:
        """Of those that can die; 100 where none can."""
        able = self.mutants - self.equivalent
        return 100.0 * self.dead / able if able else 100.0

    @property
    def cells(self) -> str:
        return f"{self.mutants} | {self.dead} | {self.equivalent} | {self.percent:.1f} %"


@dataclass(frozen=True, slots=True)
class Table:
    results: Sequence[Result]
    equivalents: Equivalents
    seconds: float
    only: str = ""
    known: int = 0
    """Outcomes that a hunt before this one had found, of the same code and tests."""

    @property
    def least_percent(self) -> float:
        """Of the room with the smallest share of dead."""
        return min((self._counted(f"mfu.{room}").percent for room in self._rooms), default=100.0)

    @property
    def stale(self) -> list[str]:
        """What is listed as changing nothing, and was noticed or is no mutant any more."""
        alive = {_Change.of(each.mutant) for each in self.results if not each.outcome.dead}
        modules = {each.mutant.module for each in self.results}
        listed = (each for each in self.equivalents.reasons if each not in alive)
        return [f"{each.function}: {each.change}" for each in listed if _module(each, modules) or not self.only]

    @property
    def text(self) -> str:
        return "\n".join([*self._head(), *self._by_file(), *self._survivors(), *self._same(), ""])

    @property
    def _rooms(self) -> list[str]:
        """Folders, the outermost too."""
        parts = (each.mutant.module.split(".")[1:-1] for each in self.results)
        return sorted({".".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1)})

    def _counted(self, within: str) -> _Counts:
        mine = [each for each in self.results if f"{each.mutant.module}.".startswith(f"{within}.")]
        same = sum(self.equivalents.why(each) is not None for each in mine)
        return _Counts(len(mine), sum(each.outcome.dead for each in mine), same)

    def _head(self) -> Iterator[str]:
        command = f"python -m tools.mutants {f'--only {self.only}' if self.only else '-o benchmarks/mutants.md'}"
        known = f" for all but {self.known:,} that a run before had found (`--resume`)" if self.known else ""
        yield from ("# Mutants", "", f"`{command}`, {self.seconds:,.0f} s{known}.", "")
        yield "Each is one small change of one function or number; it is dead where a unit test of the room notices"
        yield "it. The share is of those that change anything."
        yield from ("", "| room | mutants | dead | equivalent | share |", "|---|---|---|---|---|")
        yield from (f"| {room.replace('.', '/')}/ | {self._counted(f'mfu.{room}').cells} |" for room in self._rooms)

    def _by_file(self) -> Iterator[str]:
        yield from ("", "| file | mutants | dead | equivalent | share |", "|---|---|---|---|---|")
        for module in sorted({each.mutant.module for each in self.results}):
            yield f"| {_file(module)} | {self._counted(module).cells} |"

    def _survivors(self) -> Iterator[str]:
        alive = [each for each in self.results if not each.outcome.dead and self.equivalents.why(each) is None]
        yield from ("", "## Survivors", "")
        if not alive:
            yield "None."
            return
        yield from ("| line | was | became | |", "|---|---|---|---|")
        for each in alive:
            mutant = each.mutant
            was, became = _code(mutant.before), _code(mutant.after)
            yield f"| {_file(mutant.module)}:{mutant.line} | {was} | {became} | {each.outcome.value} |"

    def _same(self) -> Iterator[str]:
        same = [(each.mutant, why) for each in self.results if (why := self.equivalents.why(each)) is not None]
        yield from ("", "## Equivalent: the code does the same", "")
        if not same:
            yield "None."
            return
        yield from ("| line | was | became | why |", "|---|---|---|---|")
        for mutant, why in same:
            yield f"| {_file(mutant.module)}:{mutant.line} | {_code(mutant.before)} | {_code(mutant.after)} | {why} |"


def _module(change: _Change, modules: set[str]) -> bool:
    return any(change.function == each or change.function.startswith(f"{each}.") for each in modules)


def _file(module: str) -> str:
    return "/".join(module.split(".")[1:]) + ".py"


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"
