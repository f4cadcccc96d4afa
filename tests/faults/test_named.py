"""The list of faults is true: each has a test of that name where it says."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NAMED: dict[str, list[list[str]]] = yaml.safe_load(Path(__file__).with_name("named.yaml").read_text())
FAULTS = {
    "two replicas",
    "leader lost",
    "split brain",
    "clock jumps",
    "API server away",
    "etcd slow",
    "etcd compacted",
    "telemetry gone",
    "Prometheus down",
    "definition upgraded under load",
    "operator upgraded under load",
}


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_fault_is_there() -> None:
    assert set(NAMED) == FAULTS


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_has_its_test(fault: str) -> None:
    assert NAMED[fault]
    for file, name in NAMED[fault]:
        assert name in functions_of(file)


def test_no_test_of_a_fault_is_left_out() -> None:
    listed = {(file, name) for each in NAMED.values() for file, name in each}
    here = Path(__file__).parent.glob("test_*.py")
    files = [str(each.relative_to(ROOT)) for each in here if each.name != "test_named.py"]
    assert {(file, name) for file in files for name in functions_of(file) if name.startswith("test_")} <= listed
