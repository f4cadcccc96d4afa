"""What the chart and the image are made of agrees with the product: no Helm and no cluster needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import mfu
from mfu.controller.config import OperatorConfig, Server, parse
from tools.generate import gen_chart

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mfu-operator"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)


def test_crds_are_the_generated_ones() -> None:
    ours = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")} == ours
    assert len(ours) == 4


def test_readme_and_schema_are_generated() -> None:
    assert gen_chart.stale() == []


def test_schema_is_closed() -> None:
    assert [schema for schema in objects(SCHEMA) if schema.get("additionalProperties") is not False] == []


def test_every_value_is_documented() -> None:
    documented = dict(gen_chart.documented((CHART / "values.yaml").read_text()))
    undocumented = [
        leaf for leaf in leaves(VALUES) if not any(leaf == path or leaf.startswith(f"{path}.") for path in documented)
    ]
    assert undocumented == []


def test_default_configuration_is_the_operators_but_for_who_may_read_metrics() -> None:
    assert parse(VALUES["config"], "values.yaml") == OperatorConfig(server=Server(authenticate_metrics=True))


def test_every_option_of_the_operator_is_a_value() -> None:
    every = set(leaves(OperatorConfig().model_dump(mode="json", by_alias=True)))
    assert set(leaves(VALUES["config"])) == every


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == mfu.__version__
    assert f"ARG VERSION={mfu.__version__}" in DOCKERFILE


def test_image_runs_as_nobody_of_importance() -> None:
    last_stage = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert "USER 65532:65532" in last_stage
    assert VALUES["image"]["repository"].count("/") == 0


def test_image_takes_only_what_is_locked() -> None:
    installs = [line for line in DOCKERFILE.splitlines() if "install" in line and line.startswith("RUN")]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[0]
    pinned = re.findall(r"^[A-Za-z0-9_.\[\]-]+==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert len(pinned) >= 9


def test_image_is_built_in_stages_from_one_base_that_nobody_can_move() -> None:
    first, second = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert first == second
    assert re.fullmatch(r"python:3\.11-slim@sha256:[0-9a-f]{64}", first)
