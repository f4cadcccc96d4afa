"""The bench without a cluster: where the money goes, and how far it could go at all. Seconds instead of minutes.

`python -m benchmarks.placement.offline`. A place is found at once and jobs start at once, so only the choice of the
place counts: waits are those for a free GPU. The order of Kueue is its own (flavors by price, the tightest leaf, then
the tightest node); ours is the solver with what the operator predicts; *knowing* takes for each job the place that the
truth makes cheapest. The ceiling has every job on its cheapest product as if there were enough of each: no scheduler
that leaves layouts and GPUs of the jobs as they are gets more.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import Final

from benchmarks.placement.contenders import NAMESPACE, policy
from benchmarks.placement.fleet import FleetNode, fleet
from benchmarks.placement.work import ARRIVE_WITHIN_SECONDS, Work, declaration, work
from benchmarks.placement_truth import HARDWARE, Kind, Spot, Truth
from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.fitting import fit
from mfu.decide.fleet.standing import Need
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import PodView, PolicyView, Snapshot, WorkloadView
from mfu.hardware.catalog import load
from mfu.hardware.labels import WHOLE
from mfu.hardware.types import Device

SEEDS: Final = (1, 2, 3)
NODES, JOBS = 64, 300
IDLE_SECONDS: Final = 0.35
"""Of each job, for which its GPUs are paid and do nothing: from bound to running, and until the end is seen."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is free where."""

    nodes: Mapping[str, FleetNode]
    free: dict[str, int]

    def of(self, label: str) -> list[str]:
        return [name for name, node in self.nodes.items() if node.hardware.label == label]

    def product(self, name: str) -> str:
        return self.nodes[name].hardware.label


Chooser = Callable[[Work, Fleet], list[str] | None]
"""Node by rank of the pods; None where nothing holds the job."""


@dataclass(slots=True)
class Outcome:
    dollars: float = 0.0
    flops: float = 0.0
    waits: list[float] = field(default_factory=list)
    hours: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def cost_per_exaflop(self) -> float:
        return self.dollars / self.flops * 1e18


_Event = tuple[float, int, Work, tuple[str, ...]]
"""When, a number to tell equals apart, which job, and the nodes that it leaves; none where it arrives."""


def played(seed: int, choose: Chooser) -> Outcome:
    """All jobs of one seed; who finds no place is asked again whenever a job ends, the oldest first."""
    truth = Truth(seed)
    nodes = {node.name: node for node in fleet(seed, NODES)}
    now = Fleet(nodes, {name: node.gpus for name, node in nodes.items()})
    number, outcome, waiting = count(), Outcome(), list[Work]()
    arriving = work(seed, JOBS, ARRIVE_WITHIN_SECONDS)
    events: list[_Event] = [(job.arrives_at, next(number), job, ()) for job in arriving]
    while events:
        at, _, job, ended = heapq.heappop(events)
        for name in ended:
            now.free[name] += job.kind.piece
        waiting = waiting if ended else [*waiting, job]
        for each in tuple(waiting):
            names = choose(each, now)
            if names is not None:
                waiting.remove(each)
                seconds = _started(each, names, now, truth, outcome)
                outcome.waits.append(at - each.arrives_at)
                heapq.heappush(events, (at + seconds, next(number), each, tuple(names)))
    return outcome


def _started(job: Work, names: Sequence[str], now: Fleet, truth: Truth, outcome: Outcome) -> float:
    """Seconds that it holds its GPUs."""
    rate = truth.flops_per_s(job.kind, [Spot(name, now.product(name)) for name in names])
    seconds = job.flops / rate + IDLE_SECONDS
    for name in names:
        now.free[name] -= job.kind.piece
        hours = seconds * job.kind.piece / 3600.0
        outcome.hours[now.product(name)] += hours
        outcome.dollars += hours * now.nodes[name].hardware.dollars
    outcome.flops += job.flops
    return seconds


def ceiling(seed: int) -> float:
    """$ per useful EFLOP with each job on the product that the truth makes cheapest, whole on as few nodes."""
    truth, dollars, flops = Truth(seed), 0.0, 0.0
    for job in work(seed, JOBS, ARRIVE_WITHIN_SECONDS):
        dollars += min(_price(job, truth, label) for label in job.products)
        flops += job.flops
    return dollars / flops * 1e18


