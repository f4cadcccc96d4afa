"""What published recipes set beside a table's columns, and what is learned of one setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfu.hardware.types import Precision
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import LearnedStack, ServingConstants, load
from mfu.predict.inference.dataset import Question, question
from mfu.predict.inference.doubt import own_doubt
from mfu.predict.inference.fit.rows import log_errors, rows_of, stack_effects
from mfu.predict.inference.fit.settings import FARTHEST, FEW, with_settings
from mfu.predict.inference.kernels import ServingStep, step_time
from mfu.predict.inference.measured import asked_case, step_of
from mfu.predict.inference.recipes import ADMITTED, drafting
from mfu.predict.types import Problem

R1 = {
    "id": "X-1",
    "source": "DB dumps) id=2026_03_25_deepseek_r1_b200_sxm_trtllm_fp4_agg_1024x1024_c4_tp8_0_ep1_0_974",
    "model": "DeepSeek-R1",
    "params_b": "671",
    "active_params_b": "37",
    "layers": "61",
    "hidden": "7168",
    "heads": "128",
    "kv_heads": "128",
    "head_dim": "128",
    "ffn": "18432",
    "vocab": "129280",
    "gpu": "B200-SXM-180GB",
    "tp": "8",
    "pp": "1",
    "ep": "1",
    "weight_precision": "nvfp4",
    "kv_precision": "",
    "isl": "1024",
    "osl": "1024",
    "concurrency_or_batch": "4",
    "metric": "tpot_ms",
    "value": "5.0",
    "notes": "",
}
PLAIN = R1["source"].replace("2026_03_25_deepseek_r1_b200_sxm", "dsr1_b200")
OWN = "somebody's TensorRT-LLM"
OSS = {
    **R1,
    "source": "DB dumps) id=2026_04_06_gpt_oss_120b_h100_sxm_vllm_fp4_agg_1024x1024_c512_tp8_ep1_1134",
    "model": "gpt-oss-120b",
    "params_b": "116.8",
    "active_params_b": "5.1",
    "layers": "36",
    "hidden": "2880",
    "heads": "64",
    "kv_heads": "8",
    "head_dim": "64",
    "ffn": "2880",
    "vocab": "201088",
    "gpu": "H100-SXM-80GB",
    "weight_precision": "mxfp4",
}


def asked(row: dict[str, str], **changes: str) -> Question:
    found = question({**row, **changes})
    assert not isinstance(found, Problem), found
    return found


def case(of: Question) -> ServingCase:
    found = asked_case(of, load())
    assert not isinstance(found, Problem), found
    return found


def test_a_run_by_a_recipe_that_drafts_drafted_and_one_whose_name_says_otherwise_did_not() -> None:
    assert asked(R1).speculation == drafting(3)
    assert asked(R1, source=PLAIN).speculation is None
    assert asked(R1, source=OWN).speculation is None
    assert asked(R1, concurrency_or_batch="512").speculation is None, "no recipe has that setting"


def test_drafts_make_a_token_faster_but_less_than_those_that_are_accepted() -> None:
    drafted, plain = case(asked(R1)), case(asked(R1, source=PLAIN))
    steps = [float(step_of(asked(R1), each, load()).total / each.speed) for each in (drafted, plain)]
    gain = float(drafted.load.accepted) * steps[1] / steps[0]
    assert 1.0 < gain < float(drafted.load.accepted)


def test_lengths_of_a_recipe_s_run_are_drawn_below_the_nominal_one() -> None:
    assert asked(R1).setup.input_tokens == pytest.approx(0.9 * 1024)
    assert asked(R1, source=OWN).setup.input_tokens == 1024.0


def test_requests_that_the_server_turned_away_do_not_run() -> None:
    assert asked(OSS, concurrency_or_batch="512").setup.concurrency == ADMITTED
    assert asked(OSS, concurrency_or_batch="64").setup.concurrency == 64.0
    assert asked(OSS, concurrency_or_batch="512", source=OWN).setup.concurrency == 512.0


@pytest.mark.parametrize("gpu,kept", [("H100-SXM-80GB", Precision.BF16), ("B200-SXM-180GB", Precision.FP8)])
def test_a_checkpoint_that_says_nothing_of_its_cache_keeps_it_wide_before_blackwell(gpu: str, kept: Precision) -> None:
    assert asked(OSS, gpu=gpu).setup.precisions.kv_cache is kept


def test_groups_that_the_scheduler_aligns_wait_less_for_one_another_s_prompts() -> None:
    groups = {"tp": "1", "ep": "8", "concurrency_or_batch": "512"}
    aligned, chance = case(asked(R1, source=PLAIN, **groups)), case(asked(R1, source=OWN, **groups))
    assert aligned.load.aligned == 1.0 and chance.load.aligned == 0.0
    alike = replace(aligned, load=replace(aligned.load, aligned=0.0))
    of = asked(R1, source=PLAIN, **groups)
    assert step_of(of, aligned, load()).total < step_of(of, alike, load()).total


def test_the_busiest_rank_sets_the_pace_of_expert_parallel_decoding() -> None:
    """4 tokens touch 30 of 256 experts: 3.8 of a rank's 32 on average, 6.5 on the busiest of eight."""
    spread, whole = (case(asked(R1, source=OWN, ep=ranks)) for ranks in ("8", "1"))
    few, many = ([weights_read(each, tokens) for each in (spread, whole)] for tokens in (4.0, 20_000.0))
    touched = few[1] - weights_read(whole, 0.0)
    assert few[0] - weights_read(spread, 0.0) == pytest.approx(1.71 * touched, rel=0.01)
    assert many[0] == pytest.approx(many[1], rel=1e-6), "a full step touches every expert of every rank"


