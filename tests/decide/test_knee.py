"""What a training job would reach on fewer and on more GPUs, and which is the last that pays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Outcome
from mfu.decide.workload import knee as module
from mfu.decide.workload.knee import Size, advised, knee, sizes, verdict
from mfu.hardware.price import PriceBook
from mfu.predict import predict
from mfu.predict.types import Placement, Prediction, Problem, Training
from mfu.sentence import Sentence
from tests.builders.cases import SERVING, TRAINING, case

PRICED = EffectivePolicy(book=PriceBook(prices={"H100-SXM5": 2.50}))


def decided(document: dict[str, Any] = TRAINING, **fields: Any) -> Decision:
    found = knee(case(document, **{"policy": PRICED, **fields}))
    assert found is not None
    return found


def small(batch: int) -> dict[str, Any]:
    return {**TRAINING, "training": {**TRAINING["training"], "globalBatchSize": batch}}


def test_each_count_is_what_the_model_predicts_for_it() -> None:
    subject = case()
    assert isinstance(subject.setup, Training)
    found = {each.gpus: each for each in sizes(subject.setup, subject.placement)}
    assert sorted(found) == [4, 16, 32]
    wide = replace(subject.setup, parallelism=replace(subject.setup.parallelism, data=8))
    answer = predict(wide, replace(subject.placement, gpus=16))
    assert isinstance(answer, Prediction)
    assert found[16].mfu == answer.mfu
    assert found[16].tokens_per_s == pytest.approx(16 * answer.tokens_per_s_per_gpu)


def test_the_message_has_mfu_and_price_at_each_count() -> None:
    said = decided()
    assert (said.type, said.outcome, said.reason, said.hint) == (
        DecisionType.SCALING,
        Outcome.KEEP,
        "BeforeTheKnee",
        None,
    )
    subject = case()
    per_million = 8 * 2.50 / (8 * subject.expected.tokens_per_s_per_gpu * 3600.0) * 1e6
    assert f"8 GPUs (as it is) {subject.expected.mfu:.1%} MFU, " in said.message
    assert f" tokens/s, ${per_million:.3g} per M tokens" in said.message
    for gpus in (4, 16, 32):
        assert f"{gpus} GPUs " in said.message
    assert said.message.startswith(
        "each of the 8 GPUs pays, and so would more, up to the 32 that were looked at: they train 3.8"
    )
    assert "per M tokens" not in decided(policy=EffectivePolicy()).message


def test_counts_into_which_the_batch_does_not_divide_are_left_out() -> None:
    """Eight sequences on two a rank … four: sixteen ranks would have half a sequence each."""
    assert "32 GPUs" not in decided(small(8)).message


def test_inference_follows_its_load() -> None:
    assert knee(case(SERVING)) is None


def test_a_job_that_can_not_be_stretched_is_told_nothing() -> None:
    alone = {
        **TRAINING,
        "accelerators": {"count": 2, "products": ["H100-SXM5"]},
        "training": {**TRAINING["training"], "globalBatchSize": 1, "parallelism": {"tensor": 2}},
    }
    assert knee(case(alone)) is None


def row(*figures: tuple[int, float]) -> list[Size]:
    return [Size(gpus, mfu, gpus * mfu) for gpus, mfu in figures]


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(8, 0.400), (16, 0.395), (32, 0.360)], 16),
        ([(8, 0.400), (16, 0.379)], 8),
        ([(8, 0.400), (16, 0.381), (32, 0.363)], 32),
        ([(8, 0.300), (16, 0.400)], 16),
    ],
)
def test_the_knee_is_before_the_first_doubling_that_loses_a_twentieth(
    figures: list[tuple[int, float]], best: int
) -> None:
    assert advised(row(*figures)).gpus == best


@pytest.mark.parametrize(
    ("figures", "here", "words"),
    [
        ([(8, 0.400), (16, 0.400), (32, 0.320)], 32, "16 GPUs are the most that pay: 32 train only 1.6 times as fast"),
        (
            [(8, 0.400), (16, 0.400), (32, 0.320)],
            8,
            "each of the 8 GPUs pays, and 16 GPUs are the most that pay: 32 train only 1.6 times as fast",
        ),
        ([(8, 0.400), (16, 0.300)], 8, "more than the 8 GPUs would not pay: 16 train only 1.5 times as fast"),
        (
            [(8, 0.400), (16, 0.400)],
            8,
            "each of the 8 GPUs pays, and so would more, up to the 16 that were looked at: they train 2 times as fast",
        ),
        (
            [(8, 0.400), (16, 0.400)],
            16,
            "each of the 16 GPUs does as much as on fewer; what more would do can not be told",
        ),
    ],
)
def test_the_verdict_says_how_much_faster(figures: list[tuple[int, float]], here: int, words: str) -> None:
    found = row(*figures)
    assert verdict(found, advised(found), here) == words


def test_a_job_past_its_knee_is_told_how_many_pay() -> None:
    """On one GPU a node the gradients of each step cross a slow network: half of them do nearly as much each."""
    found = [decided(small(batch), gpus_per_node=1) for batch in (8, 16, 64)]
    past = [each for each in found if each.outcome is Outcome.SCALE]
    for each in past:
        assert each.reason == "PastTheKnee"
        assert "GPUs are the most that pay" in each.message
    assert past, [each.message for each in found]


REASONS = {"PastTheKnee": " are the most that pay", "BeforeTheKnee": " pays, and ", "RightSized": " GPUs "}


@pytest.mark.parametrize("on_a_node", [1, 8])
@pytest.mark.parametrize("batch", [8, 16, 64])
def test_reason_and_words_say_the_same(batch: int, on_a_node: int) -> None:
    """Right is what more would not pay for; a job with too few GPUs keeps them and hears that more would pay."""
    said = decided(small(batch), gpus_per_node=on_a_node)
    assert REASONS[said.reason] in said.message
    assert (said.outcome is Outcome.SCALE) == (said.reason == "PastTheKnee")
    assert ("pays, and" in said.message) == (said.reason == "BeforeTheKnee")


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What was answered by hand-made predictions is nobody's answer later."""
    sizes.cache_clear()
    yield
    sizes.cache_clear()


