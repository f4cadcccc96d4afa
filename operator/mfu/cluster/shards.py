"""Of which namespaces one operator speaks, where several share a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mfu.api.metadata import LabelSelector
from mfu.api.names import FLEET_REPORT_NAME
from mfu.engine.views import Assignment

_EVERY: Final = LabelSelector()


@dataclass(frozen=True, slots=True)
class OwnNamespaces:
    """Those whose labels match. Without a name there is one operator, which speaks of all."""

    name: str = ""
    selector: LabelSelector = _EVERY
    whole_cluster: bool = True
    """It speaks of what is in no namespace as well: MFUPolicies, and devices that nobody holds."""

    @property
    def report(self) -> str:
        """Name of its FleetReport: `OwnNamespaces("east").report == "fleet-east"`."""
        return f"{FLEET_REPORT_NAME}-{self.name}" if self.name else FLEET_REPORT_NAME

    def have(self, labels: Mapping[str, str] | None) -> bool:
        """Of a namespace whose labels are not known yet, nobody speaks."""
        return not self.name or (labels is not None and self.selector.matches(labels))


ALL_NAMESPACES: Final = OwnNamespaces()


def own_part(whole: Assignment, is_own: Callable[[str], bool], *, idle: bool) -> Assignment:
    """What is of own namespaces; the pods of all others hold their devices, and nothing more is said of them.

    `idle`: devices that nobody holds are spoken of as well.
    """
    own = {key: pods for key, pods in whole.pods.items() if is_own(key.partition("/")[0])}
    conflicts = {key: each for key, each in whole.conflicts.items() if is_own(key.partition("/")[0])}
    unclaimed = tuple(pod for pod in whole.unclaimed if is_own(pod.namespace))
    others = tuple(pod for key, pods in whole.pods.items() if key not in own for pod in pods)
    unclaimed_there = tuple(pod for pod in whole.unclaimed if not is_own(pod.namespace))
    return Assignment(own, conflicts, unclaimed, (*others, *unclaimed_there), idle=idle)
