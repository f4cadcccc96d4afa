"""The informers of the operator's own client, and what wakes it while they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mfu.cluster import projection, resources
from mfu.cluster.client import KubeClient
from mfu.cluster.declared import DeclaredStore
from mfu.cluster.informer import Informer
from mfu.cluster.kueue_check import question_of
from mfu.cluster.resources import JSON
from mfu.engine.snapshot import PodView, PolicyView, Queued, WorkloadView

V = TypeVar("V")
Watched = Informer[V] | DeclaredStore[V]
"""A store of objects of one kind, whoever watches them."""


@dataclass(frozen=True, slots=True)
class Watching:
    """Makes the informers of one client."""

    client: KubeClient
    changed: Callable[[], None]

    def __call__(
        self,
        resource: resources.ResourcePath,
        project: Callable[[JSON], Any],
        namespace: str | None = None,
        optional: bool = False,
        spare: bool = False,
        **selectors: str,
    ) -> Informer[Any]:
        return Informer(
            self.client,
            resource,
            project,
            changed=self.changed,
            namespace=namespace,
            selectors=selectors,
            optional=optional,
            spare=spare,
        )

    def told(
        self,
        resource: resources.ResourcePath,
        project: Callable[[JSON], Any],
        redeclared: Callable[[str], None] = lambda _key: None,
    ) -> Watched[Any]:
        """Of a kind that somebody else watches for us."""
        return DeclaredStore(
            self.client, resource, project, changed=self.changed, news=declares_anew, redeclared=redeclared
        )


def waking_pods(waits: Callable[[], None]) -> Callable[[JSON], PodView | None]:
    """A projection of pods that calls `waits` for each that stands behind our gate."""

    def pod(item: JSON) -> PodView | None:
        view = projection.pod_view(item)
        if view is not None and view.held:
            waits()
        return view

    return pod


def waking_queue(check: str, waits: Callable[[], None]) -> Callable[[JSON], Queued | None]:
    """A projection of Kueue's Workloads that calls `waits` for each that asks our check."""

    def queued(item: JSON) -> Queued | None:
        question = question_of(item, check)
        if question is not None and question.asked:
            waits()
        return projection.queued(item, question)

    return queued


def declares_anew(before: WorkloadView | PolicyView, now: WorkloadView | PolicyView) -> bool:
    """Not where only a status or an annotation of ours came back through the watch."""
    if (before.uid, before.generation) != (now.uid, now.generation):
        return True
    return isinstance(before, WorkloadView) and isinstance(now, WorkloadView) and before.paused != now.paused
