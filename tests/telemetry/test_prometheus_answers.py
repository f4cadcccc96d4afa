"""Answers of a query API: the fast reader equals the json module, odd answers are errors, rules and file agree."""

from __future__ import annotations

import asyncio
import json
import re
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.observe.readings import Metric, SourceState
from mfu.telemetry.errors import NotExposition, TelemetryError, Unreachable
from mfu.telemetry.prometheus.adapter import PrometheusAPI, exposition_by_instance
from mfu.telemetry.prometheus.answers import labels_of, matrix, vector
from mfu.telemetry.prometheus.recorded_rules import COLUMNS, RecordedRules
from mfu.telemetry.prometheus.rules import RULES, document, guarded, matchers

LABELS = st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4)
VALUES = st.floats(allow_nan=False).map(repr) | st.sampled_from(["NaN", "+Inf", "-Inf"])


def answer(result: list[object], kind: str = "vector") -> bytes:
    body = {"status": "success", "data": {"resultType": kind, "result": result}}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def sample(labels: dict[str, str], value: object) -> object:
    return {"metric": labels, "value": [1700000000.123, str(value)]}


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(LABELS, VALUES), max_size=5))
def test_fast_reader_equals_json(series: list[tuple[dict[str, str], str]]) -> None:
    body = answer([sample(labels, value) for labels, value in series])
    found = vector(body, "p")
    assert [labels_of(text) for text in found.labels] == [labels for labels, _ in series]
    assert np.array_equal(found.values, [float(text) for _, text in series], equal_nan=True)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.tuples(LABELS, VALUES), max_size=3))
def test_pretty_answers_read_the_same(series: list[tuple[dict[str, str], str]]) -> None:
    body = answer([sample(labels, value) for labels, value in series])
    pretty = json.dumps(json.loads(body), indent=2).encode()
    slow, fast = vector(pretty, "p"), vector(body, "p")
    assert [labels_of(text) for text in slow.labels] == [labels_of(text) for text in fast.labels]
    assert np.array_equal(slow.values, fast.values, equal_nan=True)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"null", b"[]", b"{}", b'{"status":"success"}', answer([], "matrix"),
        answer([sample({"a": "b"}, 1)])[:-20], answer([{"metric": {}}]), answer([1]), b'{"status":"success","data":[]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_odd_answers_are_errors(body: bytes) -> None:
    with pytest.raises(TelemetryError):
        vector(body, "p")


def test_the_servers_own_error_is_passed_on() -> None:
    with pytest.raises(Unreachable, match="too many samples"):
        vector(b'{"status":"error","errorType":"execution","error":"too many samples"}', "p")


def test_a_value_that_is_no_number_is_nan() -> None:
    found = vector(answer([sample({}, "1_0"), sample({}, "x"), sample({}, "1")]), "p").values
    assert np.array_equal(found, [np.nan, np.nan, 1.0], equal_nan=True)


def test_the_newest_sample_of_a_matrix_counts() -> None:
    result: list[object] = [{"metric": {"a": "b"}, "values": [[1.0, "5"], [2.0, "6"]]}]
    assert list(matrix(answer(result, "matrix"), "p")) == [({"a": "b"}, 6.0, 2.0)]
    with pytest.raises(NotExposition):
        list(matrix(answer([{"metric": {}, "values": []}], "matrix"), "p"))


def test_series_of_an_older_scrape_are_left_out() -> None:
    def row(pod: str, at: float) -> object:
        labels = {"__name__": "DCGM_FI_DEV_GPU_TEMP", "UUID": "GPU-1", "exported_pod": pod, "instance": "a", "job": "j"}
        return {"metric": labels, "values": [[at, "40"]]}

    found = exposition_by_instance(answer([row("old", 100.0), row("new", 115.0)], "matrix"), "p")
    assert list(found) == ["a"]
    assert b"new" in found["a"]
    assert b"old" not in found["a"]


def test_the_committed_rules_are_current() -> None:
    committed = resources.files("mfu.telemetry").joinpath("data/recording-rules.yaml").read_text()
    assert committed == document(), "run python -m mfu.telemetry.prometheus.rules > …/recording-rules.yaml"


