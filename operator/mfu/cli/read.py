"""`mfu read FILE`: what is understood of a config.json, a metrics page, a Node, a Pod or a GPU name.

FILE is a file, - for standard input, or a GPU name as telemetry writes it. A file of names has one a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mfu.adopt.model import dimensions, precision_block
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text, with_stored_format
from mfu.cli.output import add_output, print_document
from mfu.cli.read_objects import node, pod
from mfu.cli.read_page import page
from mfu.cli.understood import Document, refused
from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Unmatched
from mfu.workload.errors import WorkloadError
from mfu.workload.flops import training_flops_per_token
from mfu.workload.huggingface import understand
from mfu.workload.parameters import count

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
        yield page(text.encode(), name)
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
        return node
    return pod if document.get("kind") == "Pod" or "containers" in spec else None


def _config(config: Mapping[str, Any]) -> Document:
    try:
        read = understand(config)
    except WorkloadError as error:
        return {"kind": "Config", "refused": refused(error.why.field, error.why.problem, error.why.fix)}
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


def _gpu(name: str) -> Document:
    found = load().resolve(name)
    if isinstance(found, Unmatched):
        nearest = ", ".join(found.nearest)
        fix = f"did you mean {nearest}?" if nearest else "`mfu gpus` lists the products that are known"
        return {"kind": "GPU", "name": name, "refused": refused("name", "is no known product", fix)}
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
