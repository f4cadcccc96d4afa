"""What an account may not do, in one sentence, and the role of the chart that would let it."""

from __future__ import annotations

import re
from typing import Final

from mfu.api.names import GROUP
from mfu.cluster.client import ApiError

_REFUSED: Final = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_READING: Final = frozenset({"get", "list", "watch"})
VIEWER: Final = "mfu-operator-modelworkload-viewer"
EDITOR: Final = "mfu-operator-modelworkload-editor"
FLEET: Final = "mfu-operator-fleet-viewer"
READER: Final = "mfu-operator-reader"
"""ClusterRoles of the chart, as a release called mfu-operator names them (its templates rbac-*.yaml)."""


def refusal(error: ApiError) -> str:
    """`you may not list fleetreports; ask for the ClusterRole mfu-operator-fleet-viewer`."""
    match = _REFUSED.search(error.message)
    if match is None:
        return f"{error.message}: ask for the ClusterRole {VIEWER}"
    where = f"in namespace {match['namespace']}" if match["namespace"] else "of the whole cluster"
    return f"you may not {match['verb']} {match['resource']} {where}; ask for {_role(match)}"


def _role(match: re.Match[str]) -> str:
    verb, resource, group, namespace = match.group("verb", "resource", "group", "namespace")
    if group != GROUP:
        return _others_role(verb, namespace)
    if not resource.startswith("modelworkloads") or (namespace is None and verb in _READING):
        return f"the ClusterRole {FLEET}, which an administrator has to bind"
    if verb in _READING:
        return f"the ClusterRole {VIEWER} there (the chart adds it to the built-in view, edit and admin)"
    return f"the ClusterRole {EDITOR} there (the chart adds it to the built-in edit and admin)"


def _others_role(verb: str, namespace: str | None) -> str:
    if namespace is None:
        return f"the ClusterRole {READER}, the operator's own, which an administrator has to bind"
    return f"the built-in {'view' if verb in _READING else 'edit'} role there"