def test_every_recorded_series_has_a_column_of_its_own() -> None:
    assert len({rule.record for rule in RULES}) == len(RULES)
    assert len({column for _, column in COLUMNS}) == len(COLUMNS)


UUID = "GPU-1"
DEVICE = {"UUID": UUID}


def info(**labels: str) -> object:
    return sample({"UUID": UUID, "modelName": "NVIDIA H200", "job": "dcgm", **labels}, 1)


def recorded(adapter: RecordedRules, infos: list[object], now: float = 100.0, **columns: object) -> object:
    names = {"time": len(Metric), **{metric.name.lower(): int(metric) for metric in Metric}}
    answers = {names[name]: answer([sample(DEVICE, value)]) for name, value in columns.items()}
    return adapter.round(answer(infos), answers, now)


def test_rules_become_a_round() -> None:
    pod = info(exported_namespace="n", exported_pod="p", pod="exporter-x", namespace="gpu")
    found = RecordedRules(30.0).round(
        answer([pod]), {len(Metric): answer([sample(DEVICE, 90)]), 0: answer([sample(DEVICE, 0.4)])}, 100.0
    )
    assert (found.state, found.observed_at.tolist(), found.devices[0].pod) == (SourceState.OK, [90.0], "p")
    assert found.values[0, Metric.TENSOR_ACTIVE] == 0.4


def test_a_free_gpu_of_a_relabelling_job_is_free() -> None:
    adapter = RecordedRules(30.0)
    own = {"pod": "some-ds-1", "namespace": "gpu"}
    free = sample({"UUID": "GPU-2", "job": "dcgm", **own}, 1)
    columns = {len(Metric): answer([sample(DEVICE, 90), sample({"UUID": "GPU-2"}, 90)])}
    found = adapter.round(answer([free]), columns, 100.0)
    assert found.devices[0].pod == "some-ds-1", "nothing yet says that the job relabels"
    found = adapter.round(answer([free, info(exported_namespace="n", exported_pod="p", **own)]), columns, 100.0)
    assert {device.key.uuid: device.pod for device in found.devices} == {"GPU-2": None, UUID: "p"}


def test_standing_energy_holds_the_time_back() -> None:
    adapter = RecordedRules(30.0)
    times = []
    for at, energy in ((90, 1000), (105, 1000), (120, 1001)):
        found = recorded(adapter, [info()], now=at + 1, time=at, tensor_active=0.4, energy=energy)
        times.append(found.observed_at[0])  # type: ignore[attr-defined]
    assert times == [90.0, 90.0, 120.0]


def test_rules_that_hold_nothing_are_a_state_with_a_hint() -> None:
    found = RecordedRules(30.0).round(answer([]), {}, 0.0)
    assert found.state is SourceState.INVALID
    assert "recording-rules.yaml" in found.message


@pytest.mark.parametrize("labels", ['{"UUID":"\\ud800"}', '{"\\udfff":"x"}'])
def test_half_a_surrogate_is_replaced(labels: str) -> None:
    found = labels_of(labels.encode())
    assert found is not None
    json.dumps(found, ensure_ascii=False).encode()


def test_only_series_of_the_named_job_and_namespace_count() -> None:
    only = matchers(job="dcgm", namespace="gpu-operator")
    assert only == 'job="dcgm",namespace="gpu-operator"'
    assert guarded('DCGM_FI_A{B=""} == 0 or timestamp(DCGM_FI_C)', only) == (
        f'DCGM_FI_A{{{only},B=""}} == 0 or timestamp(DCGM_FI_C{{{only}}})'
    )
    series = re.compile(r'\bDCGM_FI_\w+\b(?![!=]=?~?")')
    for rule in RULES:
        for found in series.finditer(guarded(rule.expression, only)):
            assert found.string[found.end() :].startswith("{" + only)


def test_what_targets_print_under_a_rules_name_is_not_read() -> None:
    asked: list[str] = []

    class Asking(PrometheusAPI):
        async def _query(self, expression: str, now: float) -> bytes:
            asked.append(expression)
            return b'{"status":"success","data":{"resultType":"vector","result":[]}}'

    asyncio.run(Asking("http://prometheus", rules=True).read(0.0))
    assert asked
    assert all('{instance=""}' in expression for expression in asked)
