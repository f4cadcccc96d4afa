"""Builders of a small cluster: declarations, pods, readings, and the snapshot after a plan was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import settings

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.observe.readings import Counter, GPUIdentity, GPUKey, ProgressReading, WorkloadSeries
from mfu.predict import model_flops_per_token
from mfu.predict.declared import from_spec
from mfu.predict.types import Problem
from tests.builders.cases import TRAINING, node
from tests.builders.readings import PEAK, table

NOW = 1_800_000_000.0
EVERY = 10.0
WHOLE = "nvidia.com/gpu"
STEADY = settings(max_examples=30, derandomize=True, deadline=None)
"""The same examples in every run."""
MFU_OF_TENSOR_ACTIVE = 0.765
"""What the counters meter makes of tensor activity 1.0 at the clock of these readings, without recomputation."""


def training(**block: Any) -> dict[str, Any]:
    """A job of eight H100s with fields of its training block replaced."""
    return {**TRAINING, "training": {**TRAINING["training"], **block}}


def workload(
    name: str = "w", document: Mapping[str, Any] = TRAINING, *, namespace: str = "team-a", **fields: Any
) -> WorkloadView:
    target = {"apiVersion": "batch/v1", "kind": "Job", "name": name}
    spec = WorkloadSpec.model_validate({"targetRef": target, **document})
    return replace(WorkloadView(namespace, name, f"uid-{namespace}-{name}", 1, 0.0, spec), **fields)


def pod(
    name: str = "w-0",
    owner: str | None = "w",
    *,
    gpus: Mapping[str, int] | int = 8,
    node: str | None = "n0",
    namespace: str = "team-a",
    **fields: Any,
) -> PodView:
    """A running pod; `owner` is the workload that it is labelled with."""
    held = {WHOLE: gpus} if isinstance(gpus, int) else gpus
    labels = {} if owner is None else {WORKLOAD_LABEL: owner}
    made = PodView(namespace, name, f"uid-{name}", 0.0, node, "Running", labels, (), held)
    return replace(made, **fields)


def series(
    view: WorkloadView, mfu: float, *, counted: float | None = None, now: float = NOW, pod_name: str = "w-0"
) -> WorkloadSeries:
    """Ten minutes of eight GPUs at that MFU by progress; the counters see `counted`, the same where it is not said."""
    assert view.spec is not None
    setup = from_spec(view.spec)
    assert not isinstance(setup, Problem)
    gpus = view.spec.accelerators.count
    tensor_active = (mfu if counted is None else counted) / MFU_OF_TENSOR_ACTIVE
    values = table(600, gpus, EVERY, TENSOR_ACTIVE=tensor_active)
    times = now - EVERY * np.arange(len(values), dtype=np.float64)[::-1]
    devices = tuple(identity(index, view.namespace, pod_name) for index in range(gpus))
    per_second = mfu * gpus * PEAK / model_flops_per_token(setup)
    progress = tuple(
        ProgressReading(view.namespace, pod_name, "report", at, {Counter.TRAINED_TOKENS: per_second * (at - times[0])})
        for at in times.tolist()
    )
    return WorkloadSeries(devices, times, values, EVERY, progress, ("test",))


def stopped(view: WorkloadView, mfu: float, *, now: float = NOW) -> WorkloadSeries:
    """Readings that ended five minutes ago; the store leaves stale progress out."""
    return replace(series(view, mfu, now=now - 300.0), progress=())


def identity(index: int, namespace: str | None = None, pod_name: str | None = None, **fields: Any) -> GPUIdentity:
    made = GPUIdentity(GPUKey(f"GPU-{index}"), "NVIDIA H100 80GB HBM3", node="n0", namespace=namespace, pod=pod_name)
    return replace(made, **fields)


def written(snapshot: Snapshot, plan: Plan, **changes: Any) -> Snapshot:
    """The cluster after the plan was written, as the next cycle of the same operator sees it."""
    views = {each.uid: each for each in plan.workloads}
    said = tuple(
        replace(view, status=views[view.uid].status, annotations=views[view.uid].annotations)
        for view in snapshot.workloads
    )
    after = replace(snapshot, workloads=said, before=plan.handover, corrections=plan.corrections, report=plan.report)
    return replace(after, **changes)


def conditions(plan: WorkloadPlan) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {each["type"]: (each["status"], each["reason"]) for each in plan.status.document()["conditions"]}


def message(plan: WorkloadPlan, kind: str) -> str:
    return next(str(each["message"]) for each in plan.status.document()["conditions"] if each["type"] == kind)


def waiting(name: str, **fields: Any) -> Any:
    """A pod behind our gate."""
    return pod(f"{name}-0", name, node=None, phase="Pending", **{"gated": True, **fields})


def three(*free: int) -> Snapshot:
    """Three jobs of eight GPUs whose pods wait."""
    jobs = tuple(workload(name, created_at=float(index)) for index, name in enumerate("abc"))
    pods = tuple(waiting(name, created_at=float(index)) for index, name in enumerate("abc"))
    nodes = tuple(node(f"n{index}", used=8 - each) for index, each in enumerate(free))
    return Snapshot(jobs, pods, nodes, (), {"team-a": {}})
