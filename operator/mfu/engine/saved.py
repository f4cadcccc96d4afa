"""A Snapshot as JSON and back, so that a moment of a cluster can be replayed, shared and tested. NaN becomes null."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mfu.act.checks import CheckQuestion, CheckState, PodSet
from mfu.act.templates import HeldOwner, HeldTemplate
from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import WorkloadStatus
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.decide.types import NodeView
from mfu.engine.packed import Packed
from mfu.engine.snapshot import FleetReadings, PodView, PolicyView, Queued, Snapshot, WorkloadView
from mfu.hardware.clouds import labelled_device
from mfu.hardware.labels import WHOLE
from mfu.hardware.portions import Portion
from mfu.hardware.slices import slices_of
from mfu.hardware.types import Device
from mfu.observe.readings import (
    METRICS,
    Counter,
    Floats,
    Gauge,
    GPUIdentity,
    GPUKey,
    Metric,
    ProgressReading,
    SourceState,
    WorkloadSeries,
)
from mfu.predict.types import Correction, Corrections

VERSION = 1
JSON = dict[str, Any]


class BadSnapshot(Exception):
    """The file is no snapshot that this version can read; the message says what is wrong."""


def dump(snapshot: Snapshot, now: float) -> str:
    """Stable text: the same snapshot always gives the same."""
    columns = _known_columns(snapshot)
    document = {
        # To Kubernetes it is a list of nothing: `kubectl apply -f` on its folder passes over it.
        "apiVersion": "v1",
        "kind": "List",
        "items": [],
        "version": VERSION,
        "now": now,
        "metrics": [metric.name for metric in columns],
        "workloads": [_declared(each) for each in snapshot.workloads],
        "policies": [_declared(each) for each in snapshot.policies],
        "pods": [_pod(each) for each in snapshot.pods],
        "nodes": [_node(each) for each in snapshot.nodes],
        "namespaces": {name: dict(labels) for name, labels in snapshot.namespaces.items()},
        "fleet": _fleet(snapshot.fleet, columns),
        "series": {key: _series(each, columns) for key, each in snapshot.series.items()},
        "corrections": {
            key: [each.factor, each.relative_sd, each.observations] for key, each in snapshot.corrections.by_key.items()
        },
        "report": snapshot.report.document(),
        "queued": [_plain(each) | _asked(each.question) for each in snapshot.queued],
        "held": [_held(each) for each in snapshot.held],
        "flavors": {name: dict(labels) for name, labels in sorted(snapshot.flavors.items())},
        "partitioned": [_plain(each) for each in snapshot.partitioned],
    }
    return json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n"


def load(text: str) -> tuple[Snapshot, float]:
    """Raises BadSnapshot for anything else than what `dump` wrote."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadSnapshot(f"is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise BadSnapshot(f"is no snapshot of version {VERSION}; save a new one with `mfu snapshot`")
    try:
        return _snapshot(document), float(document["now"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadSnapshot(f"is damaged: {type(error).__name__} {error}") from error


def _snapshot(document: JSON) -> Snapshot:
    columns = [Metric[name] for name in document["metrics"]]
    corrections = {key: Correction(*each) for key, each in document["corrections"].items()}
    return Snapshot(
        workloads=tuple(_to_workload(each) for each in document["workloads"]),
        pods=tuple(_to_pod(each) for each in document["pods"]),
        nodes=tuple(_to_node(each) for each in document["nodes"]),
        policies=tuple(_to_policy(each) for each in document["policies"]),
        namespaces=document["namespaces"],
        fleet=_to_fleet(document["fleet"], columns),
        series={key: _to_series(each, columns) for key, each in document["series"].items()},
        corrections=Corrections(corrections),
        report=Packed(FleetStatus, document["report"]),
        queued=tuple(_queued(each) for each in document.get("queued", ())),
        flavors=document.get("flavors", {}),
        held=tuple(_to_held(each) for each in document.get("held", ())),
        partitioned=tuple(
            PartitionedNode(**{**each, "profiles": tuple(each["profiles"])}) for each in document.get("partitioned", ())
        ),
    )


def _asked(question: CheckQuestion | None) -> JSON:
    if question is None:
        return {}
    return {"question": _plain(question) | {"pod_sets": [_plain(each) for each in question.pod_sets]}}


def _queued(document: JSON) -> Queued:
    asked = document.get("question")
    if asked:
        pod_sets = tuple(PodSet(**{**each, "flavors": tuple(each["flavors"])}) for each in asked["pod_sets"])
        asked = CheckQuestion(**{**asked, "state": CheckState(asked["state"]), "pod_sets": pod_sets})
    return Queued(**{**document, "owner": tuple(document["owner"]), "question": asked})


def _held(owner: HeldOwner) -> JSON:
    return _plain(owner) | {
        "templates": [_plain(each) | {"constraints": each.constraints.document} for each in owner.templates]
    }


def _to_held(document: JSON) -> HeldOwner:
    templates = (
        HeldTemplate(**{**each, "constraints": Constraints.read(each["constraints"])}) for each in document["templates"]
    )
    return HeldOwner(**{**document, "templates": tuple(templates)})


def _plain(value: Any) -> JSON:
    return {each.name: _jsonable(getattr(value, each.name)) for each in fields(value) if each.init}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    return [list(each) if isinstance(each, tuple) else each for each in value] if isinstance(value, tuple) else value


def _declared(view: WorkloadView | PolicyView) -> JSON:
    return _plain(view) | {"spec": view.spec.to_api() if view.spec else None, "status": view.status.document()}


def _to_workload(document: JSON) -> WorkloadView:
    spec, status = document["spec"], Packed(WorkloadStatus, document["status"])
    read = WorkloadSpec.model_validate(spec) if spec else None
    return WorkloadView(**{**document, "spec": read, "status": status})


def _to_policy(document: JSON) -> PolicyView:
    spec, status = document["spec"], Packed(PolicyStatus, document["status"])
    read = PolicySpec.model_validate(spec) if spec is not None else None
    return PolicyView(**{**document, "spec": read, "status": status})


def _to_pod(document: JSON) -> PodView:
    owners = tuple((kind, name) for kind, name in document["owners"])
    said = document.get("constraints")
    constraints = None if said is None else Constraints.read(said)
    claims = tuple(document.get("claims", ()))
    given = document.get("portion")
    portion = None if given is None else Portion(**given)
    read = {"owners": owners, "claims": claims, "constraints": constraints, "portion": portion}
    return PodView(**{**document, **read})


def _pod(view: PodView) -> JSON:
    constraints = view.constraints.document if view.constraints is not None else None
    portion = _plain(view.portion) if view.portion is not None else None
    return _plain(view) | {"constraints": constraints, "portion": portion}


def _node(view: NodeView) -> JSON:
    # The device follows from the label; a newer catalog may know more.
    return _plain(view) | {"device": None}


def _to_node(document: JSON) -> NodeView:
    device = labelled_device(document["product_label"], document["labels"])
    # Snapshots of before the addresses were kept apart have them.
    known = {name: value for name, value in document.items() if name != "addresses"}
    taints = tuple((key, value, effect) for key, value, effect in document.get("taints", ()))
    return NodeView(**{**known, **_devices(document, device), "device": device, "taints": taints})


def _devices(document: JSON, device: Device | None) -> JSON:
    """A file that says nothing of replicas counts units, as the API server does: the labels tell the devices."""
    if document.get("replicas"):
        return {}
    whole = slices_of(WHOLE, document["gpus"], document["labels"], shared=device is not None and device.shared)
    return {"gpus": whole.devices, "replicas": {} if whole.replicas == 1 else {WHOLE: whole.replicas}}


def _known_columns(snapshot: Snapshot) -> list[Metric]:
    """Metrics that any device has; the others would be columns of nulls."""
    arrays = [snapshot.fleet.values, *(series.values for series in snapshot.series.values())]
    return [metric for metric in Metric if any(np.isfinite(each[..., metric]).any() for each in arrays)]


def _fleet(readings: FleetReadings, columns: list[Metric]) -> JSON:
    return {
        "devices": [_identity(each) for each in readings.devices],
        "values": _numbers(readings.values[..., columns]),
        "observed_at": _numbers(readings.observed_at),
        "sources": {name: str(state) for name, state in readings.sources.items()},
        "refused": dict(readings.refused),
    }


def _to_fleet(document: JSON, columns: list[Metric]) -> FleetReadings:
    return FleetReadings(
        tuple(_to_identity(each) for each in document["devices"]),
        _array(document["values"], (len(document["devices"]),), columns),
        np.array(document["observed_at"], dtype=np.float64),
        {name: SourceState(state) for name, state in document["sources"].items()},
        document.get("refused", {}),
    )


def _series(series: WorkloadSeries, columns: list[Metric]) -> JSON:
    return {
        "devices": [_identity(each) for each in series.devices],
        "times": _numbers(series.times),
        "values": _numbers(series.values[..., columns]),
        "interval_seconds": series.interval_seconds,
        "progress": [_plain(each) for each in series.progress],
        "sources": list(series.sources),
        "unread": series.unread,
    }


def _to_series(document: JSON, columns: list[Metric]) -> WorkloadSeries:
    shape = (len(document["times"]), len(document["devices"]))
    return WorkloadSeries(
        devices=tuple(_to_identity(each) for each in document["devices"]),
        times=np.array(document["times"], dtype=np.float64),
        values=_array(document["values"], shape, columns),
        interval_seconds=document["interval_seconds"],
        progress=tuple(_to_progress(each) for each in document["progress"]),
        sources=tuple(document["sources"]),
        unread=document.get("unread", ""),
    )


def _to_progress(document: JSON) -> ProgressReading:
    counters = {Counter(name): value for name, value in document["counters"].items()}
    gauges = {Gauge(name): value for name, value in document["gauges"].items()}
    return ProgressReading(**{**document, "counters": counters, "gauges": gauges})


def _identity(identity: GPUIdentity) -> JSON:
    return _plain(identity) | {"key": [identity.key.uuid, identity.key.instance]}


def _to_identity(document: JSON) -> GPUIdentity:
    return GPUIdentity(**{**document, "key": GPUKey(*document["key"])})


def _numbers(values: Floats) -> Any:
    """Nested lists with null for unknown, seven digits: readings carry no more."""
    if values.ndim == 1:
        return [None if np.isnan(each) else float(f"{each:.13g}") for each in values.tolist()]
    if values.ndim == 2:
        return [[None if each != each else float(f"{each:.7g}") for each in row] for row in values.tolist()]
    return [_numbers(each) for each in values]


def _array(document: Any, shape: tuple[int, ...], columns: list[Metric]) -> Floats:
    """Columns by name: a snapshot stays readable when a metric is added."""
    read = np.array(document, dtype=np.float64).reshape((*shape, len(columns)))
    values = np.full((*shape, METRICS), np.nan)
    values[..., [int(metric) for metric in columns]] = read
    return values
