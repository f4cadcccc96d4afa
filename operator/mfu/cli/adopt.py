"""`mfu adopt deployment/llm -n team` or `mfu adopt -f manifest.yaml`: the ModelWorkload of what runs already.

Reads images, arguments, environment, mounted config and requests, and writes a declaration for each model. Above it
stand the lines of what was read, what was assumed and what is not known; nothing else enters it. Nothing is written to
a cluster.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mfu.adopt.containers import unfilled
from mfu.adopt.draft import Draft, adopt, sentences
from mfu.adopt.findings import Certainty
from mfu.adopt.objects import kinds
from mfu.adopt.train_runtimes import runtime_of
from mfu.adopt.which_model import Given
from mfu.cli.adopt_check import doubt
from mfu.cli.cluster import add_cluster, namespace_of, with_client
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.cli.init import read_config
from mfu.cli.output import print_document
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import CONFIGMAPS, RUNS_PODS, TRAINING_RUNTIMES, TRAINJOBS
from mfu.workload.errors import UnknownPreset
from mfu.workload.presets import preset

_SHORT: Final = {"deploy": "deployment", "sts": "statefulset", "lws": "leaderworkerset", "isvc": "inferenceservice"}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("adopt", help="write the ModelWorkload of what runs", description=__doc__)
    parser.add_argument(
        "target", nargs="?", metavar="[NAMESPACE/]KIND/NAME", help="object of the cluster, such as deployment/llm"
    )
    parser.add_argument("-f", "--file", type=Path, help="manifest to read instead, - for standard input")
    parser.add_argument("-n", "--namespace", help="of the object; default: that of the kubeconfig's context")
    parser.add_argument("--model", default="", help="preset to declare where nothing names the model")
    parser.add_argument("--config", type=Path, help="config.json of the model, for one that is no preset")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="default: yaml")
    add_cluster(parser)


def run(args: argparse.Namespace) -> int:
    if (args.target is None) == (args.file is None):
        raise UsageError("name one object, such as deployment/llm, or a manifest with -f")
    documents = _from_file(args.file) if args.file else _from_cluster(args)
    drafts = adopt(documents, Given(_preset(args.model), read_config(args.config, "--config") if args.config else None))
    if not drafts:
        raise UsageError(f"{args.file or args.target}: {_nothing(documents)}")
    if args.output == "json":
        print_document([_document(each) for each in drafts], args.output)
    else:
        print("---\n".join(_text(each) for each in drafts), end="")
    return _end(drafts)


def _nothing(documents: list[Mapping[str, Any]]) -> str:
    if any(each.get("kind") == "ModelWorkload" for each in documents):
        return "is declared already; `mfu predict -f` takes it"
    asked = unfilled(list(documents))
    if asked:
        return f"asks for {asked}, which is no number: fill the template in first, with envsubst or helm template"
    found = ", ".join(sorted({str(each.get("kind", "no kind")) for each in documents})) or "nothing"
    return f"runs no model on GPUs (found {found}; read are {', '.join(kinds())})"


def _preset(name: str) -> str:
    if name:
        try:
            preset(name)
        except UnknownPreset as error:
            raise UsageError(f"--model: {error}") from error
    return name


def _end(drafts: tuple[Draft, ...]) -> int:
    lacking = [each for each in drafts if not each.complete]
    for each in lacking:
        print(f"mfu adopt: {each.source}: its model is not known, so it cannot be applied yet", file=sys.stderr)
    return 1 if lacking else 0


def _from_file(path: Path) -> list[Mapping[str, Any]]:
    text = sys.stdin.read() if str(path) == "-" else read_text(path, "--file")
    try:
        loaded = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise UsageError(f"--file {path}: is no YAML: {error}") from error
    documents = [item for each in loaded for item in _items(each)]
    if not documents:
        raise UsageError(f"--file {path}: holds no object")
    return documents


def _items(document: Any) -> list[Mapping[str, Any]]:
    if not isinstance(document, Mapping):
        return []
    items = document.get("items")
    return [each for each in items if isinstance(each, Mapping)] if isinstance(items, list) else [document]


def _from_cluster(args: argparse.Namespace) -> list[Mapping[str, Any]]:
    space, kind, name = _parts(args)
    key = kind.lower().removesuffix("s") if kind.lower() not in RUNS_PODS else kind.lower()
    resource = RUNS_PODS.get(_SHORT.get(key, key))
    if resource is None or not name:
        raise UsageError(f"{args.target}: write KIND/NAME, KIND one of {', '.join(sorted(RUNS_PODS))}")
    namespace = space or namespace_of(args)

    async def fetch(client: KubeClient) -> list[Mapping[str, Any]]:
        item = await client.get(resource, name, namespace)
        item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
        return [item, *await runtime_read(client, item, namespace), *await _mounted(client, item, namespace)]

    return with_client(args, fetch)


def _parts(args: argparse.Namespace) -> tuple[str, str, str]:
    """Namespace ("" where it was not typed), kind and name of KIND/NAME or NAMESPACE/KIND/NAME."""
    before, _, name = args.target.rpartition("/")
    space, _, kind = before.rpartition("/")
    if space and args.namespace and space != args.namespace:
        raise UsageError(f"{args.target} and --namespace {args.namespace} name two namespaces; keep one")
    return space, kind, name


async def _mounted(client: KubeClient, item: Mapping[str, Any], namespace: str) -> list[Mapping[str, Any]]:
    """ConfigMaps that the object names; one that may not be read is left out, and its fields stay unknown."""
    found: list[Mapping[str, Any]] = []
    for name in sorted(set(_config_map_names(item))):
        try:
            found.append({"kind": "ConfigMap", **await client.get(CONFIGMAPS, name, namespace)})
        except ApiError as error:
            print(f"note: ConfigMap {name} was not read: {error}", file=sys.stderr)
    return found


async def runtime_read(client: KubeClient, item: Mapping[str, Any], namespace: str) -> list[Mapping[str, Any]]:
    """The runtime that a TrainJob names; what it would fill in stays unknown where it may not be read."""
    if item["kind"] != TRAINJOBS.kind:
        return []
    kind, name = runtime_of(item)
    resource = next((each for each in TRAINING_RUNTIMES if each.kind == kind), None)
    if resource is None or not name:
        return []
    try:
        return [{"kind": kind, **await client.get(resource, name, namespace)}]
    except ApiError as error:
        print(f"note: {kind} {name} was not read: {error}", file=sys.stderr)
        return []


def _config_map_names(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for each in node for name in _config_map_names(each)]
    if not isinstance(node, Mapping):
        return []
    named = [
        str(node[key]["name"])
        for key in ("configMap", "configMapRef", "configMapKeyRef")
        if isinstance(node.get(key), Mapping) and node[key].get("name")
    ]
    return named + [name for each in node.values() for name in _config_map_names(each)]


def _text(draft: Draft) -> str:
    lines = "".join(f"# {line}\n" for line in (*sentences(draft), *_notes(draft)))
    return f"# {draft.source}\n{lines}{yaml.safe_dump(dict(draft.document), sort_keys=False, allow_unicode=True)}"


def _notes(draft: Draft) -> list[str]:
    found = doubt(draft)
    return [] if found is None else [f"note: {found}"]


def _document(draft: Draft) -> dict[str, Any]:
    return {
        "source": draft.source,
        "complete": draft.complete,
        "declaration": dict(draft.document),
        "lines": [
            {"certainty": str(each.certainty), "field": each.field, "value": each.value, "why": each.why}
            for each in draft.lines
        ],
        "notes": _notes(draft),
        "unknown": [each.field for each in draft.lines if each.certainty is Certainty.UNKNOWN],
    }
