"""The cluster as informers see it, and the Snapshot that is taken from it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from math import inf
from typing import Any, Final, Protocol

from mfu.act.templates import HeldOwner
from mfu.act.types import TEMPLATES
from mfu.api.fleetreport import FleetStatus
from mfu.api.powers import ActionType
from mfu.cluster import projection, resources
from mfu.cluster.claimed import Claimed, bound
from mfu.cluster.client import KubeClient
from mfu.cluster.declared import DeclaredStore
from mfu.cluster.device_slices import OF_OUR_DRIVER, CutSlices, cut_slices, partitioned
from mfu.cluster.exporters import Exporter, ExporterPods, exporter
from mfu.cluster.held import HOLDABLE, held_owner
from mfu.cluster.informer import Informer, key_of
from mfu.cluster.resources import JSON
from mfu.cluster.shards import ALL_NAMESPACES, OwnNamespaces, own_part
from mfu.cluster.watches import Watched, Watching, waking_pods, waking_queue
from mfu.cluster.wiring import Wiring, wired, wiring
from mfu.decide.types import NodeView
from mfu.engine.due import MOST_BEHIND, MOST_JUDGED, ROUND_SECONDS, Answers, most_judged, steady, turn, waiting
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Handover, WorkloadPlan
from mfu.engine.snapshot import Assignment, FleetReadings, PodView, PolicyView, Queued, Snapshot, WorkloadView
from mfu.observe.readings import WorkloadSeries
from mfu.observe.steady import Level
from mfu.predict.types import Corrections
from mfu.telemetry.rounds.binding import PodBinding

OVERDUE_SECONDS: Final = 30.0
"""Answers older than this have a share of the turns that no news can take."""
REST_SECONDS: Final = 20.0
"""In a fleet that is judged in turns nobody is judged again sooner, but for news."""
MOST_HOSTS: Final = 20_000
"""Addresses of so many nodes are kept: four times of what one operator is made for."""
HOLDS_DEVICES: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended hold nothing, and there may be many: the API server leaves them out."""


class Past(Protocol):
    """The recent past of telemetry, by pod; the store in `telemetry` is one."""

    def latest(self, now: float) -> FleetReadings: ...

    def series(
        self, pods: Iterable[tuple[str, str]], now: float, *, uids: Mapping[tuple[str, str], str]
    ) -> WorkloadSeries | None: ...

    def stands(
        self, level: Level, pods: Iterable[tuple[str, str]], now: float, *, uids: Mapping[tuple[str, str], str]
    ) -> bool: ...


