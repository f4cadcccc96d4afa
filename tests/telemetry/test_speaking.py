"""Through a Prometheus too a node speaks for itself alone: by where its exporter runs, not by what it prints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.readings import GPURound, Metric
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.prometheus.rules import INFO, OBSERVED_AT, RULES
from mfu.telemetry.prometheus.speaking import host_of, speaking

PLACES = {"10.0.0.1": "a", "10.0.0.2": "b", "fd00::1": "a"}


@pytest.mark.parametrize(
    ("claims", "nodes", "refused", "silenced"),
    [
        ([("10.0.0.1:9400", "a")], {"10.0.0.1:9400": "a"}, (), ()),
        ([("10.0.0.1:9400", "b")], {"10.0.0.1:9400": "a"}, (), ()),
        ([("[fd00::1]:9400", None)], {"[fd00::1]:9400": "a"}, (), ()),
        ([("10.0.0.1:9400", "a"), ("10.0.0.1:9400", "b")], {"10.0.0.1:9400": "a"}, (), ()),
        ([("x:1", "a")], {"x:1": "a"}, (), ()),
        ([("x:1", None)], {}, (), ()),
        ([("x:1", "a"), ("x:1", "b")], {}, ("a", "b"), ("x:1",)),
        ([("x:1", "a"), ("y:1", "a")], {}, ("a",), ("x:1", "y:1")),
        ([("10.0.0.1:9400", "a"), ("x:1", "a")], {"10.0.0.1:9400": "a"}, (), ("x:1",)),
        ([("10.0.0.1:9400", "a"), ("10.0.0.1:9401", "a")], {}, ("a",), ("10.0.0.1:9400", "10.0.0.1:9401")),
        ([("x:1", "c"), ("y:1", "c"), ("y:1", "d")], {}, ("c", "d"), ("x:1", "y:1")),
    ],
)
def test_who_speaks_for_whom(
    claims: list[tuple[str, str | None]], nodes: Mapping[str, str], refused: tuple[str, ...], silenced: tuple[str, ...]
) -> None:
    found = speaking(claims, PLACES)
    assert found.nodes == nodes
    assert set(found.refused) == set(refused)
    assert found.silenced == set(silenced)


@given(st.lists(st.tuples(st.sampled_from(["10.0.0.1:1", "10.0.0.2:1", "x:1", "y:1", "z"]), st.sampled_from("abcd"))))
def test_nobody_speaks_for_two_nodes_and_no_two_for_one(claims: list[tuple[str, str]]) -> None:
    found = speaking(claims, PLACES)
    assert len(set(found.nodes.values())) == len(found.nodes)
    assert not set(found.nodes.values()) & set(found.refused)
    assert not set(found.nodes) & found.silenced


@pytest.mark.parametrize(
    ("instance", "host"),
    [("10.0.0.1:9400", "10.0.0.1"), ("[fd00::7]:9400", "fd00::7"), ("n0", "n0"), ("n0:http", "n0:http"), ("", "")],
)
def test_hosts(instance: str, host: str) -> None:
    assert host_of(instance) == host


VICTIM = {"UUID": "GPU-victim", "modelName": "NVIDIA H200", "exported_namespace": "team", "exported_pod": "job-0"}
HONEST = {**VICTIM, "Hostname": "a", "job": "dcgm"}
FORGED = {**VICTIM, "Hostname": "a", "job": "dcgm"}


Printed = tuple[str, dict[str, str], float]
"""Which exporter, the labels of its series, and their value."""


class OneFleet(PrometheusAPI):
    """A Prometheus that scraped the victim's own node and a compromised one that speaks of the victim."""

    own_node_silent = False

    async def _query(self, expression: str, now: float) -> bytes:
        honest: list[Printed] = [] if self.own_node_silent else [("10.0.0.1:9400", HONEST, 0.4)]
        return self._answer(expression, [*honest, ("10.0.0.2:9400", FORGED, 0.9)], now)

    def _answer(self, expression: str, printed: list[Printed], now: float) -> bytes:
        if "[" in expression:
            return answered(
                "matrix", [_sample(instance, labels, [[now, str(value)]]) for instance, labels, value in printed]
            )
        rule = next(each for each in RULES if each.record in expression)
        shown = printed if rule.record in (INFO, OBSERVED_AT) or rule.metric is Metric.TENSOR_ACTIVE else []
        return answered("vector", [_recorded(rule.record, each, now) for each in shown])


def _sample(instance: str, labels: dict[str, str], values: Any) -> dict[str, Any]:
    return {
        "metric": {**labels, "__name__": "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "instance": instance},
        "values": values,
    }


def _recorded(record: str, printed: Printed, now: float) -> dict[str, Any]:
    exporter, labels, value = printed
    kept = labels if record == INFO else {"UUID": labels["UUID"]}
    return {"metric": {**kept, "mfu_exporter": exporter}, "value": [now, str(now if record == OBSERVED_AT else value)]}


def answered(kind: str, result: list[dict[str, Any]]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def read(rules: bool, *, silent: bool = False, places: Mapping[str, str] = PLACES) -> tuple[GPURound, PrometheusAPI]:
    source = OneFleet("http://p", rules=rules, places=lambda: places)
    source.own_node_silent = silent
    return asyncio.run(source.read(1_000_000.0)), source


@pytest.mark.parametrize("rules", [True, False])
def test_a_compromised_node_changes_nothing_of_another(rules: bool) -> None:
    found, _ = read(rules)
    by_node = {device.node: found.values[row, Metric.TENSOR_ACTIVE] for row, device in enumerate(found.devices)}
    assert by_node == {"a": 0.4, "b": 0.9}


@pytest.mark.parametrize("rules", [True, False])
def test_nor_does_it_speak_for_one_whose_exporter_is_silent(rules: bool) -> None:
    found, _ = read(rules, silent=True)
    assert {device.node for device in found.devices} == {"b"}


@pytest.mark.parametrize("rules", [True, False])
def test_where_addresses_tell_nothing_two_voices_are_none(rules: bool) -> None:
    found, source = read(rules, places={})
    assert found.devices == ()
    assert "2 exporters claim to speak for it" in source.refused["a"]


def test_what_is_asked_keeps_exporters_apart() -> None:
    asked: list[str] = []

    class Asking(OneFleet):
        async def _query(self, expression: str, now: float) -> bytes:
            asked.append(expression)
            return await super()._query(expression, now)

    asyncio.run(Asking("http://p", rules=True).read(0.0))
    assert all("mfu_exporter" in each for each in asked if each.startswith("max by"))
    assert all(
        "label_replace(" in rule.expression and '"mfu_exporter", "$1", "instance"' in rule.expression for rule in RULES
    )
