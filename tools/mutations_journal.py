"""Outcomes as they come, so that a hunt goes on where it was: what is dead stays so while its module and the test that
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

    tests: Sequence[Path]
    path: Path | None = None
    _rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            rows = (json.loads(line) for line in self.path.read_text().splitlines())
            self._rows = {f"{row['mutant']} {row['digest']}": row for row in rows}

    def known(self, mutant: Mutant) -> Result | None:
        """What became of it, while that still holds."""
        row = self._rows.get(f"{mutant.key} {digest_of([Path(mutant.path)])}")
        if row is None or row["tests"] != self._tests_of(row["by"]):
            return None
        return Result(mutant, Outcome(row["outcome"]))

    def add(self, result: Result) -> None:
        if self.path is None:
            return
        mutant, by = result.mutant, str(result.by or "")
        digest, tests = digest_of([Path(mutant.path)]), self._tests_of(by)
        row = {"mutant": mutant.key, "digest": digest, "outcome": result.outcome.value, "by": by, "tests": tests}
        with self.path.open("a") as file:
            file.write(f"{json.dumps(row)}\n")

    def _tests_of(self, by: str) -> str:
        """Of the file that noticed it, or of all of them."""
        if not by:
            return self._all_tests
        return digest_of([Path(by)]) if Path(by).exists() else "gone"

    @cached_property
    def _all_tests(self) -> str:
        return digest_of(self.tests)
