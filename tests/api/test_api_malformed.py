"""Every row of malformed.yaml is refused without an API server too, and the answer names the field and the values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.api.acceptance import problems
from mfu.api.conditions import Reason
from mfu.api.files import InvalidResource, load
from mfu.api.mfupolicy import MFUPolicy
from mfu.api.modelworkload import ModelWorkload
from mfu.api.policy_checks import policy_problems

TABLE = yaml.safe_load((Path(__file__).parent / "malformed.yaml").read_text())
CASES = {case["name"]: case for case in TABLE["cases"]}


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    base = value if isinstance(value, dict) else {}
    kept = {key: inner for key, inner in base.items() if key not in patch}
    return kept | {key: merged(base.get(key), inner) for key, inner in patch.items() if inner is not None}


def answer(document: dict[str, Any]) -> str:
    """All that the product says against a document, empty when it is accepted."""
    try:
        resource = load(document)
    except InvalidResource as error:
        return str(error)
    if isinstance(resource, MFUPolicy):
        return " | ".join(problem.message for problem in policy_problems(resource.spec))
    assert isinstance(resource, ModelWorkload)
    return " | ".join(problem.message for problem in problems(resource.spec))


@pytest.mark.parametrize("base", TABLE["bases"])
def test_bases_are_accepted(base: str) -> None:
    assert answer(TABLE["bases"][base]) == ""


@pytest.mark.parametrize("name", CASES)
def test_refused_with_the_field_and_values(name: str) -> None:
    case = CASES[name]
    said = answer(merged(TABLE["bases"][case["base"]], {"spec": case["spec"]}))
    assert said
    missing = [words for words in case["says"] if words.removeprefix("spec.") not in said]
    assert not missing, said


def test_table_is_large_enough() -> None:
    assert len([case for case in CASES.values() if case["by"] != "catalog"]) >= 30


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("preset-unknown", Reason.UNKNOWN_PRESET),
        ("product-unknown", Reason.UNKNOWN_PRODUCT),
        ("precision-unsupported", Reason.UNSUPPORTED_PRECISION),
        ("profile-unknown", Reason.UNKNOWN_MIG_PROFILE),
        ("preset-heads-not-divisible", Reason.IMPOSSIBLE_LAYOUT),
        ("count-not-layout", Reason.IMPOSSIBLE_LAYOUT),
        ("both-targets", Reason.INVALID_SPEC),
    ],
)
def test_reason_of_the_condition(name: str, reason: Reason) -> None:
    case = CASES[name]
    resource = load(merged(TABLE["bases"][case["base"]], {"spec": case["spec"]}))
    assert isinstance(resource, ModelWorkload)
    assert reason in {problem.reason for problem in problems(resource.spec)}
