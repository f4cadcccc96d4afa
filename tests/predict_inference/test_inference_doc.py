"""Every generated part of docs/performance-model-inference.md, made again from the shipped constants."""

from __future__ import annotations

import re

from mfu.predict.inference.constants import document
from tools.generate.gen_inference_doc import DOC, worked, written


def test_the_page_is_current() -> None:
    page = DOC.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tools.generate.gen_inference_doc"


def test_every_worked_number_and_constant_is_on_the_page() -> None:
    page = DOC.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (W\d+) ", page, re.MULTILINE)) == set(worked())
    assert all(f"| `{name}` | " in page for name in (*document()["numbers"], *document()["engines"]))