def test_one_size_in_words() -> None:
    size = Size(16, 0.38149, 187_345.0, 0.51678)
    assert size.words("€", present=True) == "16 GPUs (as it is) 38.1% MFU, 187,000 tokens/s, €0.517 per M tokens"
    assert (
        replace(size, cost_per_million_tokens=None).words("$", present=False) == "16 GPUs 38.1% MFU, 187,000 tokens/s"
    )
    assert size.words("€", present=True).spans[-1].value == 0.51678


@pytest.mark.parametrize(
    ("data", "batch", "micro", "counts"),
    [
        (4, 64, 1, [4, 16, 32]),
        (4, 64, 4, [4, 16, 32]),
        (4, 64, 8, [4, 16]),
        (4, 48, 8, [4]),
        (1, 64, 1, [16, 32]),
        (3, 48, 1, [16, 32]),
        (4, 20, 5, [4]),
        (1, 1, 1, []),
    ],
    ids=[
        "all",
        "just divides",
        "not by 128",
        "not by 64",
        "half a rank",
        "one rank and a half",
        "two ranks",
        "nothing",
    ],
)
def test_ranks_are_whole_and_share_the_batch(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, data: int, batch: int, micro: int, counts: list[int]
) -> None:
    """Of eight GPUs: half as many, twice, four times."""
    subject = case()
    assert isinstance(subject.setup, Training)
    setup = replace(
        subject.setup,
        parallelism=replace(subject.setup.parallelism, data=data),
        global_batch_size=batch,
        micro_batch_size=micro,
    )
    asked: list[tuple[int, int, int]] = []

    def predict(each: Training, where: Placement) -> Prediction:
        asked.append((each.parallelism.data, where.gpus, where.gpus_per_node))
        return replace(subject.expected, mfu=0.4, tokens_per_s_per_gpu=10.0)

    monkeypatch.setattr(module, "predict", predict)
    assert list(sizes(setup, subject.placement)) == [Size(each, 0.4, 10.0 * each) for each in counts]
    assert asked == [(data * each // 8, each, min(each, 8)) for each in counts]


@pytest.mark.parametrize(
    ("a_node", "halved", "doubled"), [(8, 4, 8), (1, 4, 8), (16, 4, 16)], ids=["eights", "ones", "sixteens"]
)
def test_more_gpus_stand_in_nodes_as_large_as_they_are_or_usually_are(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, a_node: int, halved: int, doubled: int
) -> None:
    subject, asked = case(), dict[int, int]()
    assert isinstance(subject.setup, Training)

    def predict(_: Training, where: Placement) -> Prediction:
        asked[where.gpus] = where.gpus_per_node
        return subject.expected

    monkeypatch.setattr(module, "predict", predict)
    sizes(subject.setup, replace(subject.placement, gpus_per_node=a_node))
    assert (asked[4], asked[16]) == (halved, doubled)


@pytest.mark.parametrize("how", ["a problem", "too large"])
def test_what_can_not_be_predicted_or_does_not_fit_is_left_out(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    subject = case()
    assert isinstance(subject.setup, Training)
    memory = replace(subject.expected.memory, total_bytes=2 * subject.expected.memory.capacity_bytes)
    answers = {
        "a problem": Problem("NoAnswer", "", "is not told"),  # type: ignore[arg-type]
        "too large": replace(subject.expected, memory=memory),
    }
    monkeypatch.setattr(module, "predict", lambda *_: answers[how])
    assert sizes(subject.setup, subject.placement) == ()
    assert knee(subject) is None


def test_a_loss_of_just_a_twentieth_pays_still() -> None:
    assert advised([Size(8, 1.0, 8.0), Size(16, 0.95, 15.2)]).gpus == 16
    assert advised([Size(8, 1.0, 8.0), Size(16, 0.9499, 15.2)]).gpus == 8


def test_the_whole_sentence_and_what_a_million_tokens_cost(forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 GPUs at 2.50 make 800 tokens/s: 20 $ for 2.88 million an hour; of 16 GPUs each makes 95 % of that."""
    subject = case(policy=PRICED)
    expected = replace(subject.expected, mfu=0.4, tokens_per_s_per_gpu=100.0)

    def predict(_: Training, where: Placement) -> Prediction:
        share = {4: 1.0, 16: 0.95, 32: 0.8}[where.gpus]
        return replace(expected, mfu=0.4 * share, tokens_per_s_per_gpu=100.0 * share)

    monkeypatch.setattr(module, "predict", predict)
    found = knee(replace(subject, expected=expected))
    assert found is not None
    assert found.message == (
        "each of the 8 GPUs pays, and 16 GPUs are the most that pay: 32 train only 1.68 times as fast. Expected with "
        "data-parallel ranks added or taken away and the same global batch: 4 GPUs 40.0% MFU, 400 tokens/s, $6.94 per "
        "M tokens; 8 GPUs (as it is) 40.0% MFU, 800 tokens/s, $6.94 per M tokens; 16 GPUs 38.0% MFU, 1,520 tokens/s, "
        "$7.31 per M tokens; 32 GPUs 32.0% MFU, 2,560 tokens/s, $8.68 per M tokens"
    )
    assert isinstance(found.message, Sentence)
    costs = [each.value for each in found.message.spans[3::3]]
    assert costs == pytest.approx([20.0 / 2.88, 20.0 / 2.88, 20.0 / 2.88 / 0.95, 20.0 / 2.88 / 0.8])
    assert found.message.spans[0].value == pytest.approx(2560 / 1520)
