"""When our name comes off Kueue's gate of an owner: its template was told, or never will be. Pure.

Kueue (alpha in 0.17, on by default from 0.19) looks at nothing whose `kueue.x-k8s.io/admission-gated-by` names anybody:
no quota is held while we think, and what a template asks for by then is what Kueue counts. Names can be given when an
object is made and only be taken off afterwards. It has no timer for it: the release keeper is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from mfu.act.templates import HeldOwner
from mfu.act.types import TEMPLATES, Acts, Guard, Step, Tag
from mfu.api.names import PLACEMENT_GATE

NEVER: Final = frozenset({Guard.NOT_ENFORCED, Guard.NOT_LISTED, Guard.SWITCHED_OFF, Guard.OWN_WORDS, Guard.GIVEN_UP})
"""Hindrances that no waiting ends."""


@dataclass(frozen=True, slots=True)
class GatedOwner:
    """A Job, JobSet, TrainJob or LeaderWorkerSet whose gate of Kueue's has our name."""

    namespace: str
    kind: str
    name: str
    uid: str
    created_at: float
    """Unix seconds, by the API server's clock."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class QueueRelease:
    """Our name to be taken off the gate of one owner. Said again until the cluster shows it."""

    namespace: str
    kind: str
    name: str
    uid: str
    workload: str
    words: str

    @property
    def key(self) -> str:
        return f"queue/{self.namespace}/{self.kind}/{self.name}/{self.uid}"


def names_on(gate: str) -> tuple[str, ...]:
    """`names_on("a/b, c/d") == ("a/b", "c/d")`, as Kueue reads it."""
    return tuple(each.strip() for each in gate.split(",")) if gate.strip() else ()


def without_ours(gate: str) -> str:
    """`without_ours("a/b,mfu.gpuaas.io/placement") == "a/b"`."""
    return ",".join(each for each in names_on(gate) if each != PLACEMENT_GATE)


def queue_releases(acts: Acts, held: Mapping[str, HeldOwner], placed: Set[str]) -> tuple[QueueRelease, ...]:
    """`held` by workload; `placed` are workloads whose place is decided, so that nothing more will be proposed.

    All others wait until the deadline of the gate, which is the release keeper's to mind.
    """
    steps: dict[str, list[Step]] = defaultdict(list)
    for each in acts.steps:
        if each.action.type in TEMPLATES:
            steps[each.action.workload].append(each)
    found = []
    for key, owner in sorted(held.items()):
        words = _over(key, owner, steps[key], acts, key in placed) if owner.gated else None
        if words is not None:
            found.append(QueueRelease(owner.namespace, owner.kind, owner.name, owner.uid, key, words))
    return tuple(found)


def _over(key: str, owner: HeldOwner, steps: Sequence[Step], acts: Acts, placed: bool) -> str | None:
    """What is said as Kueue may look at it; None while something may still come."""
    tracks = (acts.remembered.tracks.get(Tag(key, kind)) for kind in TEMPLATES)
    if any(track.on_its_way and not owner.says(track.action.change) for track in tracks if track is not None):
        return None
    left = [each.hindrance for each in steps if not owner.says(each.action.change)]
    if any(each is None or each.guard not in NEVER for each in left):
        return None
    why = next((each.message for each in left if each is not None), None)
    if why is not None:
        return f"Kueue may look at it as it is: {why}"
    return "Kueue may look at it: its template says what was decided" if placed else None
