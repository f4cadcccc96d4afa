"""HTML from values. Every text is escaped, but what this module made itself."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final


class Markup(str):
    """Text that is HTML already. Only `tag` and `join` make it."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
NOTHING: Final = Markup("")
_VOID: Final = frozenset({"input"})


def tag(name: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """One element: `tag("a", "x<y", href="#") == '<a href="#">x&lt;y</a>'`.

    Attributes that are None are left out; `_` is written as `-`, and one at the end only keeps Python's words apart
    (`class_`).
    """
    said = "".join(f' {_name(key)}="{escape(str(each))}"' for key, each in attributes.items() if each is not None)
    return Markup(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Children one after the other; None is nothing."""
    return Markup("".join(map(_text, children)))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return escape(child) if isinstance(child, str) else join(child)


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
