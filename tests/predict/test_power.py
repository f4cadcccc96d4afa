"""A lowered power limit: what it costs, who says so, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict import predict
from mfu.predict.names import StepTerm
from mfu.predict.training.constants import shipped
from mfu.predict.training.power import held_clock
from mfu.predict.types import Parallelism, Placement, Precisions, Prediction, Sharding, Training
from mfu.workload.presets import preset


def product(name: str) -> GPU:
    found = load().by_api_name(name)
    assert isinstance(found, GPU)
    return found


def held(name: str, watts: float | None) -> float:
    return held_clock(Device(product(name)), watts, shipped())


LLAMA = Training(preset("llama-3.1-8b"), Precisions(), 8192, 8, 1, Parallelism(data=8), Sharding.ZERO3)


def asked(watts: float | None, setup: Training = LLAMA, name: str = "H100-SXM5") -> Prediction:
    answer = predict(setup, Placement(Device(product(name)), 8, power_limit_watts=watts))
    assert isinstance(answer, Prediction)
    return answer


def test_the_worked_number() -> None:
    assert held("B200", 750.0) == pytest.approx(((750 - 150) / 850) ** 0.5) == pytest.approx(0.840, abs=0.001)
    assert (
        held("H100-SXM5", 500.0) == pytest.approx(((500 - 105) / 595) ** (1 / 2.5)) == pytest.approx(0.849, abs=0.001)
    )


@pytest.mark.parametrize(("watts", "rated"), [(700.0, 1800 / 2250), (1200.0, 2500 / 2250)])
def test_one_die_at_three_powers_is_met(watts: float, rated: float) -> None:
    """B100, B200 and GB200 are one die, which its maker rates by the clock that each power allows."""
    c = shipped()
    idle, exponent = c["power_idle"] * 1000.0, c.of("power_exponent", "blackwell")
    assert ((watts - idle) / (1000.0 - idle)) ** (1.0 / exponent) == pytest.approx(rated, abs=0.01)


@pytest.mark.parametrize("watts", [None, 700.0, 900.0])
def test_a_limit_that_is_not_lowered_changes_nothing(watts: float | None) -> None:
    assert held("H100-SXM5", watts) == 1.0
    assert asked(watts) == asked(None)


def test_less_power_is_never_faster() -> None:
    clocks = [held("H100-SXM5", watts) for watts in (690.0, 600.0, 400.0, 200.0, 100.0, 10.0)]
    assert clocks == sorted(clocks, reverse=True)
    assert all(0.0 < clock < 1.0 for clock in clocks)


def test_the_waterfall_has_a_line_of_its_own_and_the_answer_says_so() -> None:
    whole, limited = asked(None), asked(500.0)
    lines = {loss.name: loss.seconds for loss in limited.waterfall}
    usual = {loss.name: loss.seconds for loss in whole.waterfall}
    assert StepTerm.POWER_LIMIT.value not in usual
    assert sum(loss.fraction for loss in limited.waterfall) + limited.mfu == pytest.approx(1.0, abs=1e-12)
    slower = limited.step_seconds - whole.step_seconds
    assert 0.8 * slower < lines[StepTerm.POWER_LIMIT.value] < slower
    for name in (StepTerm.KERNEL_CEILING.value, StepTerm.ATTENTION.value, StepTerm.MEMORY_BOUND.value):
        assert lines[name] == pytest.approx(usual[name], rel=1e-2)
    assert any("500 of 700 W" in note for note in limited.notes)
    assert not any(" W:" in note for note in whole.notes)


def test_what_memory_paces_loses_less() -> None:
    short = replace(LLAMA, sequence_length=512)
    lost = [1.0 - asked(400.0, setup).mfu / asked(None, setup).mfu for setup in (LLAMA, short)]
    assert lost[0] > 0.1
    assert lost[1] < 0.7 * lost[0]
