"""Writing x-kubernetes-validations: one rule, its message, and how values get into the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of x-kubernetes-validations.

    `message` may hold CEL expressions in braces; it then becomes a messageExpression, with `fallback` as the fixed
    message the API server uses if that expression fails. `field` is the path under the object that carries the rule.
    """

    rule: str
    message: str
    fallback: str = ""
    field: str = ""

    def to_api(self) -> dict[str, str]:
        entry = {"rule": self.rule, "message": self.fallback or self.message}
        if "{" in self.message:
            entry["messageExpression"] = text(self.message)
        if self.field:
            entry["fieldPath"] = self.field
        return entry


def text(template: str) -> str:
    """CEL string expression of a template: `text("p95 is {self.p95}") == "'p95 is ' + string(self.p95)"`."""
    parts = re.split(r"\{([^{}]*)\}", template)
    literals = (f"'{part}'" if part else "" for part in parts[::2])
    values = [f"string({part})" for part in parts[1::2]] + [""]
    woven = (piece for pair in zip(literals, values, strict=True) for piece in pair if piece)
    return " + ".join(woven)


def validations(*rules: Rule) -> ConfigDict:
    """Model configuration that carries the rules into the generated schema."""
    extra: dict[str, Any] = {"x-kubernetes-validations": [rule.to_api() for rule in rules]}
    return ConfigDict(json_schema_extra=extra)
