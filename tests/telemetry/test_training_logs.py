"""Log lines of training frameworks, each with its unit traps. Formats are theirs, the numbers are invented."""

from __future__ import annotations

import pytest

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.pods.progress import Pod
from mfu.telemetry.pods.training_logs import Framework, LogReader, parse
from mfu.telemetry.pods.trainjob import read

STEPS, SAMPLES, TOKENS = Counter.STEPS, Counter.TRAINED_SAMPLES, Counter.TRAINED_TOKENS
POD = Pod("team-a", "llama-0")

MEGATRON = (
    " [2026-11-22 06:00:12] iteration       40/    1000 | consumed samples:        10240 |"
    " elapsed time per iteration (ms): 1147.6 | throughput per GPU (TFLOP/s/GPU): 412.3 |"
    " learning rate: 1.0E-04 | global batch size:   256 |"
)
TITAN = (
    "[rank0]:[titan] 2026-11-22 06:00:10,123 - root - INFO - \x1b[31mstep: 30  \x1b[32mloss:  8.1  \x1b[33m"
    "memory: 30.50GiB(38.12%)  \x1b[34mtps: 7,012  \x1b[36mtflops: 160.10  \x1b[35mmfu: 16.19%\x1b[39m"
)
NEMO = (
    "Training epoch 0, iteration 49/499 | lr: 7.5e-06 | global_batch_size: 128 | global_step: 49 "
    "| reduced_train_loss: 11.96 | train_step_timing in s: 12.39 "
    "| tokens_per_sec_per_gpu: 1.07e+04 | consumed_samples: 6400"
)
LIGHTNING = (
    "{'train|time': 2.5, 'train|batches': 12, 'train|samples': 24, 'train|lengths': 49152,"
    " 'train|device/batches_per_sec': 2.0, 'train|device/samples_per_sec': 4.0}"
)
HF = "{'loss': 2.1, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.1, 'num_input_tokens_seen': 1048576}"
HF_STATE = '{"epoch": 0.1, "loss": 2.1, "step": 50, "num_input_tokens_seen": 1048576}'


@pytest.mark.parametrize(
    ("framework", "line", "counters", "step_seconds"),
    [
        (Framework.MEGATRON, MEGATRON, {STEPS: 40, SAMPLES: 10240}, 1.1476),
        (Framework.MEGATRON, MEGATRON.replace("1000 |", "infinity |"), {STEPS: 40, SAMPLES: 10240}, 1.1476),
        (Framework.TORCHTITAN, TITAN, {STEPS: 30}, None),
        (Framework.NEMO, NEMO, {STEPS: 50, SAMPLES: 6400}, 12.39),
        (Framework.LIGHTNING, LIGHTNING, {SAMPLES: 24, TOKENS: 49152}, None),
        (Framework.HF_TRAINER, HF, {TOKENS: 1048576}, None),
        (Framework.HF_TRAINER, HF_STATE, {STEPS: 50, TOKENS: 1048576}, None),
    ],
)
def test_each_framework(
    framework: Framework, line: str, counters: dict[Counter, float], step_seconds: float | None
) -> None:
    found = parse(framework, line)
    assert found is not None
    assert found.counters == counters
    assert found.gauges.get(Gauge.STEP_SECONDS) == pytest.approx(step_seconds) if step_seconds else not found.gauges
    assert found.per_rank == (framework is Framework.LIGHTNING)


@pytest.mark.parametrize("framework", list(Framework))
@pytest.mark.parametrize(
    "line",
    [
        "", "loss went down", "iteration 5", "step: x loss: y", "(min, max) time across ranks (ms):",
        "{'eval_loss': 2.0}", "\x00" * 99,
    ],
)  # fmt: skip
def test_other_lines_tell_nothing(framework: Framework, line: str) -> None:
    assert parse(framework, line) is None


def test_a_number_with_a_thousands_separator_is_not_cut_short() -> None:
    assert parse(Framework.TORCHTITAN, "step: 1,000  loss: 8.0") is None
    assert parse(Framework.MEGATRON, MEGATRON.replace("10240", "10,240")).counters == {STEPS: 40}  # type: ignore[union-attr]


def test_the_newest_line_counts_and_rank_counts_are_scaled() -> None:
    reader = LogReader(Framework.LIGHTNING, POD, ranks=8)
    found = reader.read([LIGHTNING, "noise", LIGHTNING.replace("49152", "65536")], 7.0)
    assert found is not None
    assert (found.counters, found.scope_total) == ({SAMPLES: 192, TOKENS: 524288}, True)
    alone = LogReader(Framework.LIGHTNING, POD).read([LIGHTNING], 7.0)
    assert alone is not None
    assert (alone.counters, alone.scope_total) == ({SAMPLES: 24, TOKENS: 49152}, False)
    assert LogReader(Framework.NEMO, POD).read(["nothing"], 7.0) is None


STATUS = {
    "progressPercentage": 10,
    "lastUpdatedTime": "2026-11-22T06:00:00Z",
    "metrics": [
        {"name": "loss", "value": "2.1"},
        {"name": "global_step", "value": "50"},
        {"name": "num_input_tokens_seen", "value": "1048576"},
        {"name": "train_samples_total", "value": "oops"},
        {"name": "train_last_step_seconds", "value": "1.5"},
        "junk",
    ],
}


def test_trainer_status() -> None:
    found = read(STATUS, POD)
    assert found.counters == {STEPS: 50, TOKENS: 1048576}
    assert found.gauges == {Gauge.STEP_SECONDS: 1.5}
    assert (found.observed_at, found.scope_total) == (1795327200.0, True)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {**STATUS, "lastUpdatedTime": "yesterday"},
        {**STATUS, "lastUpdatedTime": "2026-11-22T06:00:00"},
        {**STATUS, "lastUpdatedTime": 5},
        {**STATUS, "metrics": None},
        {
            **STATUS,
            "metrics": [{"name": "global_step", "value": bad} for bad in ("nan", "-1", "1e999", "1_0", True, None)],
        },
    ],
)
def test_a_status_without_time_or_work_is_refused(status: dict[str, object]) -> None:
    with pytest.raises(TelemetryError):
        read(status, POD)
