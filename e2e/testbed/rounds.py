"""Tests that must hold many times: `@pytest.mark.prove(times=20)` runs once in `make test`, 20 times in `make prove`.

`pytest --prove REPORT.json -m prove` repeats them and writes how often each ran and passed, and how long it took.
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


def pytest_configure(config: pytest.Config) -> None:
    report = config.getoption("--prove", default=None)
    if report is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(report), "prove-record")


class Record:
    """Adds up what every repetition gave; lives where the reports of all workers arrive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._failed: dict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.split("[")[0]
        if report.failed:
            self._failed[name] += 1
        if report.when == "call":
            self._seconds[name].append(report.duration)

    def pytest_sessionfinish(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._document(), indent=2) + "\n", encoding="utf-8")

    def _document(self) -> dict[str, Any]:
        names = sorted({*self._seconds, *self._failed})
        tests = {
            name: {
                "runs": len(self._seconds[name]),
                "failed": self._failed[name],
                "mean_seconds": _rounded(sum(self._seconds[name]) / len(self._seconds[name]))
                if self._seconds[name]
                else None,
                "worst_seconds": _rounded(max(self._seconds[name], default=0.0)),
            }
            for name in names
        }
        return {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "failed": sum(self._failed.values()),
            "tests": tests,
        }


def _rounded(seconds: float) -> float:
    return round(seconds, 2)
