"""docs/models.md is generated and current."""

from __future__ import annotations

from mfu.workload.presets import names
from tools.generate.gen_models_doc import DOCUMENT, render


def test_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run: python -m tools.generate.gen_models_doc"


def test_every_preset_is_listed_once() -> None:
    listed = [line.split("`")[1] for line in render().splitlines() if line.startswith("| `")]
    assert sorted(listed) == sorted(names())
