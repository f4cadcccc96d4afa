"""docs/physics.md: current, every mechanism there, and none as far off as it was."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tools.generate.gen_physics_doc import DOCUMENT, full_card, later_errors, mechanisms, render, spread, those

pytestmark = pytest.mark.slow


def test_the_page_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run: python -m tools.generate.gen_physics_doc"


def test_every_mechanism_is_there_once_with_its_command() -> None:
    letters = ", ".join(each.letter for each in mechanisms())
    assert set(letters.split(", ")) == set("abcdefghijklmnopq")
    assert all(each.before and each.now and each.command.startswith("mfu ") for each in mechanisms())


def test_a_spread_is_said() -> None:
    assert spread([0.1, -0.05]) == "2 rows: mean +2 %, -5 % to +10 %"


def _is_235b(row: Mapping[str, str]) -> bool:
    return "235B" in row["model"]


def test_means_are_less_than_half_of_what_they_were() -> None:
    """Of the mechanisms that have rows: 43, 24, 120, 46, 67, 66, 75 and 820 % before."""
    found = {
        "a": (those("published", lambda row: "fms-fsdp" in row["source"]), 0.43),
        "b, c": ([each for table in ("training", "fresh") for each in those(table, _is_235b)], 0.24),
        "f": (those("published", lambda row: "torchtitan" in row["source"] and row["cp"] not in ("", "1")), 1.2),
        "g": (those("training", lambda row: "DeepSeek" in row["model"] and "GB200" in row["gpu"]), 0.46),
        "h": (those("fresh", lambda row: row["gpu"].startswith("MI")), 0.67),
        "k": (full_card(), 0.66),
    }
    found |= {
        "n": ([error for row, error in later_errors() if row["source"].startswith("baraql/")], 0.75),
        "p": ([error for row, error in later_errors() if row["id"] in ("later-adiv-006", "later-adiv-007")], 8.2),
    }
    for letter, (errors, before) in found.items():
        assert errors and abs(sum(errors) / len(errors)) < before / 2, letter
