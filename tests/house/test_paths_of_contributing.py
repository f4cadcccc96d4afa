"""The two paths through the code that CONTRIBUTING names: the files exist, a dozen at most each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = re.findall(
    r"^### (A [^\n]+ becomes an? [^\n]+)\n(.*?)(?=^##)", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S
)


def test_both_paths_are_there() -> None:
    assert [name for name, _ in PATHS] == ["A reading becomes a decision", "A spec becomes an expectation"]


@pytest.mark.parametrize(("name", "text"), PATHS)
def test_each_file_of_a_path_exists(name: str, text: str) -> None:
    files = re.findall(r"^\d+\. `([^`]+)`", text, re.M)
    assert 8 <= len(files) <= 12
    assert [file for file in files if not (ROOT / file).is_file()] == []
