"""What published stacks taught: pipelines that keep sharded weights whole, dispatch of experts, two-way pipelines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mfu.predict import predict
from mfu.predict.fit.tables import measured, read
from mfu.predict.names import MemoryTerm, StepTerm
from mfu.predict.training.case import case_of
from mfu.predict.training.collectives import RankGroup, dispatch_seconds
from mfu.predict.training.constants import shipped
from mfu.predict.training.step import host_seconds, step
from mfu.predict.types import Compilation, Method, Placement, Prediction, Recompute, Sharding, Training

Job = Callable[..., Training]
On = Callable[..., Placement]


def found(setup: Training, placement: Placement) -> Prediction:
    result = predict(setup, placement)
    assert isinstance(result, Prediction), result
    return result


def lost(setup: Training, placement: Placement, term: StepTerm) -> float:
    return sum(each.seconds for each in found(setup, placement).waterfall if each.name == term.value)


def test_stages_gather_sharded_weights_once_a_step(job: Job, on: On) -> None:
    """Four times as many micro-batches pay for the exchange once, and hold weights and gradients whole meanwhile."""
    cut = {"engine": "torchtitan", "sharding": Sharding.ZERO3, "pipeline": 4, "data": 8, "recompute": Recompute.FULL}
    few, many = job(global_batch_size=128, **cut), job(global_batch_size=512, **cut)
    place = on(gpus=32)
    assert lost(many, place, StepTerm.DATA_COMMUNICATION) <= lost(few, place, StepTerm.DATA_COMMUNICATION) * 1.01
    flat = job(engine="torchtitan", sharding=Sharding.ZERO3, data=32, recompute=Recompute.FULL)
    a_stage = 8.03e9 / 4
    more = found(many, place).memory.terms[MemoryTerm.WEIGHTS] - found(flat, place).memory.terms[MemoryTerm.WEIGHTS]
    assert more == pytest.approx(a_stage * 2 + 8.03e9 * 4 * (1 / 32 - 1 / 32), rel=0.25)


def test_a_token_goes_once_to_each_rank_that_holds_an_expert_of_it(job: Job, on: On) -> None:
    """8 copies over 8 GPUs of a node reach 7 · (1 - (7/8)^8) = 4.6 others, not 7."""
    c = shipped()
    case = case_of(job(), on(), c)
    assert case is not None
    members = RankGroup(np.asarray(8.0), np.asarray(8.0))
    link, latency = float(case.machine.link), float(case.machine.link_latency)

    def seconds(once: float, among: RankGroup = members) -> float:
        routed = np.asarray(8.0), np.asarray(once)
        return float(dispatch_seconds(case.machine, c, among, np.asarray(64e6), routed))

    assert seconds(1.0) == pytest.approx(64e6 * 7 * (1 - (7 / 8) ** 8) / link + latency)
    assert seconds(0.0) == pytest.approx(64e6 * 7 / link + latency)
    four_nodes = RankGroup(np.asarray(32.0), np.asarray(8.0))
    hops = latency + c["network_latency"] * 3.0
    assert seconds(0.0, four_nodes) - hops == pytest.approx(64e6 * 6 / float(case.machine.network))


def test_an_exchange_costs_the_host_alike_under_every_engine(job: Job, on: On) -> None:
    """The engine's operations elsewhere in the layer say nothing of the counts that the host waits for."""

    def exchange(engine: str) -> float:
        both = []
        for expert in (8, 1):
            c = shipped().replace({"launch_router": 0.0})
            case = case_of(job("mixtral-8x7b", engine=engine, expert=expert, data=8), on(), c)
            assert case is not None
            both.append(float(host_seconds(case, c)))
        return both[0] - both[1]

    assert exchange("NeMo-Automodel") == pytest.approx(exchange("Megatron-LM"))


def test_a_pipeline_fed_from_both_ends_idles_less_and_hides_its_experts(job: Job, on: On) -> None:
    """16 stages: 7 · 2/3 micro-batches of idling instead of 15 (arXiv 2412.19437, table 2)."""
    c = shipped()
    cut = {"global_batch_size": 15360, "sequence_length": 4096, "pipeline": 16, "data": 128, "expert": 64}
    case = case_of(job("deepseek-v3", engine="HAI-LLM", **cut), on("H800-SXM5", gpus=2048), c)
    assert case is not None
    one_way = replace(case, stack=replace(case.stack, two_way_pipeline=np.asarray(0.0)))
    two, one = step(case, c), step(one_way, c)
    assert float(two.losses[StepTerm.EXPERT_COMMUNICATION]) < 0.5 * float(one.losses[StepTerm.EXPERT_COMMUNICATION])
    assert float(two.losses[StepTerm.PIPELINE_BUBBLE]) < 14 / 45 * float(one.losses[StepTerm.PIPELINE_BUBBLE])


def test_compiling_halves_what_adapters_move(job: Job, on: On) -> None:
    plain = job("llama-3-8b", data=1, global_batch_size=1, engine="PyTorch", method=Method.LORA)
    c = shipped()
    eager = case_of(replace(plain, compilation=Compilation.NONE), on(gpus=1), c)
    compiled = case_of(replace(plain, compilation=Compilation.REGIONAL), on(gpus=1), c)
    assert eager is not None and compiled is not None
    assert float(compiled.stack.adapter_bytes) == pytest.approx(0.5 * float(eager.stack.adapter_bytes))


def test_published_rows_say_whether_they_were_compiled() -> None:
    rows = measured("published", read("published.csv"))
    assert {each.setup.compilation for each in rows} >= {None, Compilation.NONE, Compilation.REGIONAL}


def test_published_rows_lie_in_their_bands() -> None:
    """The printed 80 % band holds at least three quarters of them."""
    inside = []
    for each in measured("published", read("published.csv")):
        guess = found(each.setup, each.placement)
        measured_mfu = guess.mfu * guess.step_seconds / each.seconds
        inside.append(guess.low <= measured_mfu <= guess.high)
    assert len(inside) >= 29
    assert sum(inside) >= 0.75 * len(inside), inside
