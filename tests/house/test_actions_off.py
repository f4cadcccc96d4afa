"""Nothing acts by default: an action needs the operator's configuration and a policy, both said by somebody."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType
from mfu.controller.config import OperatorConfig
from mfu.decide.policy import DEFAULT
from mfu.engine.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
POLICIES = [
    document
    for path in sorted((ROOT / "examples").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document and document["kind"] == "MFUPolicy"
]


def test_the_operator_carries_nothing_out() -> None:
    assert OperatorConfig().actions == ()
    assert Snapshot().switched_on == frozenset()


def test_the_chart_switches_nothing_on() -> None:
    values = yaml.safe_load((ROOT / "charts" / "mfu-operator" / "values.yaml").read_text())
    assert values["config"]["actions"] == []
    assert [values[part]["enabled"] for part in ("gating", "keeper")] == [False, False]


def test_no_policy_and_an_empty_one_enforce_nothing() -> None:
    empty = PolicySpec.model_validate({})
    assert DEFAULT.actions == {}
    assert empty.actions == ()
    for kind in DecisionType:
        assert DEFAULT.mode_of(kind) is not DecisionMode.ENFORCE
        assert empty.modes.of(kind) is not DecisionMode.ENFORCE


@pytest.mark.parametrize("document", POLICIES, ids=lambda each: each["metadata"]["name"])
def test_an_example_enforces_nothing(document: dict[str, dict[str, object]]) -> None:
    spec = PolicySpec.model_validate(document["spec"])
    assert spec.actions == ()
    assert not [kind for kind in DecisionType if spec.modes.of(kind) is DecisionMode.ENFORCE]


@pytest.mark.parametrize("kind", list(ActionType))
def test_a_policy_that_lists_an_action_does_not_enforce_by_it(kind: ActionType) -> None:
    spec = PolicySpec.model_validate({"actions": [{"type": kind}]})
    assert not [each for each in DecisionType if spec.modes.of(each) is DecisionMode.ENFORCE]
