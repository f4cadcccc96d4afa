"""What one write of a status costs the API server: `PYTHONPATH=operator:. python -m benchmarks.bench_writes`.

A real API server and etcd with nobody watching; the largest status of the recorded snapshot is written over and over
with one number changed. Once with our definitions, once with the status owned leaf by leaf, which is what a definition
says that says nothing. Writes benchmarks/writes.md. CPU counts, not the clock: a busy machine blurs it little.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.bench_agent import cpu_seconds
from benchmarks.measure import reference_seconds
from e2e.testbed.cluster.plane import ControlPlane
from mfu.api.names import ANNOTATION_FIELD_MANAGER, FIELD_MANAGER
from mfu.cluster.client import JSON_PATCH, KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.json_patch import operation
from mfu.cluster.resources import MODELWORKLOADS
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import WorkloadPlan
from mfu.engine.saved import load

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "writes.md"
COUNT: Final = 150
ROUNDS: Final = 3
SETTLE_SECONDS: Final = 8.0
WIDTH: Final = 120
NAME, SPACE = "bench", "default"
OWNED: Final = {True: "whole, as our definitions say", False: "leaf by leaf"}

One = Callable[[KubeClient, int], Awaitable[Any]]


@dataclass(frozen=True)
class Cost:
    """Mean and spread of the rounds, in milliseconds a write."""

    what: str
    whole: bool
    cpu_ms: tuple[float, ...]
    answer_ms: float


@dataclass(frozen=True)
class Sizes:
    status: int
    object: int
    owners: int


def largest() -> WorkloadPlan:
    """The plan with the longest status of the snapshot that the product ships."""
    snapshot, now = load((ROOT / "examples" / "snapshot.json").read_text())
    return max(evaluate(snapshot, now).workloads, key=lambda each: len(json.dumps(each.status.document())))


def writes(plan: WorkloadPlan) -> dict[str, One]:
    """Each way of writing, by name; the number makes every write differ from the one before."""
    path, whole = MODELWORKLOADS.path(SPACE, NAME), MODELWORKLOADS.path(SPACE, NAME, "status")
    owner, other = {"fieldManager": FIELD_MANAGER}, {"fieldManager": ANNOTATION_FIELD_MANAGER}

    def status(number: int) -> dict[str, Any]:
        return {**plan.status.document(), "observedGeneration": number + 1}

    def patch(client: KubeClient, number: int) -> Awaitable[Any]:
        body = [operation("add", "/status", status(number))]
        return client.request("PATCH", whole, body=body, params=owner, content_type=JSON_PATCH)

    def little(client: KubeClient, number: int) -> Awaitable[Any]:
        said = {"summary": plan.status.document()["summary"], "observedGeneration": number + 1}
        body = [operation("add", "/status", said)]
        return client.request("PATCH", whole, body=body, params=owner, content_type=JSON_PATCH)

    def annotate(client: KubeClient, number: int) -> Awaitable[Any]:
        body = [operation("add", "/metadata/annotations", {**plan.annotations, "number": str(number)})]
        return client.request("PATCH", path, body=body, params=other, content_type=JSON_PATCH)

    def apply(client: KubeClient, number: int) -> Awaitable[Any]:
        metadata = {"name": NAME, "namespace": SPACE}
        body = {"apiVersion": MODELWORKLOADS.api_version, "kind": MODELWORKLOADS.kind, "metadata": metadata}
        return client.apply(MODELWORKLOADS, {**body, "status": status(number)}, subresource="status")

    def get(client: KubeClient, number: int) -> Awaitable[Any]:
        return client.get(MODELWORKLOADS, NAME, SPACE)

    return {
        "JSON patch of a status of its summary alone": little,
        "JSON patch of the status": patch,
        "JSON patch of annotations": annotate,
        "GET": get,
        # Last: it makes another kind of owner, which the others would go on paying for.
        "server-side apply of the status": apply,
    }


async def measured(client: KubeClient, server: int, what: str, whole: bool, one: One) -> Cost:
    await one(client, 0)
    shares, began = [], time.monotonic()
    for turn in range(ROUNDS):
        spent = cpu_seconds(server)
        for number in range(COUNT):
            await one(client, 1 + turn * COUNT + number)
        shares.append((cpu_seconds(server) - spent) / COUNT * 1e3)
    return Cost(what, whole, tuple(shares), (time.monotonic() - began) / COUNT / ROUNDS * 1e3)


async def costs(plane: ControlPlane, whole: bool) -> tuple[list[Cost], Sizes]:
    """Raises KeyError where the API server does not run."""
    plan, server = largest(), plane.pids()["kube-apiserver"]
    async with KubeClient(connect(plane.kubeconfig)) as client:
        rows = [await measured(client, server, what, whole, one) for what, one in writes(plan).items()]
        kept = await client.get(MODELWORKLOADS, NAME, SPACE)
    owners = kept["metadata"]["managedFields"]
    return rows, Sizes(*(len(json.dumps(each)) for each in (kept["status"], kept, owners)))


def definitions(folder: Path, *, whole: bool) -> Path:
    """Ours, or the same with nothing said of who owns what of a status."""
    for file in (ROOT / "crds").glob("*.yaml"):
        document = yaml.safe_load(file.read_text())
        for version in document["spec"]["versions"]:
            status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
            if not whole:
                status.pop("x-kubernetes-map-type", None)
        (folder / file.name).write_text(yaml.safe_dump(document))
    return folder


def run(whole: bool) -> tuple[list[Cost], Sizes]:
    example = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    example["metadata"] = {"name": NAME}
    server = ControlPlane.start(scheduler=False, controller_manager=False, kwok=False)
    with tempfile.TemporaryDirectory() as folder, server as plane:
        plane.kubectl("apply", "--server-side", "-f", str(definitions(Path(folder), whole=whole)))
        plane.wait_established()
        plane.apply(example, namespace=SPACE)
        time.sleep(SETTLE_SECONDS)
        return asyncio.run(costs(plane, whole))


def table(found: dict[bool, tuple[list[Cost], Sizes]]) -> str:
    lines = ["| write | status is owned | CPU, ms | spread | answer, ms |", "|---|---|---|---|---|"]
    for whole, (rows, _) in found.items():
        for each in rows:
            mean, spread = sum(each.cpu_ms) / len(each.cpu_ms), max(each.cpu_ms) - min(each.cpu_ms)
            lines.append(f"| {each.what} | {OWNED[whole]} | {mean:.1f} | {spread:.1f} | {each.answer_ms:.1f} |")
    return "\n".join(lines)


def document(found: dict[bool, tuple[list[Cost], Sizes]]) -> str:
    kept = "; ".join(f"{OWNED[w]}, {s.object} of which owners {s.owners}" for w, (_, s) in found.items())
    size = found[True][1].status
    what = (
        f"`python -m benchmarks.bench_writes`, {date.today()}: CPU of kube-apiserver and its answer for each write, "
        f"{ROUNDS} × {COUNT} of each, one after the other, nobody watching; the largest status of "
        f"`examples/snapshot.json` ({size} bytes). {os.cpu_count()} cores, Python {platform.python_version()}; two "
        f"million steps of a plain loop took {reference_seconds():.3f} s of CPU."
    )
    why = (
        f"Bytes of the object as it is kept: {kept}. Who owns which field is taken apart, compared and written with "
        "every write and every read of the object; a status that one writer replaces whole needs one entry. "
        "No limit is set here: `scale.md` has those that a person notices."
    )
    title = "# What one write costs the API server"
    return "\n\n".join((title, textwrap.fill(what, WIDTH), table(found), textwrap.fill(why, WIDTH))) + "\n"


def main() -> int:
    RESULT.write_text(document({whole: run(whole) for whole in (True, False)}))
    print(RESULT.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
