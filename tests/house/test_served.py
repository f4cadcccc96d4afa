"""`make test` begins every file of tests of servers once, stories in turn with others."""

from __future__ import annotations

import subprocess

import pytest

from e2e.testbed.served import LONG, OTHERS_A_STORY, ROOT, in_turn, others, stories


def test_every_file_is_begun_once() -> None:
    marks = ["grep", "-rlE", r"mark\.(integration|slow|e2e)\b", "tests", "--include=test_*.py"]
    marked = subprocess.run(marks, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    told = [path.relative_to(ROOT).as_posix() for path in (ROOT / "e2e" / "stories").glob("test_*.py")]
    begun = list(in_turn(stories(), others()))
    assert sorted(begun) == sorted([*marked, *told])


@pytest.mark.parametrize("name", LONG)
def test_what_is_long_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize(
    ("told", "rest", "begun"),
    [
        ("AB", "abcdefghijkl", "AabcdeBfghijkl"),
        ("ABC", "abcdef", "AabcdeBfC"),
        ("", "ab", "ab"),
        ("AB", "", "AB"),
    ],
)
def test_they_take_turns_and_none_is_lost(told: str, rest: str, begun: str) -> None:
    assert OTHERS_A_STORY == 5
    assert "".join(in_turn(told, rest)) == begun
