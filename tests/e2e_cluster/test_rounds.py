"""What `make prove` writes down: how often each test, and each case of it, was played and held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from e2e.testbed.rounds import TIMES, Record, missing

KILLS = "stories/kills.py::test_killed"


def played(
    nodeid: str, outcome: Literal["passed", "failed"] = "passed", *, seconds: float = 2.0, times: int | None = None
) -> pytest.TestReport:
    said = [] if times is None else [(TIMES, times)]
    return pytest.TestReport(
        nodeid, ("", 0, ""), {}, outcome, None, "call", sections=(), duration=seconds, user_properties=said
    )


def written(path: Path, *reports: pytest.TestReport, adds: bool = False) -> dict[str, Any]:
    record = Record(path, adds=adds)
    for each in reports:
        record.pytest_runtest_logreport(each)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_test_without_cases_is_counted_as_a_whole(tmp_path: Path) -> None:
    name = "tests/a.py::test_alone"
    found = written(
        tmp_path / "p.json",
        played(f"{name}[prove_round_0]@a.py-0", seconds=1.0),
        played(f"{name}[prove_round_1]@a.py-1", "failed", seconds=3.0),
    )
    assert found["failed"] == 1
    told = found["tests"][name]
    assert (told["runs"], told["failed"], told["mean_seconds"], told["worst_seconds"]) == (2, 1, 2.0, 3.0)
    assert "cases" not in told


def test_each_case_is_counted_by_itself_with_what_it_played_side_by_side(tmp_path: Path) -> None:
    found = written(
        tmp_path / "p.json",
        played(f"{KILLS}[prove_round_0-before-pods]@kills.py-0", times=4),
        played(f"{KILLS}[prove_round_1-before-pods]@kills.py-1", times=4),
        played(f"{KILLS}[prove_round_0-half]@kills.py-0", times=4),
    )["tests"][KILLS]
    assert found["runs"] == 12
    assert {case: each["runs"] for case, each in found["cases"].items()} == {"before-pods": 8, "half": 4}


def test_a_piece_repeated_alone_leaves_the_other_cases_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    written(path, played(f"{KILLS}[prove_round_0-early]"), played(f"{KILLS}[prove_round_0-late]", "failed"))
    whole = written(path, *(played(f"{KILLS}[prove_round_{each}-late]", seconds=5.0) for each in range(3)))
    told = whole["tests"][KILLS]
    assert whole["failed"] == told["failed"] == 0, "its failure was repeated, and held"
    assert (told["runs"], told["mean_seconds"]) == (4, pytest.approx(17 / 4))
    assert {case: each["runs"] for case, each in told["cases"].items()} == {"early": 1, "late": 3}


def test_what_another_run_found_of_other_tests_stays(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    written(path, played("tests/a.py::test_one[prove_round_0]", "failed"))
    found = written(path, played("tests/b.py::test_two[prove_round_0]"))
    assert set(found["tests"]) == {"tests/a.py::test_one", "tests/b.py::test_two"}
    assert found["failed"] == 1, "until it is repeated and holds"


def test_what_was_cut_short_goes_on_and_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    name = "tests/a.py::test_alone"
    written(path, *(played(f"{name}[prove_round_{each}]", seconds=1.0) for each in range(3)))
    assert missing(path, name, 5) == range(3, 5)
    found = written(path, played(f"{name}[prove_round_3]", seconds=3.0), adds=True)["tests"][name]
    assert (found["runs"], found["failed"], found["mean_seconds"], found["worst_seconds"]) == (4, 0, 1.5, 3.0)
    assert missing(path, name, 5) == range(4, 5)
    assert missing(path, name, 4) == range(4, 4), "nothing is missing"


def test_a_test_that_failed_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    name = "tests/a.py::test_alone"
    written(path, played(f"{name}[prove_round_0]"), played(f"{name}[prove_round_1]", "failed"))
    assert missing(path, name, 5) == range(5)
    found = written(path, played(f"{name}[prove_round_0]"), adds=True)["tests"][name]
    assert (found["runs"], found["failed"]) == (1, 0), "only rounds in a row count"


def test_of_a_tests_cases_the_one_that_ran_least_tells_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    written(path, *(played(f"{KILLS}[prove_round_{each}-early]") for each in range(3)))
    written(path, played(f"{KILLS}[prove_round_0-late]"))
    assert missing(path, KILLS, 4) == range(1, 4)
    assert missing(path, "tests/other.py::test_never_played", 4) == range(4)
    assert missing(tmp_path / "none.json", KILLS, 4) == range(4)
