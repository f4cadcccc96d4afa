"""Which slice of a GPU a replica is told to take: by the sizes of an H100 (9.75, 19.62, 39.5 GiB)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.decide.types import DecisionType, EffectivePolicy, Mode, Outcome, Subject
from mfu.decide.workload.mig import mig
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.predict import predict
from mfu.predict.types import Memory, Prediction
from tests.builders.cases import SERVING, TRAINING, case, gpu

GIB = 1024**3
PROFILES = {each.name: each for each in load().mig_profiles(gpu().key)}


def replica(gib: float, profile: str | None = None, **slo: int) -> Subject:
    """One that needs so many GiB, on a whole H100 or on a slice of one."""
    made = case({**SERVING, "inference": {**SERVING["inference"], "slo": slo}} if slo else SERVING)
    memory = Memory({"weights": gib * GIB}, gib * GIB, made.expected.memory.capacity_bytes)
    where = replace(made.placement, device=Device(gpu(), PROFILES[profile] if profile else None))
    return replace(made, expected=replace(made.expected, memory=memory), placement=where)


@dataclass(frozen=True)
class Row:
    """What it needs, where it is, and the slice that it is told to take; None where it stays."""

    gib: float
    holds: str | None = None
    takes: str | None = None
    words: str = ""
    slo: Mapping[str, int] = field(default_factory=dict)


ROWS = {
    "the smallest that holds it": Row(5.0, None, "1g.10gb", "needs 5.0Gi: 1g.10gb (9.8Gi) would hold it"),
    "filled to the last byte": Row(9.75, None, "1g.10gb"),
    "one byte more takes the next": Row(9.75 + 1 / GIB, None, "1g.20gb"),
    "of equal memory the one with the fewest SMs": Row(25.0, None, "3g.40gb"),
    "what needs it all keeps it": Row(60.0, words="needs 60Gi of a whole GPU"),
    "what no slice holds keeps what it has": Row(79.5, words="needs 80Gi and holds H100-SXM5"),
    "a slice of the right size stays": Row(5.0, "1g.10gb", words="holds H100-SXM5-MIG-1g.10gb"),
    "a larger slice is given back": Row(5.0, "3g.40gb", "1g.10gb"),
    "as much memory is no smaller slice": Row(25.0, "4g.40gb", words="holds H100-SXM5-MIG-4g.40gb"),
    "too large for its slice is no question here": Row(25.0, "1g.10gb", words="holds H100-SXM5-MIG-1g.10gb"),
    "a latency that small slices miss": Row(5.0, None, "3g.40gb", slo={"tpotMilliseconds": 5}),
    "a latency that every slice keeps": Row(5.0, None, "1g.10gb", slo={"tpotMilliseconds": 1000}),
    "a latency that needs the whole GPU": Row(5.0, words="of a whole GPU", slo={"tpotMilliseconds": 3}),
    "a first token that small slices miss": Row(5.0, None, "1g.20gb", slo={"ttftMilliseconds": 50}),
    "a latency that nothing keeps changes nothing": Row(5.0, words="and holds H100-SXM5", slo={"tpotMilliseconds": 1}),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_slice(name: str) -> None:
    row = ROWS[name]
    decision = mig(replica(row.gib, row.holds, **row.slo))
    assert decision is not None
    assert decision.type is DecisionType.MIG
    assert row.words in decision.message
    if row.takes is None:
        assert (decision.outcome, decision.reason, decision.hint) == (Outcome.KEEP, "RightSized", None)
        return
    assert (decision.outcome, decision.reason) == (Outcome.RESHAPE, "SmallerProfileFits")
    assert decision.hint == {"migProfile": row.takes, "resource": f"nvidia.com/mig-{row.takes}"}


def on(device: Device, document: dict[str, Any] = SERVING) -> Subject:
    made = case(document)
    return replace(made, placement=replace(made.placement, device=device))


NO_QUESTION = {
    "training": case(TRAINING),
    "training on one GPU": replace(case(TRAINING), spec=case(SERVING).spec),
    "a replica over several GPUs": case({**SERVING, "accelerators": {**SERVING["accelerators"], "count": 2}}),
    "a product without slices": on(Device(gpu("L40S"))),
    "time slices of one": on(Device(gpu(), shared=True)),
}


@pytest.mark.parametrize("name", NO_QUESTION)
def test_no_question(name: str) -> None:
    assert mig(NO_QUESTION[name]) is None


def test_a_product_with_few_instances_is_asked_as_well() -> None:
    """An A30 is cut into four."""
    decision = mig(on(Device(gpu("A30"))))
    assert decision is not None
    assert decision.outcome is Outcome.RESHAPE


def test_the_mode_is_the_policys() -> None:
    policy = EffectivePolicy(modes={DecisionType.MIG: Mode.OBSERVE})
    for gib in (5.0, 60.0, 79.5):
        decision = mig(replace(replica(gib), policy=policy))
        assert decision is not None
        assert decision.mode is Mode.OBSERVE


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 100.0), st.sampled_from([None, *PROFILES]), st.sampled_from([{}, {"tpotMilliseconds": 4}]))
def test_a_recommended_slice_holds_the_model_is_smaller_and_in_time(
    gib: float, holds: str | None, slo: dict[str, int]
) -> None:
    each = replica(gib, holds, **slo)
    decision = mig(each)
    assert decision is not None
    if decision.hint is None:
        return
    slice_ = PROFILES[decision.hint["migProfile"]]
    assert slice_.memory_bytes >= gib * GIB
    assert slice_.memory_slices < (PROFILES[holds].memory_slices if holds else slice_.memory_slices_total)
    there = predict(each.setup, replace(each.placement, device=Device(gpu(), slice_)))
    assert isinstance(there, Prediction)
    assert there.tpot_seconds is not None
    assert not slo or there.tpot_seconds <= 4e-3
