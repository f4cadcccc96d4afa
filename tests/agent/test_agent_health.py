"""Health: what counts, how long it must last, and what an honest load must not be accused of."""

from __future__ import annotations

import pytest

from mfu.agent.health import CLEARS_SECONDS, LASTS_SECONDS, Health, Record, RemappedRows, Verdict, worst
from mfu.agent.inventory import AgentGPU
from mfu.agent.xid import Xid
from mfu.api.gpunode import Health as ApiHealth
from mfu.observe.metric import Metric

BOARD = AgentGPU(
    index=0,
    uuid="GPU-0",
    name="NVIDIA H100 80GB HBM3",
    product="H100-SXM5",
    max_pcie_generation=5,
    max_pcie_width=16,
    default_power_limit_watts=700,
)
BUSY = {
    Metric.GPU_UTIL: 0.99,
    Metric.POWER_LIMIT: 700.0,
    Metric.PCIE_LINK_GEN: 5.0,
    Metric.PCIE_LINK_WIDTH: 16.0,
    Metric.ECC_UNCORRECTED: 3.0,
}
LONG = LASTS_SECONDS + 1

CASES: list[tuple[str, dict[Metric, float], tuple[str, ...]]] = [
    ("at its own power limit under load", {Metric.CLOCK_EVENTS: 0x4}, ()),
    ("a lowered limit that holds it back", {Metric.CLOCK_EVENTS: 0x4, Metric.POWER_LIMIT: 500.0}, ("PowerCap",)),
    ("a lowered limit that it does not reach", {Metric.CLOCK_EVENTS: 0x0, Metric.POWER_LIMIT: 500.0}, ()),
    ("software thermal slowdown", {Metric.CLOCK_EVENTS: 0x20}, ("ThermalSlowdown",)),
    ("hardware thermal slowdown", {Metric.CLOCK_EVENTS: 0x48}, ("HardwareSlowdown", "ThermalSlowdown")),
    ("power brake", {Metric.CLOCK_EVENTS: 0x80}, ("PowerBrake",)),
    ("idle and application clocks", {Metric.CLOCK_EVENTS: 0x3}, ()),
    ("a link that trained down under load", {Metric.PCIE_LINK_GEN: 3.0}, ("LinkDowngraded",)),
    ("a narrow link under load", {Metric.PCIE_LINK_WIDTH: 8.0}, ("LinkDowngraded",)),
    ("a link that saves power while idle", {Metric.PCIE_LINK_GEN: 1.0, Metric.GPU_UTIL: 0.0}, ()),
    ("old memory errors of the board's life", {}, ()),
]


def verdict(values: dict[Metric, float], seconds: float = LONG) -> Verdict:
    record = Record()
    for second in range(int(seconds) + 1):
        record.note(BOARD, BUSY | values, float(second))
    return record.verdict(seconds)


@pytest.mark.parametrize(("values", "reasons"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reasons(values: dict[Metric, float], reasons: tuple[str, ...]) -> None:
    found = verdict(values)
    assert set(found.reasons) == set(reasons)
    assert found.health is (Health.DEGRADED if reasons else Health.HEALTHY)


def test_a_moment_is_no_reason() -> None:
    assert verdict({Metric.CLOCK_EVENTS: 0x20}, seconds=LASTS_SECONDS - 2).health is Health.HEALTHY


def test_a_reason_stays_until_it_has_been_over_for_a_while() -> None:
    record = Record()
    hot = BUSY | {Metric.CLOCK_EVENTS: 0x20.__float__()}
    for second in range(20):
        record.note(BOARD, hot, float(second))
    record.note(BOARD, BUSY, 20 + CLEARS_SECONDS / 2)
    assert record.verdict(20 + CLEARS_SECONDS / 2).reasons == ("ThermalSlowdown",)
    record.note(BOARD, BUSY, 21 + CLEARS_SECONDS)
    assert record.verdict(21 + CLEARS_SECONDS).reasons == ()


@pytest.mark.parametrize(
    ("number", "age", "health"),
    [
        (13, 0.0, Health.HEALTHY),
        (31, 0.0, Health.HEALTHY),
        (48, 0.0, Health.FAILED),
        (48, 1e6, Health.FAILED),
        (79, 0.0, Health.FAILED),
        (92, 0.0, Health.DEGRADED),
        (92, 1e6, Health.HEALTHY),
    ],
)
def test_xids(number: int, age: float, health: Health) -> None:
    record = Record(seen=True)
    record.note_xids([Xid("GPU-0", number, 0.0)])
    assert record.verdict(age).health is health
    assert record.last_xid == number


def test_new_uncorrected_errors_degrade() -> None:
    record = Record()
    record.note(BOARD, BUSY, 0.0)
    record.note(BOARD, BUSY | {Metric.ECC_UNCORRECTED: 4.0}, 1.0)
    assert record.verdict(1.0) == Verdict(Health.DEGRADED, ("ECCUncorrectable",))


def test_rows_out_of_spares_fail_and_rows_that_wait_degrade() -> None:
    assert Record(rows=RemappedRows(failed=True), seen=True).verdict(0.0).health is Health.FAILED
    assert Record(rows=RemappedRows(pending=True), seen=True).verdict(0.0).health is Health.DEGRADED


def test_nothing_seen_is_unknown_not_healthy() -> None:
    assert Record().verdict(0.0).health is Health.UNKNOWN


def test_worst_of_several() -> None:
    healthy, failed = Verdict(Health.HEALTHY), Verdict(Health.FAILED, ("XID79",))
    assert worst([healthy, failed]) is Health.FAILED
    assert worst([healthy]) is Health.HEALTHY
    assert worst([]) is Health.UNKNOWN


def test_words_are_the_apis() -> None:
    assert [str(each) for each in Health] == [str(each) for each in ApiHealth]
