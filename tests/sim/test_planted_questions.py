"""The five questions on the simulated fleet: exporters' text in, and out comes the sentence that was planted."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import answers
from mfu.sim.truth import Fault, Truth, TruthMode
from mfu.web.seen import Seen
from tests.builders.simulated import Job, Simulated

pytestmark = pytest.mark.slow

LLAMA, QWEN, CHAT = "llama-3.1-8b", "qwen2.5-7b", "llama-3.1-70b"
MINUTES = 18
"""Ten until a new job has settled, and five samples of it."""
MIX = {"H100-SXM5": 0.41, "A100-SXM4-80GB": 0.28}
KNEE = {8: 0.40, 16: 0.396, 32: 0.30}
ON_TIME, LATE = 0.37, 0.15
PRICES = {"H100-SXM5": "2.50", "H200-SXM": "3.50", "A100-SXM4-80GB": "1.50"}


def training(name: str, model: str, product: str, mfu: float, nodes: int = 1, **of: Any) -> Job:
    sequence, fault = of.get("sequence", 4096), of.get("fault", Fault.NONE)
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": model},
        "accelerators": {"count": 8 * nodes, "products": [product]},
        "training": {
            "sequenceLength": sequence,
            "globalBatchSize": 32 * nodes,
            "microBatchSize": 2,
            "parallelism": {"data": 8 * nodes},
            "sharding": "FSDP",
        },
        "runtime": {"engine": "torchtitan"},
        "progress": {"metric": "train_tokens_total", "port": 9400},
    }
    truth = Truth(mfu, fault, model=model, sequence_length=sequence)
    return Job(name, product, truth, spec, nodes)


def serving(name: str, mode: TruthMode, *, gpus: int, concurrency: int, **planted: Any) -> Job:
    phase = {TruthMode.DECODE: "Decode", TruthMode.PREFILL: "Prefill"}[mode]
    tokens = (4000, 1) if mode is TruthMode.PREFILL else (1000, 600)
    spec = {
        "mode": "Inference",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "model": {"preset": CHAT},
        "accelerators": {"count": gpus, "products": ["H200-SXM"]},
        "inference": {
            "phase": phase,
            "inputTokens": {"mean": tokens[0]},
            "outputTokens": {"mean": tokens[1]},
            "concurrency": concurrency,
            "parallelism": {"tensor": gpus},
        },
        "runtime": {"engine": "vLLM", "version": "0.12"},
        "progress": {"metric": "vllm:generation_tokens_total", "port": 8000},
    }
    truth = Truth(
        mode=mode, model=CHAT, input_tokens=tokens[0], output_tokens=tokens[1], concurrency=concurrency, **planted
    )
    return Job(name, "H200-SXM", truth, spec, gpus=gpus)


JOBS = (
    *(training(f"mix-{product[:4].lower()}", LLAMA, product, mfu) for product, mfu in MIX.items()),
    *(training(f"knee-{gpus}", QWEN, "H100-SXM5", mfu, gpus // 8) for gpus, mfu in KNEE.items()),
    training("on-time", LLAMA, "H100-SXM5", ON_TIME, sequence=8192),
    training("late", LLAMA, "H100-SXM5", LATE, sequence=8192, fault=Fault.SLOW_LINK),
    serving("steady", TruthMode.DECODE, gpus=4, concurrency=64, mfu=0.125, mbu=0.47),
    serving("waves", TruthMode.DECODE, gpus=4, concurrency=64, mfu=0.07, mbu=0.35, fault=Fault.REQUEST_VARIABILITY),
    serving("prompts", TruthMode.PREFILL, gpus=4, concurrency=8, mfu=0.56),
)


@cache
def seen() -> Seen:
    return Simulated(JOBS, PRICES).run(MINUTES)


def asked(word: str, about: str) -> list[Answer]:
    return [each for each in answers(word, list(seen().listed())) if about in f"{each.about} {each.sentence}"]


def test_a_product_mix_is_not_the_same_on_both() -> None:
    (answer,) = [each for each in asked("products", "") if each.verdict == "No"]
    assert answer.about.startswith(LLAMA)
    assert "13.0 points apart, where A100-SXM4-80GB was to be " in answer.sentence
    figures = {each.label: float(each.value.split(" %")[0]) for each in answer.evidence}
    assert figures["H100-SXM5"] == pytest.approx(100 * MIX["H100-SXM5"], abs=1.0)
    assert figures["A100-SXM4-80GB"] == pytest.approx(100 * MIX["A100-SXM4-80GB"], abs=1.0)


def test_a_scale_out_has_its_knee_where_it_was_planted() -> None:
    (answer,) = [each for each in asked("scaling", "") if each.verdict == "Yes"]
    assert answer.sentence.startswith("Yes, from 16 to 32 GPUs: ")
    worth = float(answer.sentence.split("bring ")[1].split(" times")[0])
    assert worth == pytest.approx(2 * KNEE[32] / KNEE[16], rel=0.03)


@pytest.mark.parametrize(("name", "verdict"), [("waves", "Variability"), ("steady", "Neither")])
def test_a_mix_of_requests_that_varies_is_told_from_a_steady_one(name: str, verdict: str) -> None:
    (answer,) = asked("serving", f"team/{name}")
    assert answer.verdict == verdict


@pytest.mark.parametrize(
    ("name", "verdict", "reached"),
    [("steady", "Memory", 47.0), ("prompts", "Compute", 56.0), ("on-time", "Compute", 37.0)],
)
def test_memory_and_compute_bound_are_told_apart(name: str, verdict: str, reached: float) -> None:
    (answer,) = asked("bound", f"team/{name}")
    assert answer.verdict == verdict
    of = "memory bandwidth" if verdict == "Memory" else "compute peak"
    before = answer.sentence.split(f" % of the {of}")[0]
    assert float(before.split()[-1]) == pytest.approx(reached, abs=2.0)


def test_a_cost_above_expectation_is_said_with_its_size() -> None:
    (late,), (on_time,) = asked("cost", "team/late"), asked("cost", "team/on-time")
    assert late.verdict == "No"
    assert "Communication" in late.sentence
    paid = [float(each.sentence.split("cost $")[1].split()[0].rstrip(",.;")) for each in (late, on_time)]
    assert paid[0] / paid[1] == pytest.approx(ON_TIME / LATE, rel=0.03)
