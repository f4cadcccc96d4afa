"""Tables that a keyboard and a screen reader can use; the script sorts and filters them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from mfu.web.markup import Markup, tag

Cell = str | Markup
_NUMBER: Final = re.compile(r"-?[\d,]+(\.\d+)?")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, numeric: frozenset[str] = frozenset(), named: str = ""
) -> Markup:
    """Columns of numbers stand right and sort as numbers; unknown ones sort last."""
    heads = [_head(column, number=column in numeric) for column in columns]
    right = [column in numeric for column in columns]
    body = [tag("tr", *(_cell(cell, number=each) for cell, each in zip(row, right, strict=True))) for row in rows]
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), aria_label=named or None)
    return tag("div", whole, class_="scroll")


def _head(column: str, *, number: bool) -> Markup:
    kind = "number" if number else None
    if not column:
        return tag("th", tag("span", "expected, observed and attainable", class_="unseen"), scope="col")
    return tag("th", tag("button", column, type="button"), scope="col", class_=kind)


def _cell(cell: Cell, *, number: bool) -> Markup:
    if not number:
        return tag("td", cell)
    found = _NUMBER.search(cell)
    return tag("td", cell, class_="number", data_value=found[0].replace(",", "") if found else None)


def link(place: str, words: str) -> Markup:
    """To another view: `#workloads/team/job`."""
    return tag("a", words, href=f"#{place}")
