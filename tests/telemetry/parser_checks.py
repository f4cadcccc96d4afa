"""What must hold of every parser for any bytes at all; shared by the small fuzz tests and by tools/fuzz_parsers.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mfu.observe.readings import GPURound, ProgressReading
from mfu.telemetry import recorded
from mfu.telemetry.agent import adapter as agent
from mfu.telemetry.dcgm import adapter as dcgm
from mfu.telemetry.dcgm.fields import COLUMNS
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.pods import trainjob
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.logs.reader import Reader
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.prometheus.adapter import exposition_by_instance
from mfu.telemetry.prometheus.answers import labels_of, vector
from mfu.telemetry.prometheus.recorded_rules import COLUMNS as RECORDED
from mfu.telemetry.prometheus.recorded_rules import RecordedRules
from mfu.telemetry.rounds.table import TableText
from tests.telemetry.oracle import cells

DATA = Path(__file__).parent / "data"
POD = ScrapedPod("n", "p")
_VLLM = b"""vllm:prompt_tokens_total{engine="0"} 1000.0
vllm:prompt_tokens_cached_total{engine="0"} 400.0
vllm:generation_tokens_total{engine="0"} 70.0
train_tokens_total{rank="0"} 5
train_tokens_total{rank="1"} 6
"""
_VECTOR = (
    b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"UUID":"GPU-1","GPU_I_ID":"3"},'
    b'"value":[1700000000.1,"0.43"]},{"metric":{"UUID":"GPU-2"},"value":[1700000000.1,"NaN"]}]}}'
)
_MATRIX = (
    b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"DCGM_FI_DEV_GPU_TEMP",'
    b'"UUID":"GPU-1","instance":"a"},"values":[[1700000000.1,"43"],[1700000015.1,"44"]]}]}}'
)
_TRACE = (
    b'{"scenario":"s","gpu":"NVIDIA H200","series":[{"t":1.0,"gpu":0,"gpm":{"SM_UTIL":90.5,"PCIE_TX_PER_SEC":5},'
    b'"gpu_util":100,"power_w":693.6,"sm_clock":1500,"fb_used":65542160384,"events":4}]}'
)
_STATUS = b'{"lastUpdatedTime":"2026-11-22T06:00:00Z","metrics":[{"name":"global_step","value":"50"}]}'
_LOG = b" iteration 40/ 1000 | consumed samples: 10240 | elapsed time per iteration (ms): 1147.6 |"
_AGENT = (
    b'mfu_gpu_power_watts{uuid="GPU-1",gpu_instance="",node="n",product="NVIDIA H200",pod="p",namespace="n"} 500.5\n'
)
_SHORT = b"".join((DATA / "dcgm_legacy.txt").read_bytes().splitlines(keepends=True)[:12])
_ODD = (
    b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"UUID":"\\ud800",'
    b'"__name__":"DCGM_FI_DEV_GPU_TEMP"},"values":[[1,"43"]]}]}}'
)
SEEDS = (_ODD, _SHORT, _VLLM, _VECTOR, _MATRIX, _TRACE, _STATUS, _LOG, _AGENT)
_NAMES = frozenset(COLUMNS)


def check(name: str, body: bytes) -> None:
    """Run one check; a TelemetryError is an answer, anything else raised is a finding."""
    try:
        CHECKS[name](body)
    except TelemetryError:
        return


def _sane_round(found: GPURound) -> None:
    assert found.values.shape == (len(found.devices), found.values.shape[1])
    assert found.observed_at.shape == (len(found.devices),)
    assert not np.isinf(found.values).any()
    assert len({(device.key, device.namespace, device.pod) for device in found.devices}) == len(found.devices)
    assert all(device.key.uuid for device in found.devices)


def _sane_progress(found: ProgressReading) -> None:
    for value in (*found.counters.values(), *found.gauges.values()):
        assert math.isfinite(value)
        assert value >= 0


def _dcgm(body: bytes) -> None:
    fleet = dcgm.DCGMFleet()
    first = fleet.round({"a": body}, 1000.0)
    _sane_round(first)
    again = fleet.round({"a": body}, 1015.0)
    assert again.devices == first.devices
    assert np.array_equal(again.values, first.values, equal_nan=True)


def _dcgm_numbers(body: bytes) -> None:
    """Every number that the fast reader takes is one that a plain reader finds under the same name and device."""
    want: dict[tuple[int, str, str], list[float]] = {}
    for (name, uuid, instance), values in cells(body, _NAMES).items():
        want.setdefault((COLUMNS[name], uuid, instance), []).extend(values)
    text = TableText(dcgm.DCGM.layout)
    for found in (text.read(body), text.read(body)):
        for row, column in np.argwhere(~np.isnan(found.values)).tolist():
            key = found.devices[row].key
            instances = ("",) if key.instance is None else (str(key.instance),)
            candidates = [
                value
                for (number, uuid, instance), values in want.items()
                for value in values
                if number == column
                and _same(uuid, key.uuid)
                and (instance in instances or _digits(instance, key.instance))
            ]
            assert found.values[row, column] in candidates


def _dcgm_memory(body: bytes) -> None:
    """A reader that has seen other bodies reads this one as a new reader does."""
    kept = TableText(dcgm.DCGM.layout)
    changed = _SHORT.replace(b" 1755\n", b" 1756\n").replace(b" 652.318000\n", b" 1.5\n")
    for each in (_SHORT, body, changed, body, body.replace(b"5", b"6"), _SHORT, changed):
        found, want = kept.read(each), TableText(dcgm.DCGM.layout).read(each)
        assert set(found.devices) == set(want.devices)
        assert (found.traits, found.problems, len(found.stamps)) == (want.traits, want.problems, len(want.stamps))
        rows = [want.devices.index(device) for device in found.devices]
        assert np.array_equal(found.values, want.values[rows], equal_nan=True)


def _same(text: str, uuid: str) -> bool:
    return text == uuid or "\\" in text


def _digits(text: str, instance: int | None) -> bool:
    return instance is not None and text.isascii() and text.isdigit() and int(text) == instance


def _agent(body: bytes) -> None:
    _sane_round(agent.read_once(body, 1000.0))


def _engines(body: bytes) -> None:
    _sane_progress(read_engine(body, POD, 1.0))


def _declared(body: bytes) -> None:
    _sane_progress(declared(body, POD, 1.0, DeclaredProgress("train_tokens_total")))


def _vector(body: bytes) -> None:
    answer = vector(body, "p")
    found = [value for text, value in zip(answer.labels, answer.values, strict=True) if labels_of(text) is not None]
    try:
        data = json.loads(body)["data"]["result"]
    except (ValueError, RecursionError):
        return
    assert len(found) <= len(data)
    if len(found) < len(data):
        return
    for value, item in zip(found, data, strict=True):
        text = str(item["value"][1])
        assert value != value or value == float(text)


def _rules(body: bytes) -> None:
    answers = {column: body for _, column in RECORDED}
    _sane_round(RecordedRules(30.0).round(body, answers, 1000.0))


def _raw_prometheus(body: bytes) -> None:
    _sane_round(dcgm.DCGMFleet().round(exposition_by_instance(body, "p"), 1000.0))


def _trace(body: bytes) -> None:
    found = recorded.parse(body.decode(errors="replace"))
    assert not np.isinf(found.series.values).any()


def _status(body: bytes) -> None:
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(status, dict):
        _sane_progress(trainjob.read(status, POD))


def _logs(body: bytes) -> None:
    reader = Reader()
    reader.take([body.decode(errors="replace")])
    for reading in reader.log().readings:
        told = (value for value in asdict(reading).values() if value is not None)
        assert all(math.isfinite(value) and value >= 0 for value in told)


CHECKS: dict[str, Callable[[bytes], None]] = {
    "agent": _agent,
    "dcgm": _dcgm,
    "dcgm memory": _dcgm_memory,
    "dcgm numbers": _dcgm_numbers,
    "declared": _declared,
    "engines": _engines,
    "logs": _logs,
    "prometheus rules": _rules,
    "prometheus series": _raw_prometheus,
    "prometheus vector": _vector,
    "trace": _trace,
    "trainer status": _status,
}
