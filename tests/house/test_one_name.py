"""One word, one thing: no public class name stands for two things, but for twins of the API and the core."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__)
PACKAGE = HERE.parents[2] / "operator" / "mfu"
TABLE = HERE.with_name("one_name.yaml")


@cache
def homes() -> dict[str, tuple[str, ...]]:
    """Modules that define each public class name, where there are several."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for each in ast.parse(path.read_text()).body:
            if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
                found[each.name].append(module)
    return {name: tuple(modules) for name, modules in found.items() if len(modules) > 1}


def table() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(TABLE.read_text())
    return document


def test_no_name_stands_for_two_things_that_is_not_in_the_table() -> None:
    assert {name: modules for name, modules in homes().items() if name not in table()["twins"]} == {}


def test_twins_are_two_one_of_them_in_the_api_with_a_reason() -> None:
    for name, reason in table()["twins"].items():
        modules = homes()[name]
        assert len(modules) == 2, (name, modules)
        assert sum(module.startswith("api.") for module in modules) == 1, (name, modules)
        assert len(reason.split()) > 4, name
