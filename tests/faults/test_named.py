"""The list of faults is true: each has a test of that name where it says."""

from __future__ import annotations

import ast
from collections.abc import Mapping
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
    "watches answered badly",
    "kopf's watch lost",
}


LEAST_TIMES = 20


@cache
def functions_of(file: str) -> Mapping[str, int]:
    """How many times `make prove` repeats each function of a test file."""
    tree = ast.parse((ROOT / file).read_text())
    of_file = [each.value for each in tree.body if isinstance(each, ast.Assign) and _names_marks(each)]
    whole = max((_times(each) for each in of_file), default=0)
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.name: max([whole, *map(_times, each.decorator_list)]) for each in functions}


def _names_marks(assigned: ast.Assign) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "pytestmark" for each in assigned.targets)


def _times(marks: ast.expr) -> int:
    """Of the mark `prove` in an expression; 0 where there is none."""
    calls = (each for each in ast.walk(marks) if isinstance(each, ast.Call))
    proved = (each for each in calls if ast.unparse(each.func).endswith(".prove"))
    said = (word.value for each in proved for word in each.keywords if word.arg == "times")
    return max((int(ast.literal_eval(each)) for each in said), default=0)


def test_every_fault_is_there() -> None:
    assert set(NAMED) == FAULTS


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_has_its_test(fault: str) -> None:
    assert NAMED[fault]
    for file, name in NAMED[fault]:
        assert name in functions_of(file)


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_is_played_many_times_by_make_prove(fault: str) -> None:
    for file, name in NAMED[fault]:
        assert functions_of(file)[name] >= LEAST_TIMES, f"{file}::{name} lacks the mark prove(times={LEAST_TIMES})"


def test_no_test_of_a_fault_is_left_out() -> None:
    listed = {(file, name) for each in NAMED.values() for file, name in each}
    here = Path(__file__).parent.glob("test_*.py")
    files = [str(each.relative_to(ROOT)) for each in here if each.name != "test_named.py"]
    assert {(file, name) for file in files for name in functions_of(file) if name.startswith("test_")} <= listed
