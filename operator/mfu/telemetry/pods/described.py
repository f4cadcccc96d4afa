"""What a metrics page says of its own metrics: TYPE and HELP. Units and meanings come from there, not from names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_COMMENT: Final = re.compile(rb"^#[ \t]+(HELP|TYPE)[ \t]+(\S+)[ \t]*([^\r\n]*)", re.MULTILINE)
_SUFFIX: Final = "_total"


@dataclass(frozen=True, slots=True)
class Description:
    """Both in lower case, empty where the page does not say."""

    kind: str = ""
    help: str = ""

    @property
    def counts(self) -> bool:
        """No page that calls it anything else may be read as a counter; one that is silent may."""
        return self.kind in ("", "counter", "untyped", "unknown")


def described(body: bytes, names: Iterable[str]) -> dict[str, Description]:
    """Descriptions by name; OpenMetrics writes them without `_total`.

    `described(b"# TYPE tps gauge\\n", ["tps"])["tps"].counts` is False.
    """
    found: dict[str, dict[str, str]] = {}
    for what, name, text in _COMMENT.findall(body):
        fields = found.setdefault(name.decode(errors="replace"), {})
        fields.setdefault(what.decode(), text.decode(errors="replace").strip().lower())
    return {name: _description(found.get(name) or found.get(name.removesuffix(_SUFFIX)) or {}) for name in names}


def _description(fields: dict[str, str]) -> Description:
    return Description(fields.get("TYPE", ""), fields.get("HELP", ""))
