"""A status at rest is the same status: it reads back, compares, and damage to it stops nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicyStatus
from mfu.api.workload_status import Attainable, Change, Expected, History, Loss, Summary, WorkloadStatus
from mfu.engine.packed import Packed, dumped
from tests.builders.scenes import STEADY

decimals = st.floats(-1e6, 1e6).map(lambda each: f"{each:.4f}")
some = st.one_of(st.none(), decimals)
words = st.text(max_size=12)
changes = st.lists(st.builds(Change, field=words, from_=words, to=words), max_size=2).map(tuple)
statuses = st.builds(
    WorkloadStatus,
    observed_generation=st.one_of(st.none(), st.integers(0, 9)),
    summary=st.one_of(st.none(), st.builds(Summary, model=words, cause=words)),
    expected=st.lists(
        st.builds(Expected, product=words, basis=st.sampled_from(["Declared", "Assigned"]), mfu=some), max_size=3
    ).map(tuple),
    attainable=st.one_of(
        st.none(),
        st.builds(
            Attainable,
            mfu=some,
            changes=changes,
        ),
    ),
    losses=st.lists(
        st.builds(
            Loss, cause=st.sampled_from(["None", "Straggler"]), explains=st.sampled_from(["Runtime"]), evidence=words
        ),
        max_size=2,
    ).map(tuple),
    history=st.lists(st.builds(History, model=words, after=some), max_size=2).map(tuple),
)


@STEADY
@given(statuses)
def test_it_reads_as_what_was_packed(said: WorkloadStatus) -> None:
    tight = Packed.of(said)
    assert tight.read() == said
    assert tight.document() == dumped(said)
    assert Packed(WorkloadStatus, tight.document()) == tight, "what comes back from a server is what was sent"


@STEADY
@given(statuses, statuses)
def test_two_compare_as_what_they_hold(one: WorkloadStatus, other: WorkloadStatus) -> None:
    assert (Packed.of(one) == Packed.of(other)) is (one == other)


def test_the_order_of_keys_is_nothing() -> None:
    one = Packed(WorkloadStatus, {"observedGeneration": 1, "summary": {"model": "m", "cause": "None"}})
    assert one == Packed(WorkloadStatus, {"summary": {"cause": "None", "model": "m"}, "observedGeneration": 1})


def test_the_same_json_of_two_kinds_is_not_the_same() -> None:
    assert Packed(WorkloadStatus, {}) != Packed(FleetStatus, {})
    assert Packed(WorkloadStatus, {}) != {}


def test_what_is_unknown_or_empty_is_left_out() -> None:
    assert dumped(WorkloadStatus(observed_generation=1, expected=(), cost=None)) == {"observedGeneration": 1}
    assert dumped(PolicyStatus(matched_namespaces=0)) == {"matchedNamespaces": 0, "summary": ""}


GOOD: dict[str, Any] = {"product": "H100-SXM5", "basis": "Declared", "mfu": "0.4"}
DAMAGED: dict[str, tuple[dict[str, Any], WorkloadStatus]] = {
    "a row": (
        {"expected": [{"basis": "Declared"}, GOOD, "nonsense"], "observedGeneration": 1},
        WorkloadStatus(expected=(Expected(**GOOD),), observed_generation=1),
    ),
    "a field": ({"summary": {"model": 3}, "observedGeneration": 1}, WorkloadStatus(observed_generation=1)),
    "a list that is none": ({"expected": "x", "observedGeneration": 1}, WorkloadStatus(observed_generation=1)),
    "a generation": ({"observedGeneration": -1, "expected": [GOOD]}, WorkloadStatus(expected=(Expected(**GOOD),))),
    "everything": ({"expected": 1, "summary": 2, "conditions": [3], "losses": {}}, WorkloadStatus()),
    "what a newer version wrote": ({"tomorrow": 1, "observedGeneration": 1}, WorkloadStatus(observed_generation=1)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_does_not_read_is_left_out_and_the_rest_stays(name: str) -> None:
    document, want = DAMAGED[name]
    assert Packed(WorkloadStatus, document).read() == want


def test_it_is_small() -> None:
    losses = [{"cause": "Communication", "explains": "Runtime", "action": "raise micro-batch", "share": "0.1000"}] * 20
    assert Packed(WorkloadStatus, {"losses": losses}).bytes_at_rest < len(str(losses)) / 5
