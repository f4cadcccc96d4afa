"""The chart's roles for tenants as plain objects, for clusters without Helm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

_TEMPLATE: Final = Path(__file__).parents[2] / "charts" / "mfu-operator" / "templates" / "rbac-tenants.yaml"
_NAME: Final = '{{ include "mfu.fullname" . }}'
_TEMPLATED: Final = re.compile(r"\{\{-?.*?\}\}")


def tenant_roles(release: str = "mfu-operator") -> list[dict[str, Any]]:
    """ClusterRoles as `helm install` of that release makes them by default, aggregated to view, edit and admin."""
    text = _TEMPLATED.sub("", _TEMPLATE.read_text(encoding="utf-8").replace(_NAME, release))
    roles = [each for each in yaml.safe_load_all(text) if each]
    for role in roles:
        role["metadata"]["labels"] = role["metadata"].get("labels") or {}
    return roles
