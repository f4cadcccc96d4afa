"""Builders of small fleets: standings that wait, nodes with GPUs taken, and strategies that draw them at random."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

from mfu.decide.fleet.capacity import Capacity, DeviceKind, capacity_of
from mfu.decide.fleet.order import Together, decide_together
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.types import Decision, DecisionType, NodeView, Outcome
from tests.builders.cases import node

H100: Final = "NVIDIA-H100-80GB-HBM3"
A100: Final = "NVIDIA-A100-SXM4-80GB"
STEADY = settings(max_examples=min(60, settings().max_examples), derandomize=True, deadline=None)
"""The same examples in every run; fewer where a profile asks for fewer."""


def waits(name: str, gpus: int = 8, *, priority: int = 0, since: float = 0.0, **ask: Any) -> Standing:
    """A workload whose pods wait for `gpus` H100s or whatever is there."""
    return Standing(
        key=f"team/{name}", priority=priority, waiting_since=since, pending=True, ask=Need(gpus=gpus, **ask)
    )


def told(together: Together, name: str) -> Decision:
    """What that workload is told of its place."""
    made = {each.type: each for each in together.decisions[f"team/{name}"]}
    return made[DecisionType.PLACEMENT]


def taken(together: Together) -> dict[tuple[DeviceKind, str], int]:
    """Devices drawn, by kind and node."""
    found: dict[tuple[DeviceKind, str], int] = {}
    for grants in together.grants.values():
        for grant in grants:
            for share in grant.shares:
                found[(grant.kind, share.node)] = found.get((grant.kind, share.node), 0) + share.gpus
    return found


def standing_of_outcome(together: Together, key: str) -> tuple[int, list[int]]:
    """How well a workload came off, comparable: more copies first, then better ones; lower is better."""
    grants = together.grants.get(key, ())
    return -len(grants), sorted(int(grant.quality) for grant in grants)


def satisfied(decision: Decision) -> bool:
    return decision.outcome is Outcome.PLACE


def nodes_of(*free: int, product: str = H100, **fields: Any) -> tuple[NodeView, ...]:
    """One node of eight GPUs for each number, with that many free."""
    return tuple(node(f"n{index}", product=product, used=8 - each, **fields) for index, each in enumerate(free))


def decided(standings: list[Standing], nodes: tuple[NodeView, ...]) -> Together:
    return decide_together(standings, capacity_of(nodes))


@st.composite
def fleets(draw: st.DrawFn, most_nodes: int = 6) -> Capacity:
    """Nodes of two products, some joined in NVLink domains, some cordoned."""
    nodes = []
    for index in range(draw(st.integers(0, most_nodes))):
        nodes.append(
            node(
                f"n{index}",
                product=draw(st.sampled_from([H100, A100])),
                used=draw(st.integers(0, 8)),
                domain=draw(st.sampled_from([None, None, "c1", "c2"])),
                schedulable=draw(st.booleans()) or draw(st.booleans()),
            )
        )
    return capacity_of(nodes)


@st.composite
def queues(draw: st.DrawFn, most: int = 7) -> list[Standing]:
    """Workloads of all shapes that wait; names are unique, priorities and ages often equal."""
    made = []
    for index in range(draw(st.integers(0, most))):
        gpus = draw(st.sampled_from([1, 2, 4, 8, 12, 16, 24]))
        piece = draw(st.sampled_from([each for each in (1, 2, 4, 8) if gpus % each == 0]))
        made.append(
            waits(
                f"w{index}",
                gpus,
                priority=draw(st.integers(0, 2)),
                since=float(draw(st.integers(0, 2))),
                piece=piece,
                tensor=draw(st.sampled_from([each for each in (1, 2, 4, 8) if gpus % each == 0])),
                copies=draw(st.integers(1, 3)),
                products=draw(st.sampled_from([frozenset(), frozenset({"h100-sxm5-80gb"})])),
            )
        )
    return made
