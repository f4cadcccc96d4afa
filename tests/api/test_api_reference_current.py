"""docs/api-reference.md is what the types say."""

from __future__ import annotations

from pathlib import Path

from mfu.api.causes import Cause
from mfu.api.conditions import ConditionType
from tools.generate import gen_api_reference

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api-reference.md").read_text()


def test_committed_page_is_generated() -> None:
    assert gen_api_reference.render() == PAGE
    assert gen_api_reference.main(["--check"]) == 0


def test_page_has_every_word() -> None:
    assert [word for word in (*Cause, *ConditionType) if f"`{word}`" not in PAGE] == []


def test_page_has_the_rules() -> None:
    assert "p95 must be at least the mean" in PAGE
    assert "accelerators.count must equal tensor x pipeline x context x data" in PAGE


def test_reserved_names_are_explained() -> None:
    assert all(text for _, text in gen_api_reference.reserved_names())
