"""The MIG layout that a node should get next: proposed for whoever waits for it, one node at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from mfu.act.proposals import layout_action
from mfu.act.types import Acts, LayoutOrder, Proposal, Track
from mfu.api.fleetreport import LayoutState, PlannedLayout
from mfu.api.powers import ActionType
from mfu.decide.fleet.mig.relayout import relayout, relayouts, sliced_words
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import DecisionType, EffectivePolicy, Mode, NodeView
from mfu.engine.evidence import evidence
from mfu.engine.plan import WorkloadPlan
from mfu.engine.policies import InForce
from mfu.engine.snapshot import Snapshot
from mfu.hardware.labels import MIG_PREFIX

MOST_LAYOUTS: Final = 20
_NONE: Final[tuple[Proposal, ...]] = ()


def layout_proposals(
    snapshot: Snapshot,
    plans: Sequence[WorkloadPlan],
    standings: Sequence[Standing],
    around: tuple[Sequence[NodeView], InForce],
) -> tuple[Proposal, ...]:
    """At most one, and none while another one is on its way."""
    nodes, force = around
    if not any(each.pending and each.ask is not None and each.ask.profile for each in standings):
        return _NONE
    tracks = snapshot.before.acted.tracks.values()
    if any(each.on_its_way and each.action.type is ActionType.MIG_LAYOUT for each in tracks):
        return _NONE
    change = relayout(nodes, standings, _spared(snapshot, force) | _cut_on_allocation(snapshot))
    plan = next((each for each in plans if change is not None and each.key == change.serves[0]), None)
    if change is None or plan is None or plan.frozen or plan.standing is None:
        return _NONE
    confidence, observed_at = evidence(plan, DecisionType.MIG)
    known = (plan.standing.priority, confidence, observed_at)
    return (Proposal(layout_action(change), force.of(plan.namespace), *known),)


def layout_rows(
    snapshot: Snapshot,
    standings: Sequence[Standing],
    around: tuple[Sequence[NodeView], InForce],
    orders: Sequence[LayoutOrder],
) -> tuple[PlannedLayout, ...]:
    """What the report says: nodes on their way, then the plan as if all consented, then said where they do not."""
    nodes, force = around
    under_way = [
        PlannedLayout(node=each.node, layout=each.config, slices=sliced_words(each.wanted), state=LayoutState.UNDER_WAY)
        for each in orders
    ]
    changes = relayouts(nodes, standings, {each.node for each in orders} | _cut_on_allocation(snapshot))
    spared = _spared(snapshot, force) if changes else frozenset()
    planned = (
        PlannedLayout(
            node=each.node,
            layout=each.config,
            slices=each.slices,
            waiting=len(each.serves),
            moved=each.moved,
            state=LayoutState.NOT_CONSENTED if each.node in spared else LayoutState.PLANNED,
        )
        for each in changes
    )
    return tuple(islice((*under_way, *planned, *_nothing_to_lay_out(snapshot, standings)), MOST_LAYOUTS))


def _cut_on_allocation(snapshot: Snapshot) -> frozenset[str]:
    """Their driver cuts what a claim asks for, and takes away what another one laid out there."""
    return frozenset(each.node for each in snapshot.partitioned)


def _nothing_to_lay_out(snapshot: Snapshot, standings: Sequence[Standing]) -> Iterator[PlannedLayout]:
    """Nodes whose driver cuts what somebody waits for, as soon as it is claimed."""
    waiting = Counter(each.ask.profile for each in standings if each.pending and each.ask is not None)
    for node in sorted(snapshot.partitioned, key=lambda each: each.node):
        served = [profile for profile in node.profiles if waiting[profile]]
        if served:
            count = sum(waiting[profile] for profile in served)
            slices = ", ".join(served)
            yield PlannedLayout(node=node.node, slices=slices, waiting=count, state=LayoutState.ON_ALLOCATION)


def _spared(snapshot: Snapshot, force: InForce) -> frozenset[str]:
    """Nodes that somebody runs on whose own policy does not let pods be moved for a layout."""
    movable = {name: _consents(force.of(name)) for name in {pod.namespace for pod in snapshot.pods if pod.bound}}
    return frozenset(
        pod.node for pod in snapshot.pods if pod.node and pod.bound and pod.gpus and not movable[pod.namespace]
    )


def _consents(policy: EffectivePolicy) -> bool:
    return policy.mode_of(DecisionType.MIG) is Mode.ENFORCE and ActionType.MIG_LAYOUT in policy.actions


def layout_orders(acts: Acts) -> tuple[LayoutOrder, ...]:
    tracks = (track for _, track in sorted(acts.remembered.tracks.items()))
    return tuple(
        LayoutOrder(
            node=track.action.target.name,
            config=str(track.action.change["config"]),
            wanted=dict(track.action.change["wanted"]),
            workload=track.action.workload,
            words=track.action.words,
        )
        for track in tracks
        if track.on_its_way and track.action.type is ActionType.MIG_LAYOUT
    )


def made(track: Track, nodes: Iterable[NodeView]) -> bool:
    """Whether the node offers the layout, to everybody."""
    if track.action.type is not ActionType.MIG_LAYOUT:
        return False
    wanted = {name.removeprefix(MIG_PREFIX): count for name, count in track.action.change["wanted"].items()}
    node = next((each for each in nodes if each.name == track.action.target.name), None)
    return node is not None and node.schedulable and all(node.mig.get(name) == count for name, count in wanted.items())
