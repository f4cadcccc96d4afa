"""`python -m tools.mutants`: change the code a little, a thousand times, and see whether a test notices.

Each mutant is one change inside one function of `decide/` or `act/`, or to one number of a module. Tests are collected
once; for each mutant a forked process gets the changed code and runs the tests that reach the changed line, the fastest
first, until one fails. Prints the survivors; `-o` writes the table for benchmarks/.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tools.mutations import mutants_of
from tools.mutations_run import Hunt, Result

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("decide", "act")
EXAMPLES: Final = 12
"""Of each property: a mutant that lives through twelve is counted as alive."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutate only modules whose path contains this")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at the same time (default: 2)")
    parser.add_argument("--least", type=float, default=90.0, help="percentage that has to die (default: 90)")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write the table to")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    results = _hunted(args.only, args.jobs)
    table = _table(results, time.monotonic() - began)
    print(table)
    if args.output:
        args.output.write_text(table)
    dead = sum(each.outcome.dead for each in results)
    return 0 if 100.0 * dead >= args.least * len(results) else 1


def _hunted(only: str, jobs: int) -> list[Result]:
    # Tracing and a busy machine make examples slow: that is no failure.
    calm = settings(suppress_health_check=list(HealthCheck), deadline=None, database=None, max_examples=EXAMPLES)
    settings.register_profile("mutants", calm)
    settings.load_profile("mutants")
    mutants = [each for path in _modules(only) for each in mutants_of(path, _module_name(path))]
    hunt = Hunt(mutants, tuple(f"{ROOT}/operator/mfu/{package}/" for package in PACKAGES), jobs)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not integration"]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*quiet, *options, *(str(ROOT / "tests" / each) for each in PACKAGES)], plugins=[hunt])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"the tests could not be run without any mutant: {code!r}")
    return hunt.results


def _modules(only: str) -> list[Path]:
    found = (path for package in PACKAGES for path in sorted((ROOT / "operator" / "mfu" / package).rglob("*.py")))
    return [path for path in found if only in str(path) and path.name != "__init__.py"]


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "operator").with_suffix("").parts)


def _table(results: Sequence[Result], seconds: float) -> str:
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for each in results:
        counts[each.mutant.module][each.outcome.dead] += 1
    rows = [f"| {module} | {sum(mine.values())} | {mine[True]} | {_share(mine)} |" for module, mine in counts.items()]
    total = sum(counts.values(), Counter())
    alive = [
        f"- {each.mutant.module}:{each.mutant.line}: {each.mutant.change} ({each.outcome.value})"
        for each in results
        if not each.outcome.dead
    ]
    return "\n".join(
        [
            "# Mutants",
            "",
            f"`python -m tools.mutants -o benchmarks/mutants.md`, {seconds:,.0f} s: {total[True]} of "
            f"{sum(total.values())} die ({_share(total)}).",
            "",
            "| module | mutants | dead | share |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Survivors",
            "",
            *(alive or ["None."]),
            "",
        ]
    )


def _share(counts: Counter[bool]) -> str:
    return f"{100.0 * counts[True] / sum(counts.values()):.1f} %" if counts else "–"


if __name__ == "__main__":
    sys.exit(main())