def weights_read(of: ServingCase, tokens: float) -> float:
    return float(step_time(of, ServingStep(tokens, 1.0), load()).weight_bytes)


def table(factor: float, count: int) -> list[dict[str, str]]:
    """Rows of one setting that are all slower than predicted by the same factor."""
    rows = [{**R1, "source": OWN, "concurrency_or_batch": str(each)} for each in range(4, 4 + count)]
    bare = neutral()
    predicted = rows_of(rows)
    error = log_errors(predicted, bare) + stack_effects(predicted, bare)
    values = np.exp(predicted.log_measured - error) * factor
    return [{**row, "value": str(value)} for row, value in zip(rows, values, strict=True)]


def neutral() -> ServingConstants:
    return replace(load(), settings={})


def learned(factor: float, count: int) -> LearnedStack:
    found = with_settings(neutral(), rows_of(table(factor, count)))
    (only,) = found.settings.values()
    return only


def test_half_of_what_four_rows_of_a_setting_say_is_believed() -> None:
    assert learned(1.2, int(FEW)).speed == pytest.approx(1.2**-0.5, rel=1e-3)
    assert learned(1.2, 36).speed == pytest.approx(1.2**-0.9, rel=1e-3)


def test_runs_that_are_several_times_off_tell_no_more_than_those_a_quarter_off() -> None:
    assert learned(3.0, 4).speed == pytest.approx(np.exp(-0.5 * FARTHEST), rel=1e-6)


def test_rows_that_repeat_a_value_count_once() -> None:
    rows = table(1.2, 1) * 5
    (only,) = with_settings(neutral(), rows_of(rows)).settings.values()
    assert only.speed == pytest.approx(1.2**-0.2, rel=1e-3)


def test_a_measured_setting_is_less_in_doubt_than_one_that_nobody_measured() -> None:
    of = asked(R1, source=OWN)
    name, step = rows_of([{**R1, "source": OWN}]).setting, step_of(of, case(of), load())
    known = with_settings(neutral(), rows_of(table(1.0, 12)))
    assert own_doubt(known, case(of), step, name)[0] < own_doubt(neutral(), case(of), step, name)[0]
