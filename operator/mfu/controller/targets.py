"""Whom to read: exporters from the configuration, progress endpoints from what workloads declare on their own pods."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mfu.api.inference import Phase
from mfu.api.modelworkload import Mode, Progress, WorkloadSpec
from mfu.cluster.exporters import Exporter
from mfu.cluster.state import ClusterState
from mfu.controller import config
from mfu.engine.snapshot import PodView
from mfu.observe.readings import Counter, ProgressReading
from mfu.telemetry.addresses import refusal
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.latencies import LatencyLimits, timed
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.sources import Endpoint, Target


def exporter_targets(
    state: ClusterState, name: str, url_template: str | None, discovery: config.PodDiscovery
) -> Callable[[], Iterable[Target]]:
    """One target a GPU node from the template, or one for each exporter pod that is found."""

    def from_template() -> Iterator[Target]:
        for node in state.nodes.objects:
            yield Target(node, (url_template or "").format(node=node), node)

    def from_pods() -> Iterator[Target]:
        for each in speakers(state, name).by_node.values():
            host = f"[{each.address}]" if ":" in each.address else each.address
            yield Target(each.node, f"http://{host}:{discovery.port}{discovery.path}", each.node)

    return from_template if url_template else from_pods


@dataclass(frozen=True, slots=True)
class Speakers:
    """The one exporter that speaks for each node, and why nobody does for some."""

    by_node: Mapping[str, Exporter]
    refused: Mapping[str, str]


def speakers(state: ClusterState, name: str) -> Speakers:
    """Where two pods claim to speak for a node, neither is believed."""
    by_node: dict[str, list[Exporter]] = {}
    informer = state.exporters.get(name)
    for each in informer.objects.values() if informer else ():
        by_node.setdefault(each.node, []).append(each)
    refused = {
        node: f"{len(them)} exporters claim to speak for it ({', '.join(sorted(each.name for each in them)[:3])})"
        for node, them in by_node.items()
        if len(them) > 1
    }
    return Speakers({node: them[0] for node, them in by_node.items() if len(them) == 1}, refused)


def progress_endpoints(state: ClusterState, settings: config.ProgressSettings) -> Callable[[], Iterable[Endpoint]]:
    """Endpoints of running pods whose workload declares where it reports. Address and pod are the cluster's word."""

    def endpoints() -> Iterator[Endpoint]:
        assignment, nodes = state.claims(), state.node_addresses()
        for view in state.workloads.objects.values():
            if view.spec is None or view.spec.progress is None:
                continue
            read = reader(view.spec, view.spec.progress)
            for pod in assignment.pods.get(view.key, ()):
                url = _url(pod, view.spec.progress, settings)
                if url is not None and pod.node is not None and pod.phase == "Running":
                    who, refused = ScrapedPod(pod.namespace, pod.name), _refused(pod, settings, nodes)
                    yield Endpoint(who, url, read, pod.uid, _current(state, pod), refused)

    return endpoints


def _current(state: ClusterState, pod: PodView) -> Callable[[], bool]:
    def same() -> bool:
        now = state.pods.objects.get(pod.key)
        return now is not None and (now.uid, now.address) == (pod.uid, pod.address)

    return same


def _refused(pod: PodView, settings: config.ProgressSettings, nodes: Container[str]) -> str | None:
    """Why the pod's address is not read; the operator's own template is its own affair."""
    if settings.url_template or pod.address is None:
        return None
    allowed = pod.namespace in settings.host_network_namespaces
    return refusal(pod.address, host_network=pod.host_network, host_allowed=allowed, nodes=nodes)


def _url(pod: PodView, progress: Progress, settings: config.ProgressSettings) -> str | None:
    if settings.url_template:
        return settings.url_template.format(namespace=pod.namespace, pod=pod.name)
    if pod.address is None:
        return None
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    return f"http://{host}:{progress.port}{progress.path}"


def reader(spec: WorkloadSpec, progress: Progress) -> Callable[[bytes, ScrapedPod, float], ProgressReading]:
    """How to read this workload's body: an engine's own counters for serving, beside the one that is declared."""
    what = DeclaredProgress(progress.metric, str(progress.unit), str(progress.scope), _counter(spec))
    if spec.mode is Mode.TRAINING:
        return lambda body, pod, at: declared(body, pod, at, what)
    limits = _limits(spec)
    return lambda body, pod, at: _with_latencies(_serving(body, pod, at, what), body, limits)


def _serving(body: bytes, pod: ScrapedPod, at: float, what: DeclaredProgress) -> ProgressReading:
    """The engine's counters win: they leave out cached tokens. The declared one fills what the engine can not tell."""
    try:
        engine = read_engine(body, pod, at)
    except NotExposition:
        return declared(body, pod, at, what)
    try:
        said = declared(body, pod, at, what)
    except NotExposition:
        return engine
    counters = {**said.counters, **engine.counters}
    return ProgressReading(pod.namespace, pod.name, engine.source, at, counters, {**said.gauges, **engine.gauges})


def _limits(spec: WorkloadSpec) -> LatencyLimits:
    slo = spec.inference.slo if spec.inference else None
    if slo is None:
        return LatencyLimits()
    first, each = slo.ttft_milliseconds, slo.tpot_milliseconds
    return LatencyLimits(None if first is None else float(first) / 1e3, None if each is None else float(each) / 1e3)


def _with_latencies(reading: ProgressReading, body: bytes, limits: LatencyLimits) -> ProgressReading:
    """What the engine timed, beside what it counted."""
    if not limits:
        return reading
    found = timed(body, limits)
    return replace(reading, counters={**reading.counters, **found.counters}, gauges={**reading.gauges, **found.gauges})


def _counter(spec: WorkloadSpec) -> Counter | None:
    if spec.mode is Mode.TRAINING or spec.inference is None:
        return None
    return Counter.PREFILL_TOKENS if spec.inference.phase is Phase.PREFILL else Counter.DECODE_TOKENS
