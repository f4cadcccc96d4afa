"""The page on adoption shows what the command really prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfu.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "adopting.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_output_is_the_real_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(block("yaml"))
    assert main(["adopt", "-f", str(path)]) == 0
    assert capsys.readouterr().out == block("text")
