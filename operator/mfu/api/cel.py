"""Writing x-kubernetes-validations: one rule, its message, and how values get into the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict


@dataclass(frozen=True, slots=True)
class CELRule:
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
    """CEL string of a template: `text("p95 is {self.p95}") == "'p95 is %s'.format([self.p95])"`.

    `format` and not `+ string(…)`: the length of a converted integer is unbounded to the cost estimator of the API
    server, which then refuses the whole definition (tried on 1.36.3).
    """
    values = re.findall(r"\{([^{}]*)\}", template)
    literal = re.sub(r"\{[^{}]*\}", "%s", template)
    return f"'{literal}'.format([{', '.join(values)}])"


def validations(*rules: CELRule) -> ConfigDict:
    """Model configuration that carries the rules into the generated schema."""
    extra: dict[str, Any] = {"x-kubernetes-validations": [rule.to_api() for rule in rules]}
    return ConfigDict(json_schema_extra=extra)
