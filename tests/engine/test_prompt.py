"""What is said at the prompt: refusals of names that do not exist, warnings in one line each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.engine.prompt import MOST_CHARACTERS, about_policy, about_workload, unknown_names

JOB: dict[str, Any] = {
    "mode": "Training",
    "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "a"},
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 8, "products": ["H100-SXM5"]},
    "training": {"sequenceLength": 4096, "globalBatchSize": 256, "parallelism": {"data": 8}, "sharding": "ZeRO3"},
}
REPLICA: dict[str, Any] = {
    "mode": "Inference",
    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
    "model": {"preset": "llama-3.1-70b"},
    "accelerators": {"count": 1, "products": ["H100-SXM5"]},
    "inference": {"inputTokens": {"mean": 2000}, "outputTokens": {"mean": 300}, "concurrency": 64},
}


def spec(base: dict[str, Any], **changes: Any) -> WorkloadSpec:
    merged = {key: {**base[key], **changes[key]} if key in changes else base[key] for key in base}
    return WorkloadSpec.model_validate(merged)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"preset": "lama-3.1-8b"}}, ("spec.model.preset", "lama-3.1-8b", "did you mean llama-3.1-8b")),
        ({"accelerators": {"products": ["H100-SXM"]}}, ("spec.accelerators.products", "H100-SXM", "H100-SXM5")),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    told = about_workload(spec(JOB, **changes))
    assert told.refusal is not None
    assert [word for word in words if word not in told.refusal] == []
    assert told.warnings == ()
    assert unknown_names(spec(JOB, **changes)) == told


def test_what_the_catalog_knows_to_be_impossible_is_a_warning() -> None:
    odd = {"accelerators": {"count": 6}, "training": {"globalBatchSize": 256, "parallelism": {"tensor": 3, "data": 2}}}
    told = about_workload(spec(JOB, **odd))
    assert told.refusal is None
    assert told.warnings[0].startswith("spec.training.parallelism.tensor is 3 but llama-3.1-8b has 32 heads")


def test_a_job_that_does_not_fit_hears_the_nearest_that_does() -> None:
    (line,) = about_workload(spec(JOB, training={"sharding": "DDP"})).warnings
    assert line.startswith("needs ")
    assert "per GPU, H100-SXM5 has 80: nearest that fits: sharding DDP → ZeRO3 (expected " in line


def test_a_replica_that_does_not_fit_hears_the_nearest_that_does() -> None:
    (line,) = about_workload(spec(REPLICA)).warnings
    assert "GiB per GPU, H100-SXM5 has 80: nearest that fits: accelerators.count 1 → 2, parallelism" in line
    assert line.endswith("MBU)")


def test_of_several_products_those_that_do_not_fit_are_named() -> None:
    told = about_workload(spec(REPLICA, accelerators={"products": ["H100-SXM5", "B200-SXM"]}))
    assert told.warnings[0].endswith("it fits B200")


def test_a_slow_job_hears_the_first_change() -> None:
    slow = spec(JOB, model={"preset": "llama-3.2-1b"}, training={"recompute": "Full"})
    (line,) = about_workload(slow).warnings
    assert line.startswith("expected ")
    assert " % of an attainable " in line
    assert line.endswith(" first")


def test_a_decode_at_its_limit_is_told_in_tokens() -> None:
    slow = spec(REPLICA, model={"preset": "llama-3.1-8b"}, inference={"concurrency": 4})
    (line,) = about_workload(slow).warnings
    assert line.startswith("expected ")
    assert "% of the attainable tokens/s: concurrency 4 → " in line


def test_without_a_product_nothing_is_guessed() -> None:
    assert about_workload(spec(JOB, accelerators={"products": []}, training={"sharding": "DDP"})).warnings == ()


def test_a_policy_that_prices_what_does_not_exist_is_refused() -> None:
    told = about_policy(PolicySpec.model_validate({"prices": [{"product": "H1000-SXM5", "perGPUHour": "1"}]}))
    assert told.refusal is not None
    assert "H1000-SXM5" in told.refusal


def test_a_policy_that_enforces_in_name_only_is_warned() -> None:
    (line,) = about_policy(PolicySpec.model_validate({"modes": {"reclaim": "Enforce"}})).warnings
    assert line.startswith("modes.reclaim is Enforce but actions lists none of Suspend")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    preset=st.sampled_from(["llama-3.1-8b", "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3"]),
    products=st.lists(st.sampled_from(["H100-SXM5", "L40S", "GB200", "B200-SXM"]), min_size=1, max_size=4, unique=True),
    data=st.sampled_from([1, 2, 16, 64]),
    tensor=st.sampled_from([1, 8, 16]),
)
def test_every_line_is_short_enough(preset: str, products: list[str], data: int, tensor: int) -> None:
    accelerators = {"count": data * tensor, "products": products}
    training = {"globalBatchSize": 4 * data, "parallelism": {"data": data, "tensor": tensor}}
    told = about_workload(spec(JOB, model={"preset": preset}, accelerators=accelerators, training=training))
    assert told.refusal is None
    assert all(0 < len(line) <= MOST_CHARACTERS and "\n" not in line for line in told.warnings)
