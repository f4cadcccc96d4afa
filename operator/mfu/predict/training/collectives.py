"""Time of collectives inside and across nodes, by message size and latency, for arrays of groups.

Ring algorithms: each of n GPUs sends (n-1)/n of the message for a reduce-scatter or an all-gather, twice that for an
all-reduce (Thakur, Rabenseifner, Gropp 2005; NCCL-tests PERFORMANCE.md has the same bus factors). A group that spans
nodes is held up by the network: its GPUs of one node share that node's adapters, one each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfu.predict.training.arrays import Array, Machine
from mfu.predict.training.constants import TrainingConstants


@dataclass(frozen=True, slots=True)
class RankGroup:
    """`size` GPUs, every `stride`-th of the job; `local` of them share a node."""

    size: Array
    local: Array

    @property
    def nodes(self) -> Array:
        return np.maximum(np.ceil(self.size / self.local), 1.0)


def group(machine: Machine, size: Array, stride: Array) -> RankGroup:
    """Ranks are laid out tensor, context, expert and data, pipeline: inner groups fill the node first."""
    room = np.maximum(np.floor(machine.node / stride), 1.0)
    return RankGroup(size, np.minimum(size, room))


def bandwidth(machine: Machine, c: TrainingConstants, members: RankGroup) -> Array:
    """Bytes/s that one GPU sends in a ring over the group: NVLink alone, or the slower of it and the adapters."""
    across = machine.network * members.local ** np.where(machine.efa > 0.5, c["rail_efa"], 1.0)
    return np.where(members.nodes > 1.0, np.minimum(machine.link, across), machine.link)


def half_ring_seconds(machine: Machine, c: TrainingConstants, members: RankGroup, size_bytes: Array) -> Array:
    """Reduce-scatter or all-gather of `size_bytes` in total per GPU.

    1 GB over 8 GPUs at 300 GB/s: 7/8 · 1e9 / 300e9 = 2.92 ms and the latency.
    """
    steps = np.maximum(members.size - 1.0, 0.0)
    moved = size_bytes * steps / np.maximum(members.size, 1.0) / bandwidth(machine, c, members)
    return np.where(members.size > 1.0, moved + latency(machine, c, members), 0.0)


def latency(machine: Machine, c: TrainingConstants, members: RankGroup) -> Array:
    """Launch of the collective and the hops of its ring: all-gather and reduce-scatter have no tree in NCCL.

    A block on its way round crosses the network once a node, 2 times of 15 for 16 GPUs of two nodes. Over Elastic
    Fabric Adapter each step waits for the slowest hop (layout_sweep.csv: 0.6 ms for tensor 16 over two nodes; vTrain's
    A100 over InfiniBand under 0.15 ms).
    """
    inside = machine.link_latency * (1.0 + c["hop_share"] * np.maximum(members.local - 1.0, 0.0))
    steps = members.size - 1.0
    crossed = np.where(machine.efa > 0.5, steps, np.minimum(members.nodes, steps))
    return inside + np.where(members.nodes > 1.0, machine.network_latency * crossed, 0.0)


def dispatch_seconds(
    machine: Machine, c: TrainingConstants, members: RankGroup, token_bytes: Array, routed: tuple[Array, Array]
) -> Array:
    """Each GPU sends its tokens to some experts spread evenly over the members. `routed`: copies of each token, and 1
    where it is sent once to all of them that lie on one GPU, 0 where every expert gets its own copy.

    Once (DeepEP): between nodes once to each node that holds one of its experts, and spread there: of N,
    N · (1 - (1 - 1/N) ** copies), less the own one. 8 copies over 8 GPUs reach 4.6 others instead of 7; over 4 nodes
    they reach 3.6, so 2.7 cross instead of 6. A plain all-to-all sends the 7 and the 6. All peers are sent to at once,
    so latency does not grow with their number as a ring's does.
    """
    copies, once = routed
    share = 1.0 / np.maximum(members.size, 1.0)
    nodes = members.nodes
    reached = once * nodes * (1.0 - (1.0 - 1.0 / nodes) ** copies) + (1.0 - once) * copies
    spread = (members.size - 1.0) * (1.0 - (1.0 - share) ** copies)
    beside = copies * np.maximum(members.size / nodes - 1.0, 0.0) * share
    local = token_bytes * (once * spread + (1.0 - once) * beside) / machine.link
    remote = token_bytes * reached * (1.0 - 1.0 / nodes) / machine.network
    hops = machine.link_latency + np.where(nodes > 1.0, machine.network_latency * (1.0 + np.log2(nodes)), 0.0)
    return np.where(members.size > 1.0, np.maximum(local, remote) + hops, 0.0)


def send_seconds(machine: Machine, crosses: NDArray[np.bool_], size_bytes: Array) -> Array:
    """One message to the neighbour, over the network where `crosses`."""
    inside = machine.link_latency + size_bytes / machine.link
    across = machine.network_latency + size_bytes / machine.network
    return np.where(crosses, across, inside)
