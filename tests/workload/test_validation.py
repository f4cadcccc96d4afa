"""Contradicting dimensions: each names its field and what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.workload.architecture import MLA, Architecture, AttentionKind, Family, MoE
from mfu.workload.errors import InvalidArchitecture, WorkloadError
from mfu.workload.presets import names, preset
from mfu.workload.validation import check, problems

GOOD = Architecture("good", 2, 64, 4, 2, 16, 128, 1000)


@pytest.mark.parametrize("name", names())
def test_presets_are_sound(name: str) -> None:
    assert list(problems(preset(name))) == []


@pytest.mark.parametrize(
    ("field", "arch"),
    [
        ("layers", replace(GOOD, layers=0)),
        ("hidden", replace(GOOD, hidden=-1)),
        ("vocab", replace(GOOD, vocab=0)),
        ("kv_heads", replace(GOOD, kv_heads=3)),
        ("window", replace(GOOD, window=-4)),
        ("mla", replace(GOOD, attention=AttentionKind.MLA)),
        ("attention", replace(GOOD, mla=MLA(0, 16, 8, 16, 16))),
        ("mla", replace(GOOD, attention=AttentionKind.MLA, mla=MLA(0, 0, 8, 16, 16))),
        ("ffn", replace(GOOD, ffn=0)),
        ("ffn", replace(GOOD, ffn=0, moe=MoE(8, 2, 64, dense_layers=1))),
        ("moe.experts", replace(GOOD, moe=MoE(8, 2, 0))),
        ("moe.top_k", replace(GOOD, moe=MoE(8, 9, 64))),
        ("moe.top_k", replace(GOOD, moe=MoE(8, 0, 64))),
        ("moe.dense_layers", replace(GOOD, moe=MoE(8, 2, 64, dense_layers=3))),
        ("input_features", replace(GOOD, family=Family.VISION)),
    ],
)
def test_contradiction_names_its_field(field: str, arch: Architecture) -> None:
    with pytest.raises(InvalidArchitecture) as caught:
        check(arch)
    assert caught.value.why.field == field
    assert caught.value.why.fix


def test_zero_divisors_are_reported_not_raised() -> None:
    assert {problem.why.field for problem in problems(replace(GOOD, ffn=0, moe=MoE(8, 2, 64, every=0)))} == {
        "moe.dense_layers"
    }


def test_a_sound_architecture_passes_unchanged() -> None:
    assert check(GOOD) is GOOD


def test_errors_read_as_one_sentence() -> None:
    assert str(WorkloadError("ffn", "is 0", "set it to at least 1")) == "ffn is 0: set it to at least 1"
