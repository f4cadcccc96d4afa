"""`python -m tools.mutants`: change the code a little, a thousand times, and see whether a test notices.

Each mutant is one change to one module of `decide/` or `act/`. The test files that reach the changed line run on it, in
a forked process that has everything else imported already. Prints the survivors; `-o` writes the table for benchmarks/.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, settings

from tools.mutations import Mutant, mutants_of
from tools.mutations_run import Outcome, TestFile, reached, run_mutant

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("decide", "act")
HELD_BACK: Final = ("mfu.decide", "mfu.act", "mfu.account", "mfu.engine")
"""Not imported before the fork: what is mutated, and what imports it."""
SHOWN_EVERY: Final = 25


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    outcome: Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutate only modules whose path contains this")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at the same time (default: 2)")
    parser.add_argument("--least", type=float, default=90.0, help="percentage that has to die (default: 90)")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write the table to")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    files = _test_files()
    _preload()
    lines = {file: reached(file, ROOT / "operator" / "mfu", PACKAGES) for file in files}
    mutants = [each for path in _modules(args.only) for each in mutants_of(path, _module_name(path))]
    results = _all(mutants, lines, args.jobs)
    table = _table(results, time.monotonic() - began)
    print(table)
    if args.output:
        args.output.write_text(table)
    share = 100.0 * sum(each.outcome.dead for each in results) / max(1, len(results))
    return 0 if share >= args.least else 1


def _test_files() -> list[TestFile]:
    return [
        TestFile(str(path.relative_to(ROOT)))
        for package in PACKAGES
        for path in sorted((ROOT / "tests" / package).glob("test_*.py"))
        if "pytest.mark.slow\n" not in path.read_text()
    ]


def _modules(only: str) -> list[Path]:
    found = (path for package in PACKAGES for path in sorted((ROOT / "operator" / "mfu" / package).rglob("*.py")))
    return [path for path in found if only in str(path) and path.name != "__init__.py"]


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "operator").with_suffix("").parts)


def _preload() -> None:
    """What every test needs and no mutant touches, once for all forks."""
    sys.path.insert(0, str(ROOT))
    for name in ("numpy", "pydantic", "hypothesis", "pytest"):
        import_module(name)
    # Tracing and a busy machine make examples slow: that is no failure.
    settings.register_profile(
        "mutants", suppress_health_check=list(HealthCheck), deadline=None, database=None, max_examples=12
    )
    settings.load_profile("mutants")
    for package in ("units", "hardware", "workload", "api", "predict", "observe"):
        here = ROOT / "operator" / "mfu" / package
        paths = [here.with_suffix(".py")] if here.with_suffix(".py").exists() else sorted(here.rglob("*.py"))
        for path in paths:
            if "validate" not in path.parts:
                import_module(_module_name(path).removesuffix(".__init__"))
    assert not [name for name in sys.modules if name.startswith(HELD_BACK)]


def _all(mutants: Sequence[Mutant], lines: dict[TestFile, dict[str, set[int]]], jobs: int) -> list[Result]:
    results: list[Result] = []
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = list(reversed(mutants))
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            files = [file for file, found in lines.items() if found.get(mutant.module, set()) & mutant.lines]
            if not files:
                results.append(Result(mutant, Outcome.UNREACHED))
                continue
            running[run_mutant(mutant, files)] = mutant, time.monotonic()
        if running:
            pid, status = os.wait()
            mutant, _ = running.pop(pid)
            results.append(Result(mutant, Outcome.of(status)))
            if len(results) % SHOWN_EVERY == 0:
                print(f"{len(results)} of {len(mutants)}", file=sys.stderr, flush=True)
    return sorted(results, key=lambda each: (each.mutant.module, min(each.mutant.lines), each.mutant.change))


def _table(results: Sequence[Result], seconds: float) -> str:
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for each in results:
        counts[each.mutant.module][each.outcome.dead] += 1
    rows = [f"| {module} | {sum(mine.values())} | {mine[True]} | {_share(mine)} |" for module, mine in counts.items()]
    total = sum(counts.values(), Counter())
    alive = [
        f"- {each.mutant.module}:{min(each.mutant.lines)}: {each.mutant.change} ({each.outcome.value})"
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
