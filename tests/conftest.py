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

UNMEASURED = (
    "account/test_rollup.py",
    "api/test_crds_current.py",
    "cluster/test_writer.py",
    "decide/test_fleet_together.py",
    "decide/test_mig_planner.py",
    "decide/test_reclaim.py",
    "decide/test_recommend.py",
    "decide/test_sharing.py",
    "engine/test_cycle.py",
    "engine/test_every_dollar.py",
    "engine/test_learned_hierarchy.py",
    "engine/test_memory.py",
    "engine/test_rescales.py",
    "engine/test_words_agree_with_losses.py",
    "faults/test_writing.py",
    "sim/test_operator_names_faults.py",
    "telemetry/test_progress_is_no_weapon.py",
)
"""Long simulations that run the lines of lighter tests again and again: measuring doubles what they take.

All seventeen together reach 0.4 % of the lines that no other test reaches, so that the floor is that much stricter.
"""
_UNMEASURED_FILES = frozenset(Path(__file__).parent / each for each in UNMEASURED)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By these words the Makefile finds the files of slow tests and of servers: another spelling is an error."""
    for item in items:
        if item.path in _UNMEASURED_FILES:
            item.add_marker(pytest.mark.no_cover)
    unseen = {item.path for item in items if any(map(item.get_closest_marker, _SERVED)) and not _says_so(item.path)}
    if unseen:
        names = ", ".join(sorted(each.name for each in unseen))
        raise pytest.UsageError(f"write the marks out as pytest.mark.NAME, or `make test` does not find them: {names}")


@cache
def _says_so(path: Path) -> bool:
    return re.search(r"mark\.(integration|slow|e2e)\b", path.read_text()) is not None
