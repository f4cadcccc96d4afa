"""What a held owner's pod template is told before anything of it runs, and what its own words leave open. Pure.

A nodeSelector binds, and nobody takes it back should we be gone: it names the product, which stays where it is, and
never a node, which may be taken by the time the owner is taken up. What its own words say already is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mfu.act.types import TEMPLATES, Acts, Addressee
from mfu.api.powers import ActionType
from mfu.decide.fleet.constraints import Constraints

SELECTOR: Final = "nodeSelector"
ANNOTATIONS: Final = "annotations"
RESOURCE: Final = "resource"
"""Parts of an action's `change`: which field of the template each of them is."""


@dataclass(frozen=True, slots=True)
class HeldTemplate:
    """One pod template whose pods ask for GPUs."""

    part: str = ""
    """Of which part of its owner it is; empty where the owner has one template."""
    selector: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those that say something of topology."""
    gpus: Mapping[str, int] = field(default_factory=dict)
    """Devices of one pod by resource name."""
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(frozen=True, slots=True)
class HeldOwner:
    """A Job, JobSet, LeaderWorkerSet or TrainJob of which nothing runs: it is suspended, or has no replicas."""

    namespace: str
    kind: str
    name: str
    uid: str
    queued: bool = False
    """Kueue takes it up; then nodes are Kueue's to name."""
    gated: bool = False
    """Kueue does not look at it yet: our name is on its gate."""
    templates: tuple[HeldTemplate, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return self.namespace, self.kind, self.name

    def says(self, change: Mapping[str, Any]) -> bool:
        """Whether every template is as the change wants it."""
        return bool(self.templates) and all(_missing(each, change) == {} for each in self.templates)

    def against(self, change: Mapping[str, Any]) -> str | None:
        """What of its own words an addition would change; None where it only adds."""
        for each in self.templates:
            for known, wanted in _pairs(each, change):
                found = next((key for key, value in wanted.items() if known.get(key, value) != value), None)
                if found is not None:
                    return f"{found} is {known[found]} in its template already, decided was {wanted[found]}"
        return None


@dataclass(frozen=True, slots=True)
class TemplateHint:
    """What one owner is told while it is held. Said again until the cluster shows it."""

    owner: HeldOwner
    workload: str
    type: ActionType
    words: str
    change: Mapping[str, Any]

    @property
    def key(self) -> str:
        owner = self.owner
        return f"{owner.namespace}/{owner.kind}/{owner.name}/{owner.uid}/{self.type}"


def _pairs(template: HeldTemplate, change: Mapping[str, Any]) -> Iterable[tuple[Mapping[str, str], Mapping[str, str]]]:
    yield template.selector, change.get(SELECTOR) or {}
    yield template.annotations, change.get(ANNOTATIONS) or {}


def _missing(template: HeldTemplate, change: Mapping[str, Any]) -> dict[str, str]:
    pairs = _pairs(template, change)
    lacks = {key: value for known, wanted in pairs for key, value in wanted.items() if known.get(key) != value}
    resource = change.get(RESOURCE)
    return lacks if not resource or resource in template.gpus else {**lacks, RESOURCE: resource}


def sliceable(owner: HeldOwner) -> bool:
    """Whether each of its pods asks for one device, so that a slice can take its place."""
    return bool(owner.templates) and all(sum(each.gpus.values()) == 1 for each in owner.templates)


def template_hints(acts: Acts, held: Mapping[str, HeldOwner]) -> tuple[TemplateHint, ...]:
    """Those on their way whose owner is still held and does not say so yet; `held` by workload."""
    found = []
    for tag, track in sorted(acts.remembered.tracks.items()):
        owner, action = held.get(tag.workload), track.action
        if tag.type not in TEMPLATES or not track.on_its_way or owner is None:
            continue
        if action.target == Addressee(owner.kind, owner.name) and not owner.says(action.change):
            found.append(TemplateHint(owner, tag.workload, tag.type, action.words, action.change))
    return tuple(found)
