"""The table of controls in docs/security.md: `python -m tests.attacks.page` writes it anew from `controls.py`."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.controls import CONTROLS

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
HEAD = "| threat | control | test |\n|---|---|---|\n"


def table() -> str:
    rows = (f"| {each.threat} | {each.name} | `{each.test.partition(' -k ')[0]}` |\n" for each in CONTROLS)
    return HEAD + "".join(rows)


def written(page: str) -> str:
    """The page with the rows of today; those about the chart, which no mutant tries, stay behind them."""
    before, _, rest = page.partition(HEAD)
    known = {each.threat for each in CONTROLS}
    kept = [
        row for row in rest.splitlines(keepends=True) if row.partition("|")[2].partition("|")[0].strip() not in known
    ]
    return before + table() + "".join(kept)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
