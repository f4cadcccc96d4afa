"""The two ways of reading a host's pace from the share of the time in which kernels run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU
from mfu.predict.sharing.program import SharedProgram
from tools.fit.read_pace import RULES, SLOWEST_LAUNCH_SECONDS, alone, asleep, errors, paced

RECORDED = Path(__file__).parents[2] / "e2e/recordings/h100_pairs.jsonl"


def small() -> SharedProgram:
    """9 ms of kernels that the usual host launches in 21."""
    return SharedProgram(0.021, 0.0, 0.009, 928.0, 0.6, 0.3)


def test_what_is_idle_beyond_the_usual_host_is_sleep_by_one_rule_and_its_pace_by_the_other() -> None:
    slept, slow = asleep(small(), 0.3), paced(small(), 0.3)
    assert (slept.active_seconds, slept.asleep_seconds) == pytest.approx((0.021, 0.009))
    assert (slow.active_seconds, slow.asleep_seconds) == pytest.approx((0.030, 0.0))


def test_no_host_is_slower_than_the_slowest_recorded_and_none_faster_than_its_kernels() -> None:
    starved, full = paced(small(), 0.05), paced(small(), 1.0)
    assert starved.active_seconds == pytest.approx(928 * SLOWEST_LAUNCH_SECONDS)
    assert starved.step_seconds == pytest.approx(0.009 / 0.05)
    assert full.active_seconds == pytest.approx(0.009)


def test_programs_alone_are_read_where_they_run_and_every_side_of_a_pair_is_told() -> None:
    runs = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    assert 0.35 < alone(runs)["train 24 1024 16 1 512 0"].busy < 0.5
    gpu = load().by_api_name("H100-SXM5")
    assert isinstance(gpu, GPU)
    found = [list(errors(runs, rule, gpu)) for rule in RULES.values()]
    assert [len(each) for each in found] == [74, 74]
    assert [sum(host for host, _ in each) for each in found] == [6, 6]
