"""What is left out of coverage is there: a file that was renamed would be measured again without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import UNMEASURED

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", UNMEASURED)
def test_it_is_there(name: str) -> None:
    assert (TESTS / name).is_file()
