"""Reading what people write: YAML or JSON documents of our kinds, with errors that name the field and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mfu.api.base import Resource
from mfu.api.fleetreport import FleetReport
from mfu.api.gpunode import GPUNode
from mfu.api.mfupolicy import MFUPolicy
from mfu.api.modelworkload import ModelWorkload
from mfu.api.names import API_VERSION, KINDS

TYPES: Final[Mapping[str, type[Resource]]] = {
    "ModelWorkload": ModelWorkload,
    "MFUPolicy": MFUPolicy,
    "GPUNode": GPUNode,
    "FleetReport": FleetReport,
}

R = TypeVar("R", bound=Resource)


@dataclass(eq=False)
class InvalidResource(ValueError):
    """A document that is none of ours. `problems` are sentences of the form "field: what is wrong"."""

    name: str
    problems: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__init__(f"{self.name}: " + "; ".join(self.problems))


def parse(text: str) -> tuple[Resource, ...]:
    """Every document of a YAML or JSON text. Raises InvalidResource, also for kinds that are not ours."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidResource("file", (f"not readable as YAML: {error}",)) from error
    return tuple(load(document) for document in documents)


def load(document: object) -> Resource:
    """One document as the type that its kind names, unknown fields refused. Raises InvalidResource."""
    if not isinstance(document, Mapping):
        raise InvalidResource("document", ("is no mapping: write apiVersion, kind, metadata and spec",))
    if document.get("apiVersion") != API_VERSION:
        raise InvalidResource(_title(document), (f"apiVersion: is {document.get('apiVersion')}: set {API_VERSION}",))
    kind = str(document.get("kind"))
    if kind not in TYPES:
        known = ", ".join(one.kind for one in KINDS)
        raise InvalidResource(_title(document), (f"kind: is {kind}: choose one of {known}",))
    return load_as(TYPES[kind], document)


def load_as(type_: type[R], document: Mapping[str, Any]) -> R:
    """One document as that type, unknown fields refused. Raises InvalidResource with every problem in it."""
    try:
        return type_.model_validate(_without_server_fields(document), extra="forbid")
    except ValidationError as error:
        problems = tuple(_sentence(type_, detail) for detail in error.errors(include_url=False))
        raise InvalidResource(_title(document), problems) from error


def _without_server_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        return dict(document)
    known = ("name", "namespace", "uid", "generation", "resourceVersion", "creationTimestamp", "labels", "annotations")
    return {**document, "metadata": {key: metadata[key] for key in known if key in metadata}}


def _title(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return f"{document.get('kind', 'document')} {name}".strip()


def _sentence(type_: type[Resource], detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{path}: is missing: add it"
    if detail["type"] == "extra_forbidden":
        return f"{path}: is no field of this kind{_nearest(type_, detail)}"
    return f"{path}: is {_short(detail['input'])}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(type_: type[Resource], detail: ErrorDetails) -> str:
    *path, wrong = (str(part) for part in detail["loc"])
    fields = list(_field_names(type_, path))
    close = get_close_matches(wrong, fields, n=1)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(fields)}"


def _field_names(type_: type[BaseModel], path: list[str]) -> Iterator[str]:
    """API names of the fields at that path; list indices in it are passed over."""
    schema = type_.model_json_schema(by_alias=True)
    node, defs = schema, schema.get("$defs", {})
    for step in path:
        if not step.isdigit():
            node = _resolve(node["properties"].get(step, {}), defs)
    yield from node.get("properties", {})


def _resolve(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", [node]):
        inner = option.get("items", option)
        if "$ref" in inner:
            target: dict[str, Any] = defs[inner["$ref"].rsplit("/", 1)[-1]]
            return target
    return node
