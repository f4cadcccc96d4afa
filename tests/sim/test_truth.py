"""Planted values: what annotations mean, and what is refused."""

import pytest

from mfu.api.causes import Cause
from mfu.hardware.types import Precision
from mfu.sim.truth import IDLE, PREFIX, Fault, InvalidPlan, Truth, TruthMode, from_annotations


def annotations(**values):
    return {PREFIX + name.replace("_", "-"): str(value) for name, value in values.items()}


def test_all_settings_are_read() -> None:
    truth = from_annotations(
        annotations(mfu=0.14, fault="slow-link", strength=0.5, mode="Serving", model="llama-3.1-8b", precision="FP8")
        | annotations(sequence_length=2048, input_tokens=100, output_tokens=20, concurrency=7, total="false")
        | {"team": "a"}
    )

    assert truth == Truth(
        0.14,
        Fault.SLOW_LINK,
        0.5,
        TruthMode.SERVING,
        "llama-3.1-8b",
        Precision.FP8,
        sequence_length=2048,
        input_tokens=100,
        output_tokens=20,
        concurrency=7,
        total=False,
    )
    assert truth.cause is Cause.COMMUNICATION


def test_a_pod_that_plants_nothing_is_idle() -> None:
    assert from_annotations({"team": "a"}) is IDLE
    assert IDLE.cause is Cause.IDLE_ALLOCATION


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"mfu": "much"}, "mfu"),
        ({"mfu": 1.2}, "mfu"),
        ({"mfu": 0.4, "strength": 0}, "strength"),
        ({"mfu": 0.4, "load": 0}, "load"),
        ({"mfu": 0.4, "mbu": 2}, "mbu"),
        ({"mfu": 0.4, "fault": "gremlins"}, "fault"),
        ({"mfu": 0.4, "colour": "red"}, "colour"),
        ({"mfu": 0.4, "total": "perhaps"}, "total"),
        ({"mfu": 0.4, "sequence_length": 0}, "sequence-length"),
    ],
)
def test_nonsense_is_refused_by_field(values, field) -> None:
    with pytest.raises(InvalidPlan) as refused:
        from_annotations(annotations(**values))

    assert refused.value.field == field


def test_every_fault_has_a_cause() -> None:
    assert all(isinstance(Truth(0.1, fault).cause, Cause) for fault in Fault)


def test_wrong_precision_runs_fp32_whatever_is_declared() -> None:
    assert Truth(0.05, Fault.WRONG_PRECISION).executed_precision is Precision.FP32
    assert Truth(0.4, precision=Precision.FP8).executed_precision is Precision.FP8
