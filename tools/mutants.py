"""`python -m tools.mutants`: change the code a little, a thousand times, and see whether a test notices.

Each mutant is one change inside one function of `decide/` or `act/`, or to one number of a module. Tests are collected
once; for each mutant a forked process gets the changed code and runs the tests that reach the changed line, until one
fails. Prints a table by file and the survivors; `-o` writes it for benchmarks/. Exits with 1 where a room has fewer
dead than `--least`, or where `mutants_equivalent.yaml` names what is dead or gone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tools.mutations import Mutant, mutants_of
from tools.mutations_journal import Journal
from tools.mutations_run import Hunt, Result
from tools.mutations_table import Equivalents, Table

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {"decide": ("decide", "act"), "act": ("act",)}
"""Directories of tests by the room that they can notice something in."""
EXAMPLES: Final = 12
"""Of each property: a mutant that lives through twelve is counted as alive."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutate only modules whose path contains one of these, by commas")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at the same time (default: 2)")
    parser.add_argument("--least", type=float, default=90.0, help="percentage that has to die in a room (default: 90)")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write the table to")
    parser.add_argument(
        "--resume", type=Path, help="file of outcomes: goes on where it was, as far as code and tests are the same"
    )
    args = parser.parse_args(arguments)
    began = time.monotonic()
    results, known = _hunted(args.only, args.jobs, args.resume)
    table = Table(results, Equivalents.read(), time.monotonic() - began, args.only, known)
    print(table.text)
    for each in table.stale:
        print(f"listed as changing nothing, but dead or gone: {each}", file=sys.stderr)
    if args.output:
        args.output.write_text(table.text)
    return 1 if table.stale or table.least_percent < args.least else 0


def _hunted(only: str, jobs: int, resume: Path | None) -> tuple[list[Result], int]:
    """All outcomes, and how many of them were known before."""
    # Tracing and a busy machine make examples slow: that is no failure.
    patient = settings(suppress_health_check=list(HealthCheck), deadline=None)
    settings.register_profile("mutants", settings(patient, max_examples=EXAMPLES, database=None, derandomize=True))
    settings.load_profile("mutants")
    paths = _modules(only)
    mutants = _mutants(paths)
    journal = Journal([ROOT / "tests" / each for each in (*PACKAGES, "builders")], resume)
    known = [found for each in mutants if (found := journal.known(each)) is not None]
    prefixes = tuple(f"{ROOT}/operator/mfu/{package}/" for package in PACKAGES)
    settled = {each.mutant.key for each in known}
    hunt = Hunt([each for each in mutants if each.key not in settled], prefixes, jobs, journal.add)
    rooms = {path.relative_to(ROOT / "operator" / "mfu").parts[0] for path in paths}
    tests = dict.fromkeys(each for room in sorted(rooms) for each in PACKAGES[room])
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not integration"]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*quiet, *options, *(str(ROOT / "tests" / each) for each in tests)], plugins=[hunt])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"the tests could not be run without any mutant: {code!r}")
    return _sorted([*known, *hunt.results]), len(known)


def _sorted(results: Sequence[Result]) -> list[Result]:
    return sorted(results, key=lambda each: (each.mutant.module, each.mutant.line, each.mutant.place))


def _mutants(paths: Sequence[Path]) -> list[Mutant]:
    return [each for path in paths for each in mutants_of(path, _module_name(path))]


def _modules(only: str) -> list[Path]:
    found = (path for package in PACKAGES for path in sorted((ROOT / "operator" / "mfu" / package).rglob("*.py")))
    wanted = only.split(",")
    return [path for path in found if any(each in str(path) for each in wanted) and path.name != "__init__.py"]


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "operator").with_suffix("").parts)


if __name__ == "__main__":
    sys.exit(main())
