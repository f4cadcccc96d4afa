"""Outcomes as they come, so that a hunt that was stopped goes on where it was, as long as code and tests stay."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tools.mutations import Mutant
from tools.mutations_run import Outcome, Result


def digest_of(folders: Iterable[Path]) -> str:
    """Of every Python file in them."""
    made = sha256()
    for path in sorted(each for folder in folders for each in folder.rglob("*.py")):
        made.update(f"{path.name}\0".encode() + path.read_bytes())
    return made.hexdigest()[:16]


@dataclass(slots=True)
class Journal:
    """Lines of JSON in `path`, one an outcome; without a path nothing is kept."""

    digest: str
    path: Path | None = None
    _known: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            row = json.loads(line)
            if row["digest"] == self.digest:
                self._known[row["mutant"]] = Outcome(row["outcome"])

    def known(self, mutants: Iterable[Mutant]) -> list[Result]:
        return [Result(each, self._known[each.key]) for each in mutants if each.key in self._known]

    def left(self, mutants: Iterable[Mutant]) -> list[Mutant]:
        return [each for each in mutants if each.key not in self._known]

    def add(self, result: Result) -> None:
        if self.path is None:
            return
        row = {"digest": self.digest, "mutant": result.mutant.key, "outcome": result.outcome.value}
        with self.path.open("a") as file:
            file.write(f"{json.dumps(row)}\n")
