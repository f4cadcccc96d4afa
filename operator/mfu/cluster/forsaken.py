"""Nodes on their way to another MIG layout that nobody takes further: the release keeper gives them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.act.reshape import Reshape, forsaken, read_back
from mfu.cluster.client import KubeClient
from mfu.cluster.node_keeper import Leaving
from mfu.cluster.reshaping import RESHAPE, give_back
from mfu.cluster.resources import JSON

_OUTCOME: Final = "nobody took it further; it is given back as it is"


@dataclass(frozen=True, slots=True)
class ReshapedNode:
    """A node on its way, as its annotation says; None where that is not to be read."""

    name: str
    uid: str
    going: Reshape | None

    @property
    def place(self) -> str:
        """Where on its way it is: while that changes, somebody is at it."""
        return f"{self.uid} {self.going and (self.going.phase, self.going.since)}"


def reshaped_node(item: JSON) -> ReshapedNode | None:
    metadata = item["metadata"]
    if RESHAPE not in (metadata.get("labels") or {}):
        return None
    going = read_back((metadata.get("annotations") or {}).get(RESHAPE, ""))
    return ReshapedNode(metadata["name"], metadata["uid"], going)


async def _uncordon(client: KubeClient, node: JSON) -> str:
    await give_back(client, node, _OUTCOME)
    return "GivenBack"


ON_THEIR_WAY: Final = Leaving(
    RESHAPE, reshaped_node, lambda node, now, waited: forsaken(node.going, now, waited), _uncordon
)
"""Cordoned; uncordoned where one stands still for longer than any part of the way takes."""
