"""Real manifests become declarations: valid, right where the manifest says it, and open about the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.adopt.draft import Draft, adopt, sentences
from mfu.adopt.findings import Certainty
from mfu.api.acceptance import problems
from mfu.api.files import load
from mfu.api.modelworkload import ModelWorkload

STRANGERS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "strangers.yaml").read_text(encoding="utf-8")
)
TABLE: dict[str, dict[str, Any]] = STRANGERS | yaml.safe_load(
    (Path(__file__).parent / "manifests.yaml").read_text(encoding="utf-8")
)
NAMES = sorted(TABLE)


def drafts(name: str) -> tuple[Draft, ...]:
    return adopt(TABLE[name]["documents"])


def at(spec: Mapping[str, Any], path: str) -> Any:
    """The value at a path of dots; a key that holds dots itself is tried whole at each step."""
    node: Any = spec
    for step in path.split("."):
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        path = f"{prefix}{key}"
        yield path
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}.")


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_what_the_manifest_says(name: str) -> None:
    found = drafts(name)
    expected = TABLE[name]["expect"]
    assert len(found) == len(expected)
    for draft, fields in zip(found, expected, strict=True):
        spec = draft.document["spec"]
        assert {path: at(spec, path) for path in fields} == fields


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_known_is_named(name: str) -> None:
    for draft, unknown in zip(drafts(name), TABLE[name]["unknown"], strict=True):
        named = {line.field for line in draft.lines if line.certainty is Certainty.UNKNOWN}
        assert set(unknown) <= named
        assert draft.complete == ("model" not in named)


@pytest.mark.parametrize("name", sorted(STRANGERS))
def test_what_nothing_says_is_assumed_and_no_more_is(name: str) -> None:
    always = {"precision.compute", "inference.concurrency", "inference.inputTokens", "inference.outputTokens"}
    always |= {"inference.maxBatchTokens", "training.optimizer", "training.sequenceLength", "training.microBatchSize"}
    always |= {"training.globalBatchSize", "training.recompute", "training.sharding", "accelerators.count"}
    for draft, expected in zip(drafts(name), STRANGERS[name]["assumed"], strict=True):
        found = {line.field for line in draft.lines if line.certainty is Certainty.ASSUMED}
        assert set(expected) <= found
        assert found <= set(expected) | always


@pytest.mark.parametrize("name", NAMES)
def test_a_complete_declaration_is_valid_and_accepted(name: str) -> None:
    for draft in drafts(name):
        document = dict(draft.document)
        if not draft.complete:
            spec = document["spec"] | {"model": {"preset": "llama-3.1-8b"}}
            document |= {"spec": spec}
        workload = load(document)
        assert isinstance(workload, ModelWorkload)
        assert [str(each) for each in problems(workload.spec) if draft.complete] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_in_it_that_no_line_speaks_of(name: str) -> None:
    for draft in drafts(name):
        spoken = {line.field for line in draft.lines if line.certainty is not Certainty.UNKNOWN}
        for path in leaves(draft.document["spec"]):
            covered = any(path == field or path.startswith(f"{field}.") for field in spoken)
            parent = any(field.startswith(f"{path}.") for field in spoken)
            assert covered or parent, path


def test_traffic_is_assumed_and_said_to_be() -> None:
    (draft,) = drafts("lws-vllm-two-nodes")
    assumed = {line.field for line in draft.lines if line.certainty is Certainty.ASSUMED}
    assert {"inference.inputTokens", "inference.outputTokens", "inference.concurrency"} <= assumed
    said = list(sentences(draft))
    assert said == sorted(said, key=lambda line: ["read", "assumed", "unknown"].index(line.split(":")[0]))


def test_every_fixture_names_its_source() -> None:
    assert len(TABLE) >= 20
    assert all(entry["source"].startswith("https://") for entry in TABLE.values())
