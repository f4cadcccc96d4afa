"""docs/recommendations.md is what the code says, of the demo's six workloads and twelve more."""

from __future__ import annotations

from tools.generate.gen_recommendations_doc import DOCUMENT, declared_cases, demo_cases, text


def test_the_page_is_current() -> None:
    assert DOCUMENT.read_text() == text()


def test_six_run_and_twelve_are_declared() -> None:
    assert len(list(demo_cases())) == 6
    assert len(list(declared_cases())) == 12