def _price(job: Work, truth: Truth, label: str) -> float:
    a_node = 1 if label == "NVIDIA-A10" else 8
    spots = [Spot(str(rank * job.kind.piece // a_node), label) for rank in range(job.pods)]
    seconds = job.flops / truth.flops_per_s(job.kind, spots) + IDLE_SECONDS
    return seconds * job.kind.gpus / 3600.0 * HARDWARE[label].dollars


def kueue_order(job: Work, now: Fleet) -> list[str] | None:
    """The cheapest flavor that holds it; there the tightest leaf, or all of it."""
    for label in job.products:
        mine, group = now.of(label), max(job.kind.tensor, job.kind.piece)
        room = {name: now.free[name] // group * group for name in mine}
        by_leaf: dict[str, dict[str, int]] = defaultdict(dict)
        for name in mine:
            by_leaf[now.nodes[name].leaf][name] = room[name]
        holding = [each for each in by_leaf.values() if sum(each.values()) >= job.kind.gpus]
        among = min(holding, key=lambda each: sum(each.values()), default=room)
        if sum(among.values()) >= job.kind.gpus:
            return _packed(job.kind, among)
    return None


def _packed(kind: Kind, room: Mapping[str, int]) -> list[str]:
    """The fullest nodes first, the tightest for the rest."""
    open_, names, left = dict(room), list[str](), kind.gpus
    while left:
        holding = [name for name in open_ if open_[name] >= left]
        pick = min(holding, key=lambda name: (open_[name], name), default=max(open_, key=lambda name: open_[name]))
        taken = min(left, open_.pop(pick))
        names += [pick] * (taken // kind.piece)
        left -= taken
    return names


def knowing(truth: Truth) -> Chooser:
    """The place on which the truth makes this job cheapest, whatever comes after it."""

    def choose(job: Work, now: Fleet) -> list[str] | None:
        def worth(names: Sequence[str]) -> float:
            rate = truth.flops_per_s(job.kind, [Spot(name, now.product(name)) for name in names])
            return rate / now.nodes[names[0]].hardware.dollars

        return max(_whole(job, now), key=worth, default=None)

    return choose


def _whole(job: Work, now: Fleet) -> Iterator[list[str]]:
    """The tightest place of each product."""
    for label in job.products:
        group = max(job.kind.tensor, job.kind.piece)
        room = {name: now.free[name] // group * group for name in now.of(label)}
        if sum(room.values()) >= job.kind.gpus:
            yield _packed(job.kind, room)


def ours(seed: int) -> Chooser:
    """The solver, with what the operator predicts of each program."""
    needs: dict[str, Need | None] = {}
    nodes = fleet(seed, NODES)

    def choose(job: Work, now: Fleet) -> list[str] | None:
        if job.kind.name not in needs:
            needs[job.kind.name] = _need(job, nodes)
        need = needs[job.kind.name]
        pick = fit(need, capacity_of(_views(nodes, now.free), ())) if need else None
        if pick is None:
            return None
        return [share.node for share in pick.grant.shares for _ in range(share.gpus // job.kind.piece)]

    return choose


def _views(nodes: Iterable[FleetNode], free: Mapping[str, int]) -> tuple[NodeView, ...]:
    found = []
    for node in nodes:
        device = load().resolve(node.hardware.label)
        assert isinstance(device, Device)
        labels, used = node.manifest["metadata"]["labels"], {WHOLE: node.gpus - free[node.name]}
        found.append(NodeView(node.name, node.hardware.label, device, node.gpus, used=used, labels=labels))
    return tuple(found)


def _need(job: Work, nodes: Sequence[FleetNode]) -> Need | None:
    """What the operator's own cycle makes of its declaration and its pods."""
    spec = WorkloadSpec.model_validate(declaration(job)["spec"])
    pods = tuple(
        PodView(NAMESPACE, f"{job.name}-{rank}", f"{job.name}-{rank}", 0.0, None, "Pending",
                labels={WORKLOAD_LABEL: job.name}, gpus={WHOLE: job.kind.piece})
        for rank in range(job.pods)
    )  # fmt: skip
    snapshot = Snapshot(
        workloads=(WorkloadView(NAMESPACE, job.name, job.name, 1, 0.0, spec),),
        pods=pods,
        nodes=_views(nodes, {node.name: node.gpus for node in nodes}),
        policies=(PolicyView("bench", "bench", 1, PolicySpec.model_validate(policy()["spec"])),),
        namespaces={NAMESPACE: {"kubernetes.io/metadata.name": NAMESPACE}},
    )
    standing = evaluate(snapshot, 1.0).workloads[0].standing
    return standing.ask if standing else None


def main() -> None:
    print("| seed | order | $ per useful EFLOP | against Kueue's order | wait for GPUs, mean s | GPU-hours |")
    print("|---|---|---|---|---|---|")
    for seed in SEEDS:
        theirs = played(seed, kueue_order)
        found = {"Kueue's": theirs, "ours": played(seed, ours(seed)), "knowing": played(seed, knowing(Truth(seed)))}
        for name, each in found.items():
            cost, hours = each.cost_per_exaflop, sum(each.hours.values())
            gain = theirs.cost_per_exaflop / cost - 1.0
            print(f"| {seed} | {name} | {cost:.3f} | {gain:+.1%} | {fmean(each.waits):.2f} | {hours:.1f} |")
        most = ceiling(seed)
        print(f"| {seed} | ceiling | {most:.3f} | {theirs.cost_per_exaflop / most - 1.0:+.1%} | | |")


if __name__ == "__main__":
    main()