class ClusterState:
    """All informers together. `changed` is called after any change; `snapshot` is cheap enough for each cycle.

    `waits` is called when a pod is seen behind our gate, `redeclared` with the key of a ModelWorkload that is told from
    outside to declare something new.

    `exporters` says where pods of each source are looked for. `told`: ModelWorkloads and MFUPolicies are told from
    outside (kopf's watch); otherwise they have informers like the rest. `kueue`: its Workloads are watched, which must
    be served then. `check`: name of the AdmissionCheck that we answer. `switched_on` are the actions that this operator
    carries out. `own` are the namespaces that it speaks of.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        changed: Callable[[], None],
        waits: Callable[[], None] = lambda: None,
        redeclared: Callable[[str], None] = lambda _key: None,
        exporters: Mapping[str, ExporterPods] | None = None,
        told: bool = False,
        kueue: bool = False,
        check: str = "",
        switched_on: frozenset[ActionType] = frozenset(),
        own: OwnNamespaces = ALL_NAMESPACES,
    ) -> None:
        self._own = own
        self._own_claims: tuple[Assignment, int, Assignment] | None = None
        self._switched_on = switched_on
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._addresses: frozenset[str] | None = None
        self._bindings: tuple[int, Mapping[tuple[str, str], PodBinding]] | None = None
        self._claimed = Claimed()
        self._used: tuple[tuple[int, int, int], tuple[NodeView, ...]] | None = None

        watch = Watching(client, changed)
        self.workloads: Watched[WorkloadView]
        self.policies: Watched[PolicyView]
        if told:
            self.workloads = watch.told(resources.MODELWORKLOADS, self._workload, redeclared)
            self.policies = watch.told(resources.MFUPOLICIES, projection.policy_view)
        else:
            self.workloads = watch(resources.MODELWORKLOADS, self._workload)
            self.policies = watch(resources.MFUPOLICIES, projection.policy_view)
        self.pods: Informer[PodView] = watch(resources.PODS, waking_pods(waits), fieldSelector=HOLDS_DEVICES)
        self.nodes: Informer[NodeView] = watch(resources.NODES, self._node)
        self.wirings: Informer[Wiring] = watch(resources.GPUNODES, wiring, optional=True)
        self.namespaces: Informer[Mapping[str, str]] = watch(resources.NAMESPACES, projection.namespace_labels)
        self.reports: Informer[Packed[FleetStatus]] = watch(resources.FLEETREPORTS, projection.fleet_status)
        self.slices: Informer[CutSlices] = watch(
            resources.DEVICE_SLICES, cut_slices, optional=True, spare=True, fieldSelector=OF_OUR_DRIVER
        )
        self.queued: Informer[Queued] | None = None
        if kueue:
            self.queued = watch(resources.KUEUE_WORKLOADS, waking_queue(check, waits))
        self.flavors: Informer[Mapping[str, str]] | None = None
        if check:
            self.flavors = watch(resources.KUEUE_FLAVORS, projection.flavor_labels)
        holdable = HOLDABLE if TEMPLATES & switched_on else ()
        self.held: tuple[Informer[HeldOwner], ...] = tuple(
            watch(each, held_owner(each.kind), optional=True) for each in holdable
        )
        self.exporters: dict[str, Informer[Exporter]] = {
            name: watch(resources.PODS, exporter, where.namespace, labelSelector=where.selector)
            for name, where in (exporters or {}).items()
        }

    @property
    def told(self) -> dict[str, DeclaredStore[Any]]:
        """By plural name, the stores that somebody outside must tell."""
        stores = (self.workloads, self.policies)
        return {each.resource.plural: each for each in stores if isinstance(each, DeclaredStore)}

    @property
    def informers(self) -> tuple[Watched[Any], ...]:
        found = (self.workloads, self.policies, self.pods, self.nodes, self.wirings, self.namespaces, self.reports)
        queued = tuple(each for each in (self.queued, self.flavors) if each is not None)
        return (*found, self.slices, *queued, *self.held, *self.exporters.values())

    @property
    def synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self.informers)

    async def wait_synced(self) -> None:
        await asyncio.gather(*(informer.synced.wait() for informer in self.informers))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run(), name=f"informer-{informer.resource.plural}")

    def snapshot(
        self,
        past: Past,
        corrections: Corrections,
        now: float,
        before: Handover | None = None,
        elsewhere: Set[str] = frozenset(),
    ) -> Snapshot:
        """Everything as it is now; views are immutable, so later events do not reach into it.

        `elsewhere`: keys of workloads that are answered beside this cycle.
        """
        workloads = tuple(each for each in self.workloads.objects.values() if self._speaks_of(each.namespace))
        pods = tuple(self.pods.objects.values())
        claims, handed = self.claims(), before or Handover()
        answers = Answers.of(workloads, claims, handed.plans)
        still = self._still(past, answers, now)
        spared = {uid for key in elsewhere if (uid := self._uid(key))}
        whose = self._turn(answers, now, still | spared)
        mine = (
            (view.key, claims.pods[view.key]) for view in workloads if view.uid in whose and view.key in claims.pods
        )
        series = {key: found for key, held in mine if (found := series_of(past, held, now)) is not None}
        return Snapshot(
            workloads=workloads,
            pods=pods,
            nodes=self._nodes(),
            policies=tuple(self.policies.objects.values()),
            namespaces=dict(self.namespaces.objects),
            fleet=past.latest(now),
            series=series,
            corrections=corrections,
            before=handed,
            claims=claims,
            turn=whose,
            steady=still,
            behind=waiting(answers, whose | still | spared, now - ROUND_SECONDS),
            report=self.report,
            queued=tuple(each for each in self._queued() if self._speaks_of(each.namespace)),
            flavors={} if self.flavors is None else dict(self.flavors.objects),
            held=tuple(
                owner for each in self.held for owner in each.objects.values() if self._speaks_of(owner.namespace)
            ),
            partitioned=partitioned(self.slices.objects.values()),
            switched_on=self._switched_on,
        )

    def own(self, key: str) -> WorkloadView | None:
        """A workload that is there and that this operator speaks of."""
        view = self.workloads.objects.get(key)
        return view if view is not None and self._speaks_of(view.namespace) else None

    def _uid(self, key: str) -> str | None:
        view = self.workloads.objects.get(key)
        return None if view is None else view.uid

    def _turn(self, answers: Answers, now: float, still: frozenset[str]) -> frozenset[str]:
        return turn(
            answers,
            most=most_judged(len(answers.views)),
            overdue_before=now - OVERDUE_SECONDS,
            rested_before=inf if len(answers.views) <= MOST_JUDGED else now - REST_SECONDS,
            behind=MOST_BEHIND,
            still=still,
        )

    def _still(self, past: Past, answers: Answers, now: float) -> frozenset[str]:
        """Those that run as they did when they were judged; a fleet of one turn is judged whole."""
        if len(answers.views) <= MOST_JUDGED:
            return frozenset()
        claims = self.claims()

        def stands(plan: WorkloadPlan) -> bool:
            uids = _uids(claims.pods.get(plan.key, ()))
            return plan.level is not None and past.stands(plan.level, uids, now, uids=uids)

        return steady(answers, now, stands=stands)

    @property
    def report(self) -> Packed[FleetStatus]:
        """What the FleetReport says now."""
        return self.reports.objects.get(self._own.report, NO_REPORT)

    def current(self) -> dict[str, dict[str, Any]]:
        """What the cluster says now, in the form that the writer compares with."""
        found: dict[str, dict[str, Any]] = {key: seen(view) for key, view in self.workloads.objects.items()}
        found |= {
            f"policy/{name}": {"status": view.status, "version": view.resource_version}
            for name, view in self.policies.objects.items()
        }
        return found

    def claims(self) -> Assignment:
        """Whose pod is whose; worked out anew only when pods, declarations or, in a shard, namespaces changed."""
        whole = self._claimed.claims(self.workloads, self.pods)
        if not self._own.name:
            return whole
        known, version = self._own_claims, self.namespaces.version
        if known is None or known[0] is not whole or known[1] != version:
            known = self._own_claims = (whole, version, own_part(whole, self._speaks_of, idle=self._own.whole_cluster))
        return known[2]

    def _speaks_of(self, namespace: str) -> bool:
        return self._own.have(self.namespaces.objects.get(namespace))

    def _queued(self) -> Iterable[Queued]:
        return () if self.queued is None else self.queued.objects.values()

    def bindings(self) -> Mapping[tuple[str, str], PodBinding]:
        """Where each pod runs by (namespace, name), those included that are going; made anew when pods change."""
        if self._bindings is None or self._bindings[0] != self.pods.version:
            self._bindings = (self.pods.version, bound(self.pods.objects.values()))
        return self._bindings[1]

    def node_addresses(self) -> frozenset[str]:
        """Addresses of all nodes, those without GPUs included; made anew when one changes."""
        if self._addresses is None:
            self._addresses = frozenset(each for addresses in self._hosts.values() for each in addresses)
        return self._addresses

    def exporter_places(self) -> Mapping[str, str]:
        """Nodes by the addresses that something on them is scraped at: their own, and those of exporters found."""
        exporters = (each for informer in self.exporters.values() for each in informer.objects.values())
        hosts = {address: name for name, addresses in self._hosts.items() for address in (name, *addresses)}
        return {**hosts, **{each.address: each.node for each in exporters}}

    def _workload(self, item: JSON) -> WorkloadView:
        return projection.workload_view(item, self.workloads.objects.get(key_of(item)))

    def _node(self, item: JSON) -> NodeView | None:
        """Of nodes without GPUs nothing is kept but where they are: pods that claim to be there are not read."""
        name, found = item["metadata"]["name"], projection.addresses(item)
        if self._hosts.pop(name, None) != found:
            self._addresses = None
        # The longest unheard of goes first: nodes that are there tell of themselves every few minutes.
        self._hosts[name] = found
        while len(self._hosts) > MOST_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        return projection.node_view(item)

    def _nodes(self) -> tuple[NodeView, ...]:
        versions = (self.pods.version, self.nodes.version, self.wirings.version)
        if self._used is None or self._used[0] != versions:
            self._used = (versions, tuple(self._count_used()))
        return self._used[1]

    def _count_used(self) -> Iterable[NodeView]:
        used: dict[str, dict[str, int]] = {}
        reserved: Counter[str] = Counter()
        for pod in self.pods.objects.values():
            if pod.node is None or pod.phase in ("Succeeded", "Failed"):
                continue
            reserved[pod.node] += pod.reserves
            if pod.portion is not None:
                # Of a device that is held for it, or of a node where none is anybody's own.
                continue
            here = used.setdefault(pod.node, {})
            for resource, amount in pod.gpus.items():
                here[resource] = here.get(resource, 0) + amount
        for name in sorted(self.nodes.objects):
            node = wired(self.nodes.objects[name], self.wirings.objects.get(name))
            yield replace(node, used=used.get(name, {}), reserved=reserved[name]) if name in used else node


def seen(view: WorkloadView) -> dict[str, Any]:
    """What the cluster says of one workload, in the form that the writer compares with."""
    return {
        "status": view.status,
        "annotations": view.annotations,
        "annotated": view.annotated,
        "version": view.resource_version,
    }


def series_of(past: Past, held: Iterable[PodView], now: float) -> WorkloadSeries | None:
    """The recent past of a workload by the pods that it holds."""
    uids = _uids(held)
    return past.series(uids, now, uids=uids)


def _uids(held: Iterable[PodView]) -> dict[tuple[str, str], str]:
    return {(pod.namespace, pod.name): pod.uid for pod in held}
