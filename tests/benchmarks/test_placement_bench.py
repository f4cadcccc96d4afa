"""The bench of placement: cited rows say what is cited, and grading follows where the ranks are."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.placement.fleet import fleet
from benchmarks.placement.work import DECLARED, WEIGHTS, declaration, work
from benchmarks.placement_truth import (
    HARDWARE,
    KINDS,
    OVER_NODES,
    SPLIT_TENSOR,
    Kind,
    Spot,
    Truth,
    splits_tensor_group,
)
from mfu.api.modelworkload import ModelWorkload
from mfu.hardware.catalog import load
from mfu.hardware.types import Device

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
A100, PCIE, H800, A10 = "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe", "NVIDIA-H800", "NVIDIA-A10"


def table(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


def recordings() -> dict[tuple[str, str], dict[str, Any]]:
    lines = (ROOT / "e2e" / "recordings" / "h200_trainer.jsonl").read_text().splitlines()
    runs = [json.loads(line) for line in lines]
    return {(each["scenario"], each["link"]): each for each in runs if "link" in each}


def evenly(truth: Truth) -> Truth:
    """Without spread."""

    class Even(Truth):
        def factor(self, what: str) -> float:
            return 1.0

    return Even(truth.seed)


EVEN = evenly(Truth(0))


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_cited_row_says_what_is_cited(kind: Kind) -> None:
    published = {row["id"]: float(row["norm_mfu_pct_causal"] or 0) / 100 for row in table("training_mfu.csv")}
    for cited, value in zip(kind.rows, (kind.a100, kind.h100), strict=True):
        if cited in published:
            assert value == pytest.approx(published[cited], abs=1e-4)
        else:
            assert "×" in cited or cited.startswith(("sweep ", "ddp-comm"))


def test_the_sweep_says_what_is_cited() -> None:
    best: dict[tuple[str, str, str], float] = {}
    for row in table("layout_sweep.csv"):
        if row["global_batch"] == "256":
            key = (row["params_b"], row["gpus"], row["tp"])
            best[key] = max(best.get(key, 0.0), float(row["mfu_pct"]))

    def at(gpus: int, tensor: int) -> float:
        return best["8.86", str(gpus), str(tensor)]

    small, large = (at(gpus, 16) / at(gpus, 8) / (at(gpus, 8) / at(gpus, 4)) for gpus in (16, 32))
    assert pytest.approx((small + large) / 2, abs=0.005) == SPLIT_TENSOR
    assert KINDS["9b-tp4"].h100 == pytest.approx(at(8, 4) / 100, abs=1e-3)


def test_the_recordings_say_what_is_cited() -> None:
    runs = recordings()
    for name, scenario in (("760m-short", "qwen06-fsdp-amp-short"), ("760m", "llama1b-fsdp-amp")):
        ratio = runs[scenario, "nvlink"]["step_s"] / runs[scenario, "pcie"]["step_s"]
        assert KINDS[name].pcie == pytest.approx(ratio)
    large = [runs["llama3b-fsdp-bf16-ckpt", link]["step_s"] for link in ("nvlink", "pcie")]
    assert KINDS["3b"].pcie == pytest.approx(large[0] / large[1])
    by_id = {row["id"]: float(row["mfu"]) for row in table("gpu_runs.csv")}
    assert KINDS["ddp"].h100 == pytest.approx(by_id["H200-ddp-comm-nvlink"], abs=1e-4)
    assert KINDS["ddp"].pcie == pytest.approx(by_id["H200-ddp-comm-pcie"] / by_id["H200-ddp-comm-nvlink"], abs=1e-3)


def test_two_nodes_cost_what_they_were_measured_to() -> None:
    spots = [Spot(f"n{number // 2}", A100) for number in range(4)]
    rate = EVEN.flops_per_s(KINDS["30b"], spots)
    assert rate == pytest.approx(16 * 312e12 * 0.5514 * OVER_NODES)
    assert rate == pytest.approx(2.66e15, rel=0.002)


def test_all_wait_for_the_slowest_product_and_the_worst_link() -> None:
    kind = KINDS["760m"]
    mixed = [Spot("a", A100), Spot("a", A100), Spot("b", A10), Spot("c", A10)]
    alone = EVEN.mfu(kind, A10) * HARDWARE[A10].peak_flops_per_s * 4
    assert EVEN.flops_per_s(kind, mixed) == pytest.approx(alone * kind.pcie)
    assert EVEN.links(kind, [Spot("a", A100)] * 4) == 1.0
    assert EVEN.links(kind, [Spot("a", PCIE)] * 4) == pytest.approx(kind.pcie)
    assert EVEN.links(KINDS["760m-short"], [Spot("a", A10)]) == 1.0


def test_a_tensor_group_is_whole_by_the_order_of_its_ranks() -> None:
    kind = KINDS["9b-tp4"]
    whole = [Spot(name, H800) for name in ("a", "a", "b", "b")]
    mixed = [Spot(name, H800) for name in ("a", "b", "a", "b")]
    assert not splits_tensor_group(kind, whole)
    assert splits_tensor_group(kind, mixed)
    assert EVEN.links(kind, mixed) == pytest.approx(EVEN.links(kind, whole) * SPLIT_TENSOR)


def test_a_seed_has_one_world() -> None:
    assert fleet(1, 64) == fleet(1, 64) != fleet(2, 64)
    assert work(1, 300, 260.0) == work(1, 300, 260.0) != work(2, 300, 260.0)
    factors = {Truth(seed).factor(name) for seed in range(40) for name in HARDWARE}
    assert 0.85 <= min(factors) < 0.87
    assert 1.13 < max(factors) <= 1.15


def test_the_fleet_has_each_product_and_nodes_of_the_trace() -> None:
    nodes = fleet(3, 64)
    assert {node.hardware.label for node in nodes} == set(HARDWARE)
    assert {(node.hardware.label == A10, node.gpus) for node in nodes} == {(True, 1), (False, 8)}


def test_every_program_can_be_declared_and_every_product_is_known() -> None:
    assert set(WEIGHTS) == set(KINDS) == set(DECLARED)
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert all(isinstance(load().resolve(label), Device) for label in HARDWARE)
    for job in {each.kind.name: each for each in work(1, 300, 260.0)}.values():
        ModelWorkload.model_validate(declaration(job))
