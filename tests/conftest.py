"""Fixtures shared by all tests."""

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["e2e.testbed.cluster.fixtures", "e2e.testbed.rounds"]

# A property is wrong or right however busy the machine is.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")

_SERVED = ("integration", "slow", "e2e")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By these words the Makefile finds the files of slow tests and of servers: another spelling is an error."""
    unseen = {item.path for item in items if any(map(item.get_closest_marker, _SERVED)) and not _says_so(item.path)}
    if unseen:
        names = ", ".join(sorted(each.name for each in unseen))
        raise pytest.UsageError(f"write the marks out as pytest.mark.NAME, or `make test` does not find them: {names}")


@cache
def _says_so(path: Path) -> bool:
    return re.search(r"mark\.(integration|slow|e2e)\b", path.read_text()) is not None
