"""Model families: their names, their levels, and which loss is their own."""

from __future__ import annotations

import pytest

from mfu.account.families import Member, by_family, family_of
from mfu.api.causes import Cause, Explains

LINK = (Cause.COMMUNICATION, Explains.RUNTIME, 0.10)
SMALL = (Cause.SMALL_BATCH, Explains.CONFIGURATION, 0.05)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("llama-3.1-8b", "llama-3.1"),
        ("llama-3.1-405B", "llama-3.1"),
        ("mixtral-8x7b", "mixtral"),
        ("qwen2.5-7b-instruct", "qwen2.5"),
        ("qwen3-30b-a3b", "qwen3"),
        ("deepseek-v3", "deepseek-v3"),
        ("bert-base", "bert-base"),
        ("7b", "7b"),
    ],
)
def test_a_family_is_the_name_without_its_size(model: str, family: str) -> None:
    assert family_of(model) == family


def member(model: str = "mixtral-8x7b", *losses: tuple[Cause, Explains, float], **fields: float | None) -> Member:
    levels: dict[str, float | None] = {"expected": 0.4, "observed": 0.3, "attainable": 0.45, **fields}
    gpus = levels.pop("gpus", 8.0) or 0.0
    return Member(model, gpus, levels["expected"], levels["observed"], levels["attainable"], tuple(losses))


def test_levels_are_weighted_by_gpus_and_unknown_ones_count_in_none() -> None:
    (found,) = by_family([member(gpus=24.0, observed=0.2), member(gpus=8.0, observed=0.4), member(observed=None)])
    assert (found.workloads, found.gpus) == (3, 40.0)
    assert found.observed == pytest.approx(0.25)
    assert found.expected == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ([member("m-7b", LINK)], None),
        ([member("m-7b", LINK), member("m-7b", LINK)], Cause.COMMUNICATION),
        ([member("m-7b", LINK), member("m-8b", LINK), member("m-9b", LINK), member("m-9b")], Cause.COMMUNICATION),
        ([member("m-7b", LINK), member("m-7b", LINK), member("m-7b")], None),
        ([member("m-7b", LINK), member("m-7b", LINK), member("m-7b", observed=None)], Cause.COMMUNICATION),
        ([member("m-7b", LINK, SMALL), member("m-7b", LINK, SMALL)], Cause.COMMUNICATION),
        ([member("m-7b", (Cause.COMMUNICATION, Explains.RUNTIME, 0.01))] * 3, None),
    ],
    ids=["one job", "both", "three of four", "two of three", "unknown is no vote", "the largest", "too little"],
)
def test_a_structural_loss_is_what_nearly_all_share(members: list[Member], cause: Cause | None) -> None:
    (found,) = by_family(members)
    assert (found.structural and found.structural.cause) == cause


def test_families_stand_by_gpus() -> None:
    assert [each.family for each in by_family([member("a-7b"), member("b-7b", gpus=16.0)])] == ["b", "a"]
