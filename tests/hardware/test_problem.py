"""One shape of "why not", from the catalog to the condition."""

from __future__ import annotations

from mfu.api.conditions import Reason
from mfu.hardware.problem import Problem, ProblemReason, did_you_mean


def test_a_problem_reads_as_one_sentence() -> None:
    found = Problem(ProblemReason.IMPOSSIBLE_LAYOUT, "accelerators.count", "is 8", "set 16")
    assert str(found) == "accelerators.count is 8: set 16"
    assert Problem(ProblemReason.INVALID_SPEC, "seq_len", "holds no number").message == "seq_len holds no number"


def test_every_reason_of_a_problem_is_one_of_a_condition() -> None:
    assert [Reason(each) for each in ProblemReason] == [str(each) for each in ProblemReason]


def test_the_nearest_name_or_where_to_look() -> None:
    assert did_you_mean(("H100-SXM5", "H100-PCIe"), "see `mfu gpus`") == "did you mean H100-SXM5, H100-PCIe?"
    assert did_you_mean((), "see `mfu gpus`") == "see `mfu gpus`"
