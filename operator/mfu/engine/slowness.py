"""Slow nodes from the workloads of this cycle: who is believed, what is proposed, and what is given back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.act.slowing import RENEWED_SECONDS, SLOW_VALID_SECONDS, SlowOrder, slow_action
from mfu.act.types import Acted, Acts, Proposal, Tag
from mfu.api.powers import ActionType
from mfu.decide.fleet.slow_nodes import (
    BEHIND,
    SlowMemory,
    SlowNode,
    gathered,
    peer_gaps,
    slow_nodes,
    within_share,
)
from mfu.decide.types import DecisionType, EffectivePolicy, Mode, NodeView
from mfu.engine.plan import WorkloadPlan
from mfu.engine.policies import InForce
from mfu.engine.snapshot import Snapshot
from mfu.observe.diagnosis.build import graded

CERTAIN: Final = 4 * BEHIND
"""Share behind from which nothing else explains it."""
_TAINT: Final = ActionType.PREFER_NO_SCHEDULE
_OVER: Final = "no longer slower than its peers, as far as anybody shows: pods may go there as anywhere"


@dataclass(frozen=True, slots=True)
class Slowness:
    """Which nodes are slow now, within the share that may be marked, and what the next cycle has to know."""

    slow: tuple[SlowNode, ...]
    memory: SlowMemory


def slowness(snapshot: Snapshot, plans: Sequence[WorkloadPlan], nodes: Sequence[NodeView], now: float) -> Slowness:
    """Of workloads whose readings are believed; what others said before stands for a while."""
    compared = {
        plan.key: (plan.namespace, gaps)
        for plan in plans
        if plan.key in snapshot.series and not (plan.frozen or plan.paused)
        if (gaps := peer_gaps(snapshot.series[plan.key]))
    }
    before = snapshot.before.slow
    witnesses = gathered(before.witnesses, compared, now)
    marked = {node.name for node in nodes if node.slow_until is not None}
    slow, _ = within_share(slow_nodes(witnesses), nodes, marked)
    names = {each.node for each in slow}
    return Slowness(slow, SlowMemory(witnesses, frozenset(names | (before.condemned & marked))))


def slow_proposals(
    found: Slowness, plans: Sequence[WorkloadPlan], nodes: Sequence[NodeView], around: tuple[InForce, Acted]
) -> tuple[Proposal, ...]:
    """One for each slow node without our mark, on behalf of a workload that shows it."""
    force, acted = around
    if not found.slow:
        return ()
    marked = {node.name for node in nodes if node.slow_until is not None}
    by_key, taken = {plan.key: plan for plan in plans}, set[str]()
    made = []
    for each in sorted(found.slow, key=lambda each: each.node):
        spoken = _spokesman(each, acted, taken)
        if each.node in marked or spoken is None:
            continue
        taken.add(spoken)
        plan = by_key.get(spoken)
        priority = plan.standing.priority if plan and plan.standing else 0
        policy, sure = _policy(each, force), graded(each.behind, BEHIND, CERTAIN)
        made.append(Proposal(slow_action(each, spoken), policy, priority, sure, each.last))
    return tuple(made)


def _spokesman(slow: SlowNode, acted: Acted, taken: set[str]) -> str | None:
    """At most one action of the type is on its way for a workload: who speaks for another node is spared."""
    going = {
        key: track.action.target.name
        for key in slow.workloads
        if (track := acted.tracks.get(Tag(key, _TAINT))) is not None and track.on_its_way
    }
    mine = [key for key, node in going.items() if node == slow.node]
    free = [key for key in slow.workloads if key not in going]
    return next((key for key in (*mine, *free) if key not in taken), None)


def _policy(slow: SlowNode, force: InForce) -> EffectivePolicy:
    """All whose workloads show it have to let it be done: the first that does not says why."""
    policies = [force.of(each.partition("/")[0]) for each in slow.workloads]
    return next((each for each in policies if not _consents(each)), policies[0])


def _consents(policy: EffectivePolicy) -> bool:
    return policy.mode_of(DecisionType.PLACEMENT) is Mode.ENFORCE and _TAINT in policy.actions


def slow_orders(
    found: Slowness, acts: Acts, nodes: Iterable[NodeView], force: InForce, now: float
) -> tuple[SlowOrder, ...]:
    """Marks to be put on, renewed or taken off now."""
    until = int(now + SLOW_VALID_SECONDS)
    slow = {each.node: each for each in found.slow}
    marked: Mapping[str, int] = {node.name: node.slow_until for node in nodes if node.slow_until is not None}
    tracks = (track for _, track in sorted(acts.remembered.tracks.items()))
    put_on = [
        SlowOrder(track.action.target.name, track.action.words, until)
        for track in tracks
        if track.on_its_way and track.action.type is _TAINT and track.action.target.name not in marked
    ]
    for name, ends in sorted(marked.items()):
        stands = name in slow and _consents(_policy(slow[name], force))
        if stands and ends - now < RENEWED_SECONDS:
            put_on.append(SlowOrder(name, slow[name].words, until))
        elif not stands and (name in found.memory.condemned or now >= ends):
            put_on.append(SlowOrder(name, _OVER, None))
    return tuple(put_on)
