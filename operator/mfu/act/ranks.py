"""Which of the nodes of a place each pod takes, so that ranks that talk most are next to each other.

A place is a row of shares in the order of ranks. The scheduler knows no ranks: kept to a set of nodes, pods of one
tensor group may land on two of them, and more of them on a node than were meant to, where another workload is promised
the rest. So each pod is kept to its own node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import HOST_LABEL, Domain, Share
from mfu.decide.fleet.fitting import Grant
from mfu.decide.fleet.placement import preferred, required

RANK_LABELS: Final = (
    "batch.kubernetes.io/job-completion-index",
    "apps.kubernetes.io/pod-index",
    "training.kubeflow.org/replica-index",
)
"""By which controllers number the pods of one Job, StatefulSet or PyTorchJob."""

MOST_ORDER_BYTES: Final = 8192
"""Of an order of ranks: each pod of the job carries it."""


@dataclass(frozen=True, slots=True)
class RankedPod:
    """One pod of a job."""

    uid: str
    rank: int | None
    """None where nobody numbers its pods."""
    gpus: int


def rank_of(labels: Mapping[str, str]) -> int | None:
    found = next((labels[name] for name in RANK_LABELS if name in labels), "")
    return int(found) if found.isascii() and found.isdigit() else None


def seats(pods: Sequence[RankedPod], grants: Sequence[Grant]) -> dict[str, Share]:
    """Node by uid, in the order of ranks; nothing where ranks are unknown or the pods are not what the place is for.

    A place of one node has nothing to deal out.

    Shares of 2 on a and 2 on b, four pods of one GPU: ranks 0 and 1 take a, ranks 2 and 3 take b.
    """
    ranks = {pod.rank for pod in pods}
    if len(grants) != 1 or len(grants[0].shares) < 2 or None in ranks or len(ranks) != len(pods):
        return {}
    if sum(pod.gpus for pod in pods) != grants[0].gpus:
        return {}
    return _dealt(sorted(pods, key=lambda pod: pod.rank or 0), grants[0].shares)


def _dealt(pods: Sequence[RankedPod], shares: Sequence[Share]) -> dict[str, Share]:
    """Nothing where a pod would have to be on two nodes."""
    found: dict[str, Share] = {}
    row, left = 0, shares[0].gpus
    for pod in pods:
        if left == 0:
            row += 1
            left = shares[row].gpus
        if pod.gpus > left:
            return {}
        found[pod.uid] = Share(shares[row].node, pod.gpus)
        left -= pod.gpus
    return found


def rank_order(pods: Sequence[RankedPod], taken: Mapping[str, Share]) -> str:
    """Nodes with their ranks, in the order of ranks; empty where nothing was dealt out, or it would be too long to say.

    Ranks 0 and 1 on a, rank 2 on b: `a=0-1,b=2`. What a launcher reads by the downward API to number its own processes.
    """
    seated = sorted((pod.rank or 0, taken[pod.uid].node) for pod in pods if pod.uid in taken)
    runs: list[tuple[str, int, int]] = []
    for rank, node in seated:
        if runs and runs[-1][0] == node and runs[-1][2] == rank - 1:
            runs[-1] = (node, runs[-1][1], rank)
        else:
            runs.append((node, rank, rank))
    said = ",".join(f"{node}={first}" if first == last else f"{node}={first}-{last}" for node, first, last in runs)
    return said if len(said) <= MOST_ORDER_BYTES else ""


def kept_to(seat: Share, grant: Grant, kind: ActionType) -> Mapping[str, Any]:
    """Node affinity for the pod of that seat, binding or not as the action is."""
    mine = replace(grant, shares=(seat,), domains=(Domain(HOST_LABEL, seat.node),))
    return required([mine]) if kind is ActionType.REQUIRED_AFFINITY else preferred([mine])
