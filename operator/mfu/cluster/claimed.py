"""Whose pod is whose and where each runs, kept while nothing that decides it changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from mfu.api.modelworkload import WorkloadSpec
from mfu.engine.claims import assign, claim_of
from mfu.engine.snapshot import Assignment, PodView, WorkloadView
from mfu.telemetry.rounds.binding import PodBinding

V_co = TypeVar("V_co", covariant=True)


class Versioned(Protocol[V_co]):
    """Objects by key, and a count that moves with them: an informer, or a store that is told."""

    @property
    def objects(self) -> Mapping[str, V_co]: ...

    @property
    def version(self) -> int: ...


@dataclass(slots=True)
class Claimed:
    """The assignment of pods, worked out anew only when pods or declarations changed."""

    _known: _Claims | None = None

    def claims(self, workloads: Versioned[WorkloadView], pods: Versioned[PodView]) -> Assignment:
        cached, versions = self._known, (pods.version, workloads.version)
        if cached is not None and cached.versions == versions:
            return cached.claims
        specs = {view.uid: view.spec for view in workloads.objects.values()}
        if cached is not None and cached.versions[0] == versions[0] and _same(cached.specs, specs):
            self._known = replace(cached, versions=versions, specs=specs)
            return cached.claims
        claims = assign(tuple(workloads.objects.values()), pods.objects.values())
        self._known = _Claims(versions, specs, claims if cached is None else _kept(claims, cached.claims))
        return self._known.claims


@dataclass(frozen=True, slots=True)
class _Claims:
    """An assignment and what it was made from: versions of pods and declarations."""

    versions: tuple[int, int]
    specs: Mapping[str, WorkloadSpec | None]
    claims: Assignment


def _same(known: Mapping[str, WorkloadSpec | None], found: Mapping[str, WorkloadSpec | None]) -> bool:
    """Do they claim the same pods? A declaration that changed in anything else does."""
    return len(known) == len(found) and all(
        uid in known and (known[uid] is each or claim_of(known[uid]) == claim_of(each)) for uid, each in found.items()
    )


def _kept(fresh: Assignment, known: Assignment) -> Assignment:
    """The former tuple where a workload's pods are the same: what was judged with it is still judged."""
    pods = {key: known.pods[key] if known.pods.get(key) == mine else mine for key, mine in fresh.pods.items()}
    return Assignment(pods, fresh.conflicts, fresh.unclaimed)


def bound(pods: Iterable[PodView]) -> dict[tuple[str, str], PodBinding]:
    return {
        (pod.namespace, pod.name): PodBinding(pod.uid, pod.node, pod.started_at or pod.created_at)
        for pod in pods
        if pod.node is not None and pod.phase not in ("Succeeded", "Failed")
    }
