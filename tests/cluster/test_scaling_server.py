"""Replicas through the scale subresource, on a real API server: a number, and only where nobody else sets it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from mfu.act.types import Rescale
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.resources import AUTOSCALERS, JSON, RUNS_PODS
from mfu.cluster.scaling import Scaled, scale
from mfu.engine.plan import Plan
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed
from tests.cluster.test_queued_server import DEFINITIONS

pytestmark = pytest.mark.integration

DEPLOYMENTS = RUNS_PODS["deployment"]
HPA, SCALED_OBJECTS = AUTOSCALERS
KEDA = f"{SCALED_OBJECTS.plural}.{SCALED_OBJECTS.group}"
LABELS = {"app": "serve"}


def deployment(replicas: int = 2, name: str = "serve") -> JSON:
    container = {"name": "vllm", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def asked(space: str, replicas: int = 5, *, had: int = 2, kind: str = "Deployment", name: str = "serve") -> Rescale:
    return Rescale(space, kind, name, f"{space}/w", f"scale {kind} {name} to {replicas} replicas", replicas, had)


async def carried_out(client: KubeClient, each: Rescale) -> Scaled:
    return await scale(client, each, may_write=lambda: True)


async def replicas(client: KubeClient, space: str) -> int:
    return int((await client.get(DEPLOYMENTS, "serve", space))["spec"]["replicas"])


async def test_the_number_and_nothing_else_is_written(client: KubeClient, space: str) -> None:
    before = await client.create(DEPLOYMENTS, deployment(), space)
    assert await carried_out(client, asked(space)) is Scaled.SCALED
    after = await client.get(DEPLOYMENTS, "serve", space)
    assert after["spec"] == {**before["spec"], "replicas": 5}
    assert await carried_out(client, asked(space)) is Scaled.ALREADY
    assert await carried_out(client, asked(space, 3, had=5)) is Scaled.SCALED
    assert await replicas(client, space) == 3


async def test_what_was_decided_never_turns_into_its_opposite(client: KubeClient, space: str) -> None:
    """Somebody was faster, and went farther."""
    await client.create(DEPLOYMENTS, deployment(8), space)
    assert await carried_out(client, asked(space, 5, had=2)) is Scaled.ALREADY
    assert await carried_out(client, asked(space, 9, had=10)) is Scaled.ALREADY
    assert await replicas(client, space) == 8


async def test_who_switched_it_off_is_not_overruled(client: KubeClient, space: str) -> None:
    await client.create(DEPLOYMENTS, deployment(0), space)
    assert await carried_out(client, asked(space)) is Scaled.SWITCHED_OFF
    assert await carried_out(client, asked(space, name="other")) is Scaled.GONE


def autoscaler(name: str, target: JSON) -> JSON:
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9}
    return {"apiVersion": HPA.api_version, "kind": HPA.kind, "metadata": {"name": name}, "spec": spec}


TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serve"}


async def test_what_an_autoscaler_has_is_left_to_it(client: KubeClient, space: str) -> None:
    await client.create(DEPLOYMENTS, deployment(), space)
    for name, target in (("other", {**TARGET, "name": "other"}), ("set", {**TARGET, "kind": "StatefulSet"})):
        await client.create(HPA, autoscaler(name, target), space)
    await client.create(HPA, autoscaler("mine", TARGET), space)
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(Plan(rescales=(asked(space),)))
    assert executor.scaled[Scaled.AUTOSCALED] == 1
    assert await replicas(client, space) == 2
    await client.delete(HPA, "mine", space)
    assert await carried_out(client, asked(space)) is Scaled.SCALED


@pytest_asyncio.fixture
async def keda(client: KubeClient) -> AsyncIterator[None]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": SCALED_OBJECTS.plural, "singular": "scaledobject", "kind": SCALED_OBJECTS.kind}
    spec = {"group": SCALED_OBJECTS.group, "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"apiVersion": DEFINITIONS.api_version, "kind": "CustomResourceDefinition"}
    await client.create(DEFINITIONS, {**body, "metadata": {"name": KEDA}, "spec": spec})
    try:
        for _ in range(600):
            try:
                await client.request("GET", SCALED_OBJECTS.path("default"))
                break
            except ApiError:
                time.sleep(0.05)
        yield
    finally:
        await client.delete(DEFINITIONS, KEDA)


async def test_a_scaled_object_that_names_no_kind_means_a_deployment(
    client: KubeClient, space: str, keda: None
) -> None:
    await client.create(DEPLOYMENTS, deployment(), space)
    body = {"apiVersion": SCALED_OBJECTS.api_version, "kind": SCALED_OBJECTS.kind, "metadata": {"name": "keda"}}
    await client.create(SCALED_OBJECTS, {**body, "spec": {"scaleTargetRef": {"name": "serve"}}}, space)
    assert await carried_out(client, asked(space)) is Scaled.AUTOSCALED
    assert await replicas(client, space) == 2


async def test_it_may_have_changed_since_it_was_read(client: KubeClient, space: str) -> None:
    await client.create(DEPLOYMENTS, deployment(), space)

    class Overtaken(KubeClient):
        async def request(self, method: str, path: str, **kwargs: Any) -> JSON:
            if method == "PATCH":
                body = {"spec": {"replicas": 7}}
                merge = "application/merge-patch+json"
                await super().request("PATCH", DEPLOYMENTS.path(space, "serve"), body=body, content_type=merge)
            return await super().request(method, path, **kwargs)

    async with Overtaken(client._connection) as slow:
        executor = Executor(slow, dict, lambda *_: None)
        await executor.apply(Plan(rescales=(asked(space),)))
        assert executor.scaled["Failed"] == 1
    assert await replicas(client, space) == 7


async def test_without_the_lease_nothing_is_written(client: KubeClient, space: str) -> None:
    await client.create(DEPLOYMENTS, deployment(), space)
    assert await scale(client, asked(space), may_write=lambda: False) is Scaled.HELD_BACK
    assert await replicas(client, space) == 2


async def test_a_stateful_set_has_the_same_subresource(client: KubeClient, space: str) -> None:
    resource = RUNS_PODS["statefulset"]
    body = {**deployment(), "kind": "StatefulSet"}
    await client.create(resource, {**body, "spec": {**body["spec"], "serviceName": "serve"}}, space)
    assert await carried_out(client, asked(space, kind="StatefulSet")) is Scaled.SCALED
    assert (await client.get(resource, "serve", space))["spec"]["replicas"] == 5


CUTS = {**ONE_PATCH, "when autoscalers are read": ("GET", True, 2)}


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", CUTS)
async def test_killed_at_any_request_it_has_one_number_or_the_other(client: KubeClient, space: str, where: str) -> None:
    await client.create(DEPLOYMENTS, deployment(), space)
    await killed(client, Plan(rescales=(asked(space),)), at=CUTS[where])
    assert await replicas(client, space) == (5 if where == "when it is patched" else 2)
    # Whoever comes after finds it as it was, or done.
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(Plan(rescales=(replace(asked(space), had=2),)))
    assert executor.scaled[Scaled.ALREADY if where == "when it is patched" else Scaled.SCALED] == 1
    assert await replicas(client, space) == 5
    await client.delete(DEPLOYMENTS, "serve", space)
