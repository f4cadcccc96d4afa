"""Outcomes as they come, so that a hunt goes on where it was: what is dead stays so while the code and the test that
noticed it are the same, what survived is tried again once any test has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tools.mutations import Mutant
from tools.mutations_run import Outcome, Result


def digest_of(places: Iterable[Path]) -> str:
    """Of files, and of every Python file in folders."""
    made = sha256()
    for place in places:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            made.update(f"{path.name}\0".encode() + path.read_bytes())
    return made.hexdigest()[:16]


@dataclass
class Journal:
    """Lines of JSON in `path`, one an outcome; without a path nothing is kept."""

    code: Sequence[Path]
    tests: Sequence[Path]
    path: Path | None = None
    _known: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            row = json.loads(line)
            if row["digest"] == self._digest(row["by"]):
                self._known[row["mutant"]] = Outcome(row["outcome"])

    def known(self, mutants: Iterable[Mutant]) -> list[Result]:
        return [Result(each, self._known[each.key]) for each in mutants if each.key in self._known]

    def left(self, mutants: Iterable[Mutant]) -> list[Mutant]:
        return [each for each in mutants if each.key not in self._known]

    def add(self, result: Result) -> None:
        if self.path is None:
            return
        by = str(result.by) if result.by else None
        row = {"mutant": result.mutant.key, "outcome": result.outcome.value, "by": by, "digest": self._digest(by)}
        with self.path.open("a") as file:
            file.write(f"{json.dumps(row)}\n")

    def _digest(self, by: str | None) -> str:
        if by is None:
            return f"{self._code} {self._tests}"
        return f"{self._code} {digest_of([Path(by)])}" if Path(by).exists() else "gone"

    @cached_property
    def _code(self) -> str:
        return digest_of(self.code)

    @cached_property
    def _tests(self) -> str:
        return digest_of(self.tests)
