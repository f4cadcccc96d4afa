"""The list of controls is true: each stands where it says, names a test that there is, and is in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.controls import CONTROLS, Control
from tests.attacks.mutants import MUTANTS
from tests.attacks.page import written

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


@pytest.mark.parametrize("control", (*CONTROLS, *MUTANTS), ids=lambda each: each.name)
def test_a_control_stands_once_and_its_test_is_there(control: Control) -> None:
    text = (ROOT / "operator" / "mfu" / control.file).read_text()
    assert text.count(control.old) == 1
    assert control.new != control.old
    files, _, words = control.test.partition(" -k ")
    assert all((ROOT / file).exists() for file in files.split())
    assert not words or any(words in (ROOT / file).read_text() for file in files.split())


@pytest.mark.parametrize("control", CONTROLS, ids=lambda each: each.name)
def test_a_control_is_in_the_documentation(control: Control) -> None:
    assert control.name in PAGE


def test_the_documented_table_is_current() -> None:
    """`python -m tests.attacks.page` writes it."""
    assert written(PAGE) == PAGE
