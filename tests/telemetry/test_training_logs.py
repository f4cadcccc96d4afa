"""Lines, numbers and bars of training logs, each alone. Whole logs are in tests/observe/test_observe_logs.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.telemetry.pods.logs.bars import bar
from mfu.telemetry.pods.logs.facts import Facts
from mfu.telemetry.pods.logs.formats import FORMATS
from mfu.telemetry.pods.logs.lines import lines, time_of
from mfu.telemetry.pods.logs.numbers import duration, expression, value
from mfu.telemetry.pods.logs.reader import Reader


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("x: 7,012  y", 7012.0),
        ("x: 1_000_000", 1e6),
        ("x: 1.63e+6]", 1.63e6),
        ("x: 11.5K |", 11_500.0),
        ("x: .5", 0.5),
        ("x: 9e+3,", 9000.0),
        ("x: nan", None),
        ("x: 1e999", None),
        ("x: 12, 13", 12.0),
        ("x: 3 x", 3.0),
    ],
)
def test_numbers(text: str, number: float | None) -> None:
    match = expression("x: #").search(text)
    assert (None if match is None else value(match)) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("t 561.94ms", 0.56194), ("t 500.20 ms", 0.5002), ("t 2 s", 2.0), ("t 3", 3.0), ("t 2 min", 120.0)],
)
def test_durations_have_their_unit(text: str, seconds: float) -> None:
    match = expression("t @").search(text)
    assert match is not None
    assert value(match) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1:42:42", 6162.0),
        ("10:48", 648.0),
        ("1m 2s", 62.0),
        ("1 day, 2:03:04", 93784.0),
        ("0:00:30", 30.0),
        ("?", None),
    ],
)
def test_clocks(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


def test_lines_lose_what_surrounds_them() -> None:
    raw = ["\x1b[31mred\x1b[0m\r 50%\r\n", '{"log":"in docker\\n","time":"2026-11-22T06:00:01.5Z"}\n']
    assert [each.text for each in lines(raw)] == ["red", " 50%", "in docker"]
    first, second = lines(["2026-11-22T06:00:00Z a\n", "2026-11-22T06:00:02.25Z stderr F b\n"])
    assert (first.text, second.text) == ("a", "b")
    assert (second.at or 0) - (first.at or 0) == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        ("[2022-03-11 02:06:58,985] x", "[2022-03-11 02:07:14,130] x", 15.145),
        ("I0811 21:54:55.531340 1 x", "I0811 21:55:06.119312 1 x", 10.587972),
        ("10/17/2025 16:31:56 x", "10/17/2025 16:32:07 x", 11.0),
    ],
)
def test_times_of_lines(before: str, after: str, seconds: float) -> None:
    assert (time_of(after) or 0) - (time_of(before) or 0) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize("text", ["2026-99-99 00:00:00", "no time", "13/45/2025 10:00:00"])
def test_what_is_no_time(text: str) -> None:
    assert time_of(text) is None


@pytest.mark.parametrize(
    ("text", "done", "elapsed", "rate"),
    [
        ("  1%|█▍  | 2/203 [00:12<16:46,  5.01s/it]", 2, 12.0, 5.01),
        ("Epoch 0:  34% 1020/3000 [01:04<02:05, 15.73it/s, loss=1.2, v_num=1024]", 1020, 64.0, 1 / 15.73),
        ("Epoch 0: : 100%|███| 100/100 [10:48<00:00, global_step=99.00]", 100, 648.0, None),
        ("Epoch 0/9  ━━━━━╸━━━━ 100/1000 0:00:50 • 0:07:30 2.00it/s v_num: 0", 100, 50.0, 0.5),
        ("123it [00:30,  4.10it/s]", 123, 30.0, 1 / 4.1),
        ("  0%|     | 500/10000 [00:00<?, ?it/s]", 500, 0.0, None),
    ],
)
def test_bars(text: str, done: int, elapsed: float, rate: float | None) -> None:
    found = bar(text)
    assert found is not None
    assert (found.done, found.elapsed_seconds) == (done, elapsed)
    assert found.rate_seconds == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    "text",
    [
        "Validation DataLoader 1: 100% 1000/1000 [00:18<00:00, 55.55it/s]",
        "Loading checkpoint shards: 100%|█| 4/4 [00:05<00:00,  1.4s/it]",
        "Map (num_proc=8): 10%|█ | 100/1000 [00:01<00:09, 99.0 examples/s]",
        "Sanity Checking: 1/2 [00:00<00:00, 4it/s]",
        "no bar",
    ],
)
def test_other_bars_are_left_out(text: str) -> None:
    assert bar(text) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "loss went down",
        "iteration 5",
        "step: x loss: y",
        "(min, max) time across ranks (ms):",
        "{'eval_loss': 2.0}",
        "validate step: 10  loss: 8.1  memory: 1GiB(1%)  tps: 90,000",
        " validation loss at iteration 1000 | lm loss value: 2.1 |",
        "step 250: train loss 1.5440, val loss 1.7220",
        "iter 4800: val loss 1.7258, val time: 3778.02 ms",
    ],
)
def test_other_lines_are_no_steps(line: str) -> None:
    assert all(each.read(line) is None for each in FORMATS)


def test_facts_of_headers() -> None:
    said = (
        "  world_size ...................................... 16",
        "  seq_length ...................................... 4096",
        "  global_batch_size ............................... 512",
        "[INFO] [config.py:964:print]   train_micro_batch_size_per_gpu  4",
        "  Total optimization steps = 2,073",
    )
    facts = Facts()
    for each in said:
        facts = facts.told(each)
    assert (facts.gpus, facts.sequence_length, facts.global_batch, facts.total_steps) == (16, 4096, 512, 2073)


ARGONNE = """\
[2025-11-10 09:43:39,573] [INFO] [logging.py:107:log_dist] [Rank 0] step=136005, skipped=0, lr=[2.0e-05, 2.0e-05]
[2025-11-10 09:43:39,573] [INFO] [timer.py:264:stop] epoch=0/micro_step=5/global_step=5, CurrSamplesPerSec=2553.44
[2025-11-10 09:43:39,582][I][megatron/training_log:402] iteration=  136005/  136100 | consumed_samples=   835614720 | \
elapsed_time_per_iteration_ms=3420.2 | global_batch_size= 6144 | actual_seqlen= 8192 | samples_per_second=1796.410 | \
tokens_per_gpu_per_second_tgs=4790.426 | TFLOPs=53.59 |
[2025-11-10 09:43:49,839] [INFO] [logging.py:107:log_dist] [Rank 0] step=136006, skipped=0, lr=[2.0e-05, 2.0e-05]
[2025-11-10 09:43:49,840] [INFO] [timer.py:264:stop] epoch=0/micro_step=6/global_step=6, CurrSamplesPerSec=2576.51
[2025-11-10 09:43:49,849][I][megatron/training_log:402] iteration=  136006/  136100 | consumed_samples=   835620864 | \
elapsed_time_per_iteration_ms=3402.7 | global_batch_size= 6144 | actual_seqlen= 8192 | samples_per_second=1805.618 | \
tokens_per_gpu_per_second_tgs=4814.980 | TFLOPs=53.86 |
"""
"""Of the form of argonne-lcf/Megatron-DeepSpeed, ALCF/notes/cooldown.md: a run that goes on from a checkpoint."""


def test_megatron_as_key_and_value() -> None:
    reader = Reader()
    reader.take(ARGONNE.splitlines())
    first, second = reader.log().readings
    assert (first.step, first.seconds, first.sequences, first.sequence_length) == (136005, 3.4202, 6144, 8192)
    assert (first.tokens_per_s_per_gpu, first.samples_per_s, first.samples) == (4790.426, 1796.41, 835_614_720)
    assert first.flops_per_s_per_gpu == pytest.approx(53.59e12)
    assert second.seconds == 3.4027


def test_a_timer_that_counts_from_this_start_is_not_mixed_with_the_optimizer_s_count() -> None:
    """Five and 136,005 are one step: the difference of the two is no number of steps between two lines."""
    reader = Reader()
    reader.take(line for line in ARGONNE.splitlines() if "[INFO]" in line)
    assert [each.step for each in reader.log().readings] == [5, 6]
    resumed = Reader()
    resumed.take(line.replace("step=13600", "step=") for line in ARGONNE.splitlines() if "[INFO]" in line)
    assert [each.step for each in resumed.log().readings] == [5, 5, 6, 6], "one count, told twice"


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    reader = Reader()
    reader.take([text])
    reader.log()
