"""crds/ is what the types say, in a form that the API server takes and kubectl explains."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.shipped import LOADER
from tools.generate import crdgen

ROOT = Path(__file__).parents[2]

FILES = sorted((ROOT / "crds").glob("*.yaml"))


@cache
def _read(path: Path) -> dict[str, Any]:
    definition: dict[str, Any] = yaml.load(path.read_text(), Loader=LOADER)
    return definition


def schema_of(path: Path) -> dict[str, Any]:
    (version,) = _read(path)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


ALL = {f"{path.stem}{where}": node for path in FILES for where, node in nodes(schema_of(path))}


def test_committed_are_generated() -> None:
    assert crdgen.stale() == []
    assert crdgen.stale(crdgen.CHART_FOLDER) == []


def test_check_reports_what_differs(tmp_path: Path) -> None:
    for name, text in crdgen.render().items():
        (tmp_path / name).write_text(text.replace("ModelWorkloadList", "ModelWorkloads"))
    differences = crdgen.stale(tmp_path)
    assert any(line.startswith("+") and "ModelWorkloadList" in line for line in differences)


def test_nothing_unstructural() -> None:
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "const", "nullable", "exclusiveMinimum"}
    assert {where: forbidden & node.keys() for where, node in ALL.items() if forbidden & node.keys()} == {}


def test_every_field_is_documented() -> None:
    own = ("apiVersion", "kind", "metadata")
    bare = [
        where
        for where, node in ALL.items()
        if "description" not in node and not where.endswith("[]") and where.rsplit(".", 1)[-1] not in own
    ]
    assert bare == []


def test_everything_is_bounded() -> None:
    limits = {"integer": ("minimum", "maximum"), "string": ("maxLength",), "array": ("maxItems",)}
    own = ("apiVersion", "kind")
    unbounded = [
        where
        for where, node in ALL.items()
        for limit in limits.get(node.get("type", ""), ())
        if limit not in node and "enum" not in node and where.rsplit(".", 1)[-1] not in own
    ]
    assert unbounded == []


def test_status_has_no_defaults() -> None:
    assert [where for where, node in ALL.items() if ".status" in where and "default" in node] == []


def test_no_floats() -> None:
    assert [where for where, node in ALL.items() if node.get("type") == "number"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conditions_merge_by_type(path: Path) -> None:
    conditions = schema_of(path)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_keys_of_map_lists_are_required() -> None:
    for where, node in ALL.items():
        for key in node.get("x-kubernetes-list-map-keys", []):
            assert key in node["items"]["required"], where


def test_rules_have_a_message_with_what_to_change() -> None:
    rules = [rule for node in ALL.values() for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) >= 30
    for rule in rules:
        shown = rule.get("messageExpression", rule["message"])
        words = ("set", "add", "remove", "choose", "lower", "raise", "must", "name", "correct", "allow", "order")
        assert any(word in shown for word in words), rule


def test_workload_columns() -> None:
    (version,) = _read(ROOT / "crds" / "mfu.gpuaas.io_modelworkloads.yaml")["spec"]["versions"]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    wanted = "Mode Model GPUs Expected Observed Attainable Cause $/h Lost/h Ready Age"
    assert shown == wanted.split()
