"""Which replicas go first when a service shrinks: the least useful ones. Pure.

A ReplicaSet removes pods of the lowest `controller.kubernetes.io/pod-deletion-cost` first, of those that are ready for
as long as one another (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost). Each
mark is a write, so only those that are to go are marked, and a mark is taken back when nobody has to go any more. A
cost that is not our mark is somebody's own word: then nothing is marked at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.act.types import Acts
from mfu.api.powers import ActionType

MARK: Final = -100
"""Below the 0 that pods without a word have."""
MOST_MARKED: Final = 16
"""Pods of one action: each is a write."""


@dataclass(frozen=True, slots=True)
class ReplicaUse:
    """One running replica, and the tokens per second that it wrote of late."""

    uid: str
    name: str
    tokens_per_s: float
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class PodMark:
    """A pod's deletion cost to be set, or with None to be taken back. Said again until the cluster shows it."""

    namespace: str
    pod: str
    uid: str
    workload: str
    cost: int | None
    words: str

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.uid}/cost"


def marks(replicas: Sequence[ReplicaUse], leaving: int) -> dict[str, int | None]:
    """What is to change, by uid: the `leaving` least useful are marked, others are not any more.

    Of 5, 0 and 9 tokens/s one leaves: the one of 0.
    """
    if any(each.cost not in (None, MARK) for each in replicas):
        return {}
    first = sorted(replicas, key=lambda each: (each.tokens_per_s, each.name))[: max(0, min(leaving, MOST_MARKED))]
    chosen = {each.uid for each in first}
    wanted = {each.uid: MARK if each.uid in chosen else None for each in replicas}
    return {each.uid: wanted[each.uid] for each in replicas if each.cost != wanted[each.uid]}


def marked(acts: Acts, pods: Mapping[str, tuple[str, str, int | None]]) -> tuple[PodMark, ...]:
    """Those on their way that the cluster does not show yet; `pods` are namespace, name and cost by uid."""
    found = []
    for tag, track in sorted(acts.remembered.tracks.items()):
        if tag.type is not ActionType.POD_DELETION_COST or not track.on_its_way:
            continue
        for uid, cost in sorted(track.action.change["costs"].items()):
            if uid in pods and pods[uid][2] != cost:
                namespace, name, _ = pods[uid]
                found.append(PodMark(namespace, name, uid, tag.workload, cost, track.action.words))
    return tuple(found)
