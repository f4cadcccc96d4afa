"""Tests that must hold many times: `@pytest.mark.prove(times=20)` runs once in `make test`, 20 times in `make prove`.

`pytest --prove REPORT.json -m prove --dist loadgroup` repeats them and writes how often each ran and passed, and how
long it took. The report is written after every test, so that a run that is cut short has told what it saw; what an
earlier run found of tests, or of a test's cases, that this one does not repeat stays in it, under its own date.
`--prove-missing` goes on where such a run was cut short: only the rounds that REPORT lacks are played, and added to it;
a test that failed begins anew, as only rounds in a row count.

A test that plays the same several times side by side says so: `record_property(TIMES, 4)` counts as four runs.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

TIMES: Final = "prove_times"
"""The property in which a test says how many times it played what it shows."""
_ROUND: Final = "prove_round"
_LANES: Final = 2
"""Workers that share the rounds of one file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prove", type=Path, metavar="REPORT", help="repeat tests marked `prove`, and write what came of it"
    )
    parser.addoption("--prove-missing", action="store_true", help="play only the rounds that REPORT lacks")


@pytest.fixture
def prove_round() -> int:
    """The number of this repetition; repeated tests ask for it by themselves."""
    return 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("prove")
    if marker is None or metafunc.config.getoption("--prove") is None:
        return
    if _ROUND not in metafunc.fixturenames:
        metafunc.fixturenames.append(_ROUND)
    config, times = metafunc.config, int(marker.kwargs.get("times", 1))
    rounds = range(times)
    if config.getoption("--prove-missing"):
        rounds = missing(config.getoption("--prove"), metafunc.definition.nodeid, times)
    metafunc.parametrize(_ROUND, rounds, ids=lambda number: f"{_ROUND}_{number}")


def missing(report: Path, test: str, times: int) -> range:
    """The rounds of a test that are left to play: after a failure all of them, else as its least played case lacks."""
    found = _read(report).get(test)
    if found is None or found["failed"]:
        return range(times)
    played = min(each["runs"] for each in found.get("cases", {"": found}).values())
    return range(min(played, times), times)


def _read(report: Path) -> dict[str, Any]:
    return dict(json.loads(report.read_text())["tests"]) if report.exists() else {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rounds of a file go to a few workers, each with one control plane for all of them."""
    if config.getoption("--prove") is None:
        return
    # What has no round left stands here once, without a number.
    items[:] = [item for item in items if isinstance(_round_of(item), int)]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name}-{_round_of(item) % _LANES}"))
    # Round after round, so that what is cut short has seen every test.
    items.sort(key=_round_of)


def _round_of(item: pytest.Item) -> Any:
    call = getattr(item, "callspec", None)
    return call.params.get(_ROUND, 0) if call else 0


def pytest_configure(config: pytest.Config) -> None:
    report = config.getoption("--prove", default=None)
    if report is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(report, adds=config.getoption("--prove-missing")), "prove-record")


@dataclass(slots=True)
class Case:
    """What came of one case of a test in this run."""

    seconds: list[float] = field(default_factory=list)
    runs: int = 0
    failed: int = 0

    def add(self, report: pytest.TestReport) -> None:
        self.failed += report.failed
        if report.when == "call":
            self.seconds.append(report.duration)
            self.runs += next((int(str(said)) for name, said in report.user_properties if name == TIMES), 1)

    def document(self) -> dict[str, Any]:
        return {
            "date": time.strftime("%Y-%m-%d"),
            "runs": self.runs,
            "failed": self.failed,
            "mean_seconds": _rounded(sum(self.seconds) / len(self.seconds)) if self.seconds else None,
            "worst_seconds": _rounded(max(self.seconds, default=0.0)),
        }


class Record:
    """Adds up what every repetition gave; lives where the reports of all workers arrive."""

    def __init__(self, path: Path, *, adds: bool = False) -> None:
        self._path, self._adds = path, adds
        self._terminal: pytest.TerminalReporter | None = None
        self._earlier = _read(path)
        self._seen: dict[str, dict[str, Case]] = defaultdict(lambda: defaultdict(Case))

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._terminal = session.config.pluginmanager.get_plugin("terminalreporter")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name, case = _named(report.nodeid)
        if report.failed or report.when == "call":
            self._seen[name][case].add(report)
        if report.failed and self._terminal is not None:
            # Now, and not when hours of other rounds have passed.
            self._terminal.write_line(f"\n{report.nodeid}\n{report.longreprtext}")
        if report.when == "call":
            self._write()

    def pytest_sessionfinish(self) -> None:
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._document(), indent=2) + "\n", encoding="utf-8")

    def _document(self) -> dict[str, Any]:
        seen = {name: self._found(name, cases) for name, cases in self._seen.items()}
        tests = self._earlier | seen
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "failed": sum(each["failed"] for each in tests.values()),
            "tests": dict(sorted(tests.items())),
        }

    def _found(self, name: str, cases: Mapping[str, Case]) -> dict[str, Any]:
        """With what an earlier run found of its other cases."""
        before = self._earlier.get(name, {})
        if set(cases) == {""}:
            return self._added(before, cases[""].document())
        earlier = before.get("cases", {})
        now = {case: self._added(earlier.get(case, {}), each.document()) for case, each in cases.items()}
        return _together(earlier | now)

    def _added(self, before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """What this run found, with the rounds in a row before it."""
        if not self._adds or not before or before["failed"]:
            return now
        return _sum((before, now))


def _named(nodeid: str) -> tuple[str, str]:
    """A test and its case, without the round: `("a.py::test", "early")` of `a.py::test[prove_round_3-early]`."""
    name, _, rest = nodeid.split("@")[0].partition("[")
    words = rest.removesuffix("]").split("-")
    return name, "-".join(each for each in words if not each.startswith(_ROUND))


def _together(cases: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """All cases of one test: the newest date, and what they give together."""
    return _sum(tuple(cases.values())) | {"cases": dict(sorted(cases.items()))}


def _sum(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    whole = [each for each in found if each["mean_seconds"] is not None]
    runs = sum(each["runs"] for each in found)
    mean = sum(each["mean_seconds"] * each["runs"] for each in whole) / max(1, sum(each["runs"] for each in whole))
    return {
        "date": max(each["date"] for each in found),
        "runs": runs,
        "failed": sum(each["failed"] for each in found),
        "mean_seconds": _rounded(mean) if whole else None,
        "worst_seconds": max(each["worst_seconds"] for each in found),
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 2)
