"""docs/metrics.md and docs/configuration.md are what the code says."""

from __future__ import annotations

from pathlib import Path

from mfu.controller.config import OperatorConfig
from mfu.controller.metric_names import documented
from tools.generate import gen_configuration_doc, gen_metrics_doc

DOCS = Path(__file__).parents[2] / "docs"


def test_metrics_page_is_current() -> None:
    assert (DOCS / "metrics.md").read_text() == gen_metrics_doc.rendered()


def test_configuration_page_is_current() -> None:
    assert (DOCS / "configuration.md").read_text() == gen_configuration_doc.rendered()


def test_names_are_unique_and_explained() -> None:
    names = [each.name for each in documented()]
    assert len(names) == len(set(names))
    page = gen_configuration_doc.rendered()
    assert all(
        f"## {field.alias}" in page or f"`{field.alias}`" in page for field in OperatorConfig.model_fields.values()
    )
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in rows if line.rstrip(" |").endswith("|")] == [], "a field without a description"
