"""Tests that must hold many times: `@pytest.mark.prove(times=20)` runs once in `make test`, 20 times in `make prove`.

`pytest --prove REPORT.json -m prove --dist loadgroup` repeats them and writes how often each ran and passed, and how
long it took. The report is written after every test, so that a run that is cut short has told what it saw; what an
earlier run found of tests that this one does not repeat stays in it, under its own date.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

_ROUND: Final = "prove_round"
_LANES: Final = 2
"""Workers that share the rounds of one file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prove", type=Path, metavar="REPORT", help="repeat tests marked `prove`, and write what came of it"
    )


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
    metafunc.parametrize(_ROUND, range(int(marker.kwargs.get("times", 1))))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rounds of a file go to a few workers, each with one control plane for all of them."""
    if config.getoption("--prove") is None:
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name}-{_round_of(item) % _LANES}"))
    # Round after round, so that what is cut short has seen every test.
    items.sort(key=_round_of)


def _round_of(item: pytest.Item) -> int:
    call = getattr(item, "callspec", None)
    return int(call.params.get(_ROUND, 0)) if call else 0


def pytest_configure(config: pytest.Config) -> None:
    report = config.getoption("--prove", default=None)
    if report is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(report), "prove-record")


class Record:
    """Adds up what every repetition gave; lives where the reports of all workers arrive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._earlier: dict[str, Any] = json.loads(path.read_text())["tests"] if path.exists() else {}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._failed: dict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.split("[")[0].split("@")[0]
        if report.failed:
            self._failed[name] += 1
        if report.when == "call":
            self._seconds[name].append(report.duration)
            self._write()

    def pytest_sessionfinish(self) -> None:
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._document(), indent=2) + "\n", encoding="utf-8")

    def _document(self) -> dict[str, Any]:
        names = {*self._seconds, *self._failed}
        tests = self._earlier | {name: self._found(name) for name in names}
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "failed": sum(each["failed"] for each in tests.values()),
            "tests": dict(sorted(tests.items())),
        }

    def _found(self, name: str) -> dict[str, Any]:
        seconds = self._seconds[name]
        return {
            "date": time.strftime("%Y-%m-%d"),
            "runs": len(seconds),
            "failed": self._failed[name],
            "mean_seconds": _rounded(sum(seconds) / len(seconds)) if seconds else None,
            "worst_seconds": _rounded(max(seconds, default=0.0)),
        }


def _rounded(seconds: float) -> float:
    return round(seconds, 2)
