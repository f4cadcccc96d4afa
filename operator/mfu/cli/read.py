"""`mfu read FILE`: what is understood of a config.json, a metrics page, a Node, a Pod or a GPU name.

FILE is a file, - for standard input, or a GPU name as telemetry writes it. A file of names has one a line.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mfu.adopt.model import dimensions, precision_block
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text, with_stored_format
from mfu.cli.output import add_output, print_document
from mfu.cluster.projection import node_view, pod_view
from mfu.decide.types import NodeView
from mfu.engine.claims import owners_of
from mfu.hardware.catalog import load
from mfu.hardware.clouds import partition_of
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.portions import Portion, sharing_resource
from mfu.hardware.slices import quantity
from mfu.hardware.types import Device, Unmatched
from mfu.observe.readings import GPUIdentity, ProgressReading
from mfu.telemetry.agent.adapter import read_once as read_agent
from mfu.telemetry.dcgm.adapter import read_once as read_dcgm
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.workload.errors import WorkloadError
from mfu.workload.flops import training_flops_per_token
from mfu.workload.huggingface import understand
from mfu.workload.parameters import count

Document = dict[str, Any]

LENGTHS: Final = (2048, 4096, 32768, 131072)
_MOST_BYTES: Final = 64 * 1024 * 1024
_PAGE: Final = ("# HELP", "# TYPE", "DCGM_FI_")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("read", help="say what is understood of a file", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="a file, - for standard input, or a GPU name")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    documents = list(_documents(args.file))
    shown = documents[0] if len(documents) == 1 else documents
    if args.output != "table":
        print_document(shown, args.output)
    else:
        print("---\n".join(yaml.safe_dump(each, sort_keys=False, allow_unicode=True) for each in documents), end="")
    return 2 if all("refused" in each for each in documents) else 0


def _documents(name: str) -> Iterator[Document]:
    if name != "-" and not Path(name).exists():
        device = _gpu(name)
        if "refused" in device and ("/" in name or "." in name):
            raise UsageError(f"{name}: there is no such file, and no GPU of that name")
        yield device
        return
    text = sys.stdin.read(_MOST_BYTES) if name == "-" else read_text(Path(name))
    if not text.strip():
        raise UsageError(f"{name}: is empty")
    yield from understood(text, name)


def understood(text: str, name: str = "file") -> Iterator[Document]:
    """One document for each thing in the text. UsageError where it is of no kind that is read."""
    if text.lstrip().startswith("{"):
        yield from _objects(_json(text, name), name)
    elif any(mark in text for mark in _PAGE) or _looks_exposed(text):
        yield _page(text.encode(), name)
    elif "kind:" in text:
        yield from (each for document in _yaml(text, name) for each in _objects(document, name))
    else:
        yield from (_gpu(line.split("\t")[0].strip()) for line in text.splitlines() if line.strip())


def _looks_exposed(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    head, _, value = first.rpartition(" ")
    return bool(head) and value.replace(".", "").replace("e", "").replace("-", "").replace("+", "").isdigit()


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name}: is no JSON: {error}") from error


def _yaml(text: str, name: str) -> list[Any]:
    try:
        return [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: is no YAML: {error}") from error


def _objects(document: Any, name: str) -> Iterator[Document]:
    if not isinstance(document, Mapping):
        raise UsageError(f"{name}: holds {type(document).__name__}, no object")
    if isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, name)
        return
    reader = _reader(document)
    if reader is None:
        kind = document.get("kind", "object")
        instead = "`mfu predict -f` takes it" if kind == "ModelWorkload" else "`mfu adopt -f` reads workloads"
        raise UsageError(f"{name}: a {kind} is not read here; {instead}")
    yield reader(with_stored_format(document, Path(name)) if reader is _config else document)


def _reader(document: Mapping[str, Any]) -> Callable[[Any], Document] | None:
    if "metadata" not in document:
        return _config
    status, spec = document.get("status") or {}, document.get("spec") or {}
    if document.get("kind") == "Node" or "allocatable" in status:
        return _node
    return _pod if document.get("kind") == "Pod" or "containers" in spec else None


def _config(config: Mapping[str, Any]) -> Document:
    try:
        read = understand(config)
    except WorkloadError as error:
        return {"kind": "Config", "refused": _refused(error.why.field, error.why.problem, error.why.fix)}
    arch, parameters = read.architecture, count(read.architecture)
    return {
        "kind": "Config",
        "modelType": read.kind,
        "name": arch.name,
        "family": str(arch.family),
        "parameters": parameters.total,
        "activeParameters": parameters.active,
        "trainingFLOPsPerToken": {str(length): training_flops_per_token(arch, length) for length in LENGTHS},
        "layers": arch.layers,
        "kvHeads": arch.kv_heads,
        "window": arch.window,
        "fullAttentionLayers": arch.full_attention_layers,
        "slidingLayers": arch.sliding_layers,
        "vocabularyHead": arch.lm_head,
        "architecture": dimensions(arch),
        "precision": precision_block(read.precision),
        "dropped": list(read.dropped),
        "notes": list(read.notes),
    }


def _refused(field: str, problem: str, fix: str) -> Document:
    return {"field": field, "problem": problem, "fix": fix}


def _gpu(name: str) -> Document:
    found = load().resolve(name)
    if isinstance(found, Unmatched):
        nearest = ", ".join(found.nearest)
        fix = f"did you mean {nearest}?" if nearest else "`mfu gpus` lists the products that are known"
        return {"kind": "GPU", "name": name, "refused": _refused("name", "is no known product", fix)}
    return {"kind": "GPU", "name": name, **_device(found)}


def _device(device: Device) -> Document:
    gpu = device.gpu
    return {
        "product": gpu.api_name,
        "device": device.label,
        "migProfile": device.mig.name if device.mig else None,
        "shared": device.shared,
        "memoryBytes": device.mig.memory_bytes if device.mig else gpu.memory_bytes,
        "peakFLOPsPerSecond": {str(precision): peak for precision, peak in gpu.peaks.items()},
        "smFraction": device.mig.sm_fraction if device.mig else 1.0,
    }


def _node(item: Mapping[str, Any]) -> Document:
    name = (item.get("metadata") or {}).get("name", "")
    view = node_view(dict(item))
    other = [f"offers {each}, which is not read" for each in _other_accelerators(item)]
    if view is None:
        notes = other or ["offers no GPU and carries no product label"]
        return {"kind": "Node", "name": name, "gpus": 0, "notes": notes}
    whole, instances = _counted(view)
    return {
        "kind": "Node",
        "name": view.name,
        "productLabel": view.product_label,
        "product": view.device.gpu.api_name if view.device else None,
        "gpus": whole,
        "migInstances": instances,
        "devices": {resource: _label(view, resource) for resource in _resources(item)},
        "replicasPerDevice": dict(view.replicas),
        "ready": view.ready,
        "schedulable": view.schedulable,
        "notes": [*_node_notes(view, item), *other],
    }


def _counted(view: NodeView) -> tuple[int, dict[str, int]]:
    """Whole GPUs, and instances by profile: with one strategy for all, `nvidia.com/gpu` counts instances."""
    profile = view.device.mig if view.device else None
    return (view.gpus, dict(view.mig)) if profile is None else (0, {**view.mig, profile.name: view.gpus})


_ACCELERATOR: Final = re.compile(
    r"(?i)gpu|vgpu|npu|tpu|dcu|mlu|gaudi|neuron|ascend|_nps\d|^nvidia\.com/|^gpu\.intel\.com/"
)


def _other_accelerators(item: Mapping[str, Any]) -> list[str]:
    """Resources of accelerators, or parts of them, that nothing here understands."""
    read, allocatable = _resources(item), (item.get("status") or {}).get("allocatable") or {}
    read += [name for name in allocatable if sharing_resource(name)]
    return [
        name
        for name, amount in allocatable.items()
        if "/" in name and name not in read and _ACCELERATOR.search(name) and quantity(amount)
    ]


def _resources(item: Mapping[str, Any]) -> list[str]:
    allocatable = (item.get("status") or {}).get("allocatable") or {}
    offered = (name for name, amount in allocatable.items() if quantity(amount))
    return [name for name in offered if name.endswith(("/gpu", "/gpu.shared")) or name.startswith(MIG_PREFIX)]


def _label(view: NodeView, resource: str) -> str | None:
    """The device that one unit of the resource is; None where the product or the profile is not known."""
    if view.device is None:
        return None
    if not resource.startswith(MIG_PREFIX):
        return view.device.label
    profile = load().mig_profile(view.device.gpu.key, resource.removeprefix(MIG_PREFIX).removesuffix(".shared"))
    return Device(view.device.gpu, profile).label if profile else None


def _node_notes(view: NodeView, item: Mapping[str, Any]) -> Iterator[str]:
    mode = partition_of((item.get("metadata") or {}).get("labels") or {})
    if not mode.lower().startswith("spx"):
        yield f"GPUs are partitioned ({mode}): what one part can do is not known"
    elif view.device is None:
        yield f"product label {view.product_label!r} is no known product" if view.product_label else "no product label"
    if view.sharing:
        yield f"{view.sharing} gives pods parts of these GPUs"
    for resource, replicas in view.replicas.items():
        yield f"{resource}: each device is offered {replicas or 'an unknown number of'} times (time-sliced or MPS)"
    if view.labels.get("nvidia.com/gpu.count") and view.mig and view.gpus:
        yield "whole GPUs and MIG slices on one node"


def _pod(item: Mapping[str, Any]) -> Document:
    metadata = item.get("metadata") or {}
    document = {"kind": "Pod", "namespace": metadata.get("namespace", "default"), "name": metadata.get("name", "")}
    view = pod_view({**item, "metadata": {"namespace": "default", "uid": "", **metadata}})
    if view is None:
        return document | {
            "gpus": {},
            "owners": [],
            "notes": ["asks for no GPU and carries no label of ours: not seen"],
        }
    owners = [{"kind": kind, "name": name} for kind, name in sorted(owners_of(view)) if kind != "Pod"]
    notes = [] if owners else ["has no owner that is followed: label it mfu.gpuaas.io/workload=NAME"]
    if view.claims:
        notes.append("asks by resource claims (DRA): how many GPUs are behind them is not known from the pod")
    if view.portion is not None:
        notes.append(f"{view.portion.system} gives it a part of each GPU: its readings are not its own")
    if view.reserves:
        notes.append("holds a GPU for the pods that share it: no workload")
    return document | {
        "phase": view.phase,
        "node": view.node,
        "gpus": dict(view.gpus),
        "claims": list(view.claims),
        "portion": _portion(view.portion),
        "owners": owners,
        "notes": notes,
    }


def _portion(portion: Portion | None) -> Document | None:
    if portion is None:
        return None
    return {"system": portion.system, "fraction": portion.fraction, "memoryBytes": portion.memory_bytes}


def _page(body: bytes, name: str) -> Document:
    """A metrics page: device readings, or the counters of an engine or of a training job."""
    if b"DCGM_FI_" in body:
        return _devices("DCGM", read_dcgm(body, 0.0).devices)
    agent = read_agent(body, 0.0)
    if agent.devices:
        return _devices("mfu agent", agent.devices)
    return _counters(body, name)


def _devices(source: str, devices: tuple[GPUIdentity, ...]) -> Document:
    rows = []
    for each in devices:
        found = load().resolve(each.product_name)
        rows.append(
            {
                "uuid": each.key.uuid,
                "productName": each.product_name,
                "product": found.gpu.api_name if isinstance(found, Device) else None,
                "migProfile": each.mig_profile,
                "node": each.node,
                "namespace": each.namespace,
                "pod": each.pod,
                "shared": each.shared,
            }
        )
    return {"kind": "Metrics", "source": source, "devices": rows}


def _counters(body: bytes, name: str) -> Document:
    pod = ScrapedPod("file", name)
    try:
        return _progress(read_engine(body, pod, 0.0))
    except NotExposition as not_serving:
        try:
            return _progress(declared(body, pod, 0.0, DeclaredProgress("train_tokens_total")))
        except NotExposition:
            why = _refused("page", not_serving.problem, not_serving.fix)
            return {"kind": "Metrics", "refused": why}


def _progress(reading: ProgressReading) -> Document:
    return {
        "kind": "Metrics",
        "source": reading.source,
        "counters": {each.value: value for each, value in reading.counters.items()},
        "gauges": {each.value: value for each, value in reading.gauges.items()},
        "unknown": [each for each in ("PrefillTokens", "DecodeTokens") if _missing(reading, each)],
    }


def _missing(reading: ProgressReading, name: str) -> bool:
    """A serving engine whose page does not tell this counter apart."""
    return reading.source != "progress" and all(each.value != name for each in reading.counters)
