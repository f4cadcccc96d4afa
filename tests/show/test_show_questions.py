"""The five questions on planted truth: the verdict is the planted one, and the sentence carries the planted numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from mfu.api.causes import Cause
from mfu.api.workload_status import Allocation, Basis, Cost, Expected, Meter, Observed, Summary, WorkloadStatus
from mfu.engine.say.figures import loss
from mfu.engine.say.history import history_rows
from mfu.observe.assess import assess
from mfu.observe.drift import Identity
from mfu.observe.history import Entry, record
from mfu.observe.setting import apart_from_size, data_ranks
from mfu.predict import predict
from mfu.predict.types import Prediction
from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import QUESTIONS, answers
from mfu.show.questions.bound import limits
from mfu.show.questions.cost import per_million
from mfu.show.workloads import Listed
from tests.builders.fault_catalog import every_run
from tests.builders.faults import Run
from tests.builders.seen import example

SETTING = "mbs 1 gbs 128 seq 8192 d8 ZeRO1 None BF16"


def ran(
    stretches: Iterable[tuple[str, int, float]],
    *,
    name: str = "job",
    seed: int = 0,
    spread: float = 0.01,
    minutes: int = 30,
    expected: Sequence[Expected] = (),
) -> Listed:
    """A workload that ran on each (product, GPUs) for half an hour at a planted reference MFU, as minutes scatter."""
    random, at = Random(seed), 0.0
    history: tuple[Entry, ...] = ()
    for product, gpus, mfu in stretches:
        identity = Identity("llama-3.1-8b", "v1", SETTING.replace("d8", f"d{gpus}"), product, gpus)
        if product != "H100-SXM5":
            identity = Identity("llama-3.1-8b", "v1", SETTING, product, gpus)
        for _ in range(minutes):
            at += 60.0
            history = _recorded(history, random.gauss(mfu, spread * mfu), identity, at)
    return Listed("team", name, "Training", WorkloadStatus(history=history_rows(history), expected=tuple(expected)))


def _recorded(history: tuple[Entry, ...], mfu: float, identity: Identity, at: float) -> tuple[Entry, ...]:
    return record(history, mfu, identity=identity, at=at)


def only(found: Sequence[Answer]) -> Answer:
    assert len(found) == 1, found
    return found[0]


def promised(product: str, mfu: str) -> Expected:
    return Expected(product=product, basis=Basis.DECLARED, reference_mfu=mfu)


class TestProducts:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_planted_difference_is_told_with_its_size(self, seed: int) -> None:
        here = ran([("H100-SXM5", 8, 0.41)], name="a", seed=seed, expected=[promised("H100-SXM5", "0.42")])
        there = ran(
            [("A100-SXM4-80GB", 8, 0.28)], name="b", seed=seed + 9, expected=[promised("A100-SXM4-80GB", "0.41")]
        )
        answer = only(answers("products", [here, there]))
        assert answer.verdict == "No"
        assert "41." in answer.sentence or "40." in answer.sentence
        assert "on H100-SXM5" in answer.sentence
        apart = float(answer.sentence.split(" points apart")[0].split(", ")[-1])
        assert apart == pytest.approx(13.0, abs=0.5)
        assert "where 1.0 points were to be expected" in answer.sentence
        assert [each.label for each in answer.evidence] == ["H100-SXM5", "A100-SXM4-80GB"]

    @pytest.mark.parametrize("seed", range(5))
    def test_what_scatters_as_steady_runs_do_is_the_same(self, seed: int) -> None:
        found = [ran([("H100-SXM5", 8, 0.41)], name="a", seed=seed), ran([("H200-SXM", 8, 0.405)], name="b", seed=seed)]
        answer = only(answers("products", found))
        assert answer.verdict == "Yes"
        assert "apart" not in answer.sentence

    def test_one_workload_that_moved_is_enough(self) -> None:
        moved = ran([("A100-SXM4-80GB", 8, 0.3), ("H100-SXM5", 8, 0.4)])
        assert only(answers("products", [moved])).verdict == "No"

    def test_where_the_other_one_was_to_be_better_it_says_so(self) -> None:
        here = ran([("H100-SXM5", 8, 0.41)], name="a", expected=[promised("H100-SXM5", "0.42")])
        there = ran([("A100-SXM4-80GB", 8, 0.28)], name="b", expected=[promised("A100-SXM4-80GB", "0.60")])
        sentence = only(answers("products", [here, there])).sentence
        assert sentence.endswith("points apart, where A100-SXM4-80GB was to be 18.0 points above H100-SXM5.")

    def test_one_product_tells_nothing(self) -> None:
        answer = only(answers("products", [ran([("H100-SXM5", 8, 0.4)])]))
        assert answer.verdict == "Unknown"
        assert "H100-SXM5" in answer.sentence

    def test_figures_that_have_not_settled_do_not_count(self) -> None:
        found = [ran([("H100-SXM5", 8, 0.4)], name="a"), ran([("H200-SXM", 8, 0.1)], name="b", minutes=4)]
        assert only(answers("products", found)).verdict == "Unknown"


class TestScaling:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_planted_knee_is_found_where_it_is(self, seed: int) -> None:
        sizes = [(8, 0.40), (16, 0.396), (32, 0.392), (64, 0.30), (128, 0.29)]
        answer = only(answers("scaling", [ran([("H100-SXM5", *each) for each in sizes], seed=seed)]))
        assert answer.verdict == "Yes"
        assert answer.sentence.startswith("Yes, from 32 to 64 GPUs: ")
        tokens = float(answer.sentence.split("bring ")[1].split(" times")[0])
        assert tokens == pytest.approx(2 * 0.30 / 0.392, rel=0.02)
        assert [each.label for each in answer.evidence] == ["8 GPUs", "16 GPUs", "32 GPUs", "64 GPUs", "128 GPUs"]

    @pytest.mark.parametrize("seed", range(5))
    def test_a_flat_curve_does_not_fall(self, seed: int) -> None:
        sizes = [(8, 0.40), (16, 0.398), (32, 0.396), (64, 0.394)]
        assert only(answers("scaling", [ran([("H100-SXM5", *each) for each in sizes], seed=seed)])).verdict == "No"

    def test_a_fall_without_a_knee_is_said_to_be_one(self) -> None:
        sizes = [(8, 0.40), (16, 0.39), (32, 0.38), (64, 0.37), (128, 0.36)]
        answer = only(answers("scaling", [ran([("H100-SXM5", *each) for each in sizes], spread=0.0)]))
        assert answer.sentence.startswith("Yes, little by little: ")
        assert "times the tokens" not in answer.sentence

    def test_sizes_of_several_workloads_count_together(self) -> None:
        found = [ran([("H100-SXM5", 8, 0.4)], name="a"), ran([("H100-SXM5", 64, 0.3)], name="b")]
        assert only(answers("scaling", found)).verdict == "Yes"
        assert only(answers("scaling", found, "team/a")).verdict == "Yes"

    def test_one_size_tells_nothing(self) -> None:
        assert only(answers("scaling", [ran([("H100-SXM5", 8, 0.4)])])).verdict == "Unknown"

    def test_what_grows_with_the_size_is_left_out_of_the_setting(self) -> None:
        assert apart_from_size("mbs 1 gbs 128 seq 8192 t2 d8 ZeRO1") == "mbs 1 seq 8192 t2 ZeRO1"
        assert apart_from_size("in 1000 out 600 concurrency 64 t4 BF16/BF16/BF16").startswith("in 1000 out 600")
        assert apart_from_size("mbs 1 gbs 256 seq 8192 ddp") == "mbs 1 seq 8192 ddp"

    def test_the_data_ranks_of_a_setting(self) -> None:
        assert data_ranks("mbs 1 gbs 128 seq 8192 t2 d16 ZeRO1") == "d16"
        assert data_ranks("mbs 1 gbs 128 seq 8192 t2 ddp") == ""


RUNS = {run.name: run for run in every_run() if run.cause in (Cause.REQUEST_VARIABILITY, Cause.LOW_CONCURRENCY)}


def served(run: Run) -> Listed:
    """What the operator says of a planted run: its findings are those of the observer itself."""
    assert run.setup is not None
    expected = predict(run.setup, run.placement)
    assert isinstance(expected, Prediction)
    now = float(run.series.times[-1])
    assessment = assess(
        run.setup, run.placement, expected=expected, attainable=run.attainable, series=run.series, now=now
    )
    status = WorkloadStatus(summary=Summary(scale="MBU"), losses=tuple(map(loss, assessment.findings)))
    return Listed("team", "chat", "Inference", status)


class TestServing:
    @pytest.mark.parametrize("name", RUNS)
    def test_planted_mixes_and_batches_are_told_apart(self, name: str) -> None:
        wanted = "Variability" if RUNS[name].cause is Cause.REQUEST_VARIABILITY else "Batch"
        answer = only(answers("serving", [served(RUNS[name])]))
        assert answer.verdict == wanted
        assert "of the peak" in answer.sentence
        assert {each.label for each in answer.evidence} >= {"evidence", "confidence"}

    def test_the_simulated_fleet(self) -> None:
        found = answers("serving", list(example().listed()))
        assert {each.about.split("/")[1]: each.verdict for each in found} == {
            "serving-decode-heavy": "Neither",
            "serving-prefill-heavy": "Neither",
            "mig-small": "Batch",
        }

    def test_without_readings_it_is_unknown(self) -> None:
        answer = only(answers("serving", [Listed("team", "chat", "Inference", WorkloadStatus())]))
        assert answer.verdict == "Unknown"
        assert "not been judged" in answer.sentence


class TestBound:
    def test_the_simulated_fleet(self) -> None:
        """Planted: decode at 47 % of the bandwidth, dense training at 52 % of the peak, a link that leaves 15 %."""
        found = answers("bound", list(example().listed()))
        assert {each.about.split("/")[1]: each.verdict for each in found} == {
            "serving-decode-heavy": "Memory",
            "serving-prefill-heavy": "Compute",
            "mig-small": "Memory",
            "dense-training": "Compute",
            "moe-training": "Compute",
            "faulty-training": "Neither",
        }
        faulty = found[-1]
        assert "15.0 % of the compute peak" in faulty.sentence
        assert "main cause Communication" in faulty.sentence
        assert "the ridge of H100-SXM5 is at 295" in faulty.evidence[0].value

    def test_what_is_measured_goes_before_what_is_expected(self) -> None:
        expected = Expected(product="A", basis=Basis.ASSIGNED, mfu="0.5", mbu="0.1")
        promised_only = limits(WorkloadStatus(expected=(expected,)))
        assert promised_only is not None
        assert (promised_only.nearer, promised_only.measured) == ("Compute", False)
        seen = Observed(window="10m", meter=Meter.PROGRESS, mfu="0.1", mbu="0.6")
        measured = limits(WorkloadStatus(expected=(expected,), observed=(seen,)))
        assert measured is not None
        assert (measured.nearer, measured.measured) == ("Memory", True)
        assert limits(WorkloadStatus()) is None


def priced(observed: str, expected: str, *, low: str | None = None, high: str | None = None) -> Listed:
    """Eight GPUs for $36 an hour; one MFU point is a hundred tokens a second and GPU."""
    rate = [f"{1e4 * float(each):.1f}" for each in (observed, expected)]
    status = WorkloadStatus(
        summary=Summary(scale="MFU"),
        allocation=Allocation(gpus=8, product="H100-SXM5"),
        cost=Cost(currency="$", per_hour="36.00"),
        expected=(
            Expected(
                product="H100-SXM5",
                basis=Basis.ASSIGNED,
                mfu=expected,
                tokens_per_second_per_gpu=rate[1],
                low=low,
                high=high,
            ),
        ),
        observed=(Observed(window="10m", meter=Meter.PROGRESS, mfu=observed, tokens_per_second_per_gpu=rate[0]),),
    )
    return Listed("team", "job", "Training", status)


class TestCost:
    def test_worked(self) -> None:
        assert per_million(36.0, 10_000.0) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("observed", "verdict", "words"),
        [
            ("0.40", "Yes", "$0.3125 where the expected MFU says $0.3125"),
            ("0.39", "Yes", "within what the prediction can tell"),
            ("0.20", "No", "$0.6250 where the expected MFU says $0.3125, 100% more; no cause is known"),
            ("0.50", "No", "$0.2500 where the expected MFU says $0.3125, 20% less."),
        ],
    )
    def test_a_planted_rate_gives_its_price(self, observed: str, verdict: str, words: str) -> None:
        answer = only(answers("cost", [priced(observed, "0.40")]))
        assert answer.verdict == verdict
        assert words in answer.sentence

    def test_what_the_band_allows_is_as_expected(self) -> None:
        assert only(answers("cost", [priced("0.30", "0.40", low="0.28", high="0.50")])).verdict == "Yes"
        assert only(answers("cost", [priced("0.27", "0.40", low="0.28", high="0.50")])).verdict == "No"

    def test_the_simulated_fleet(self) -> None:
        """Planted: 15 % MFU on $20.00 an hour, and a link that is the provider's to mend."""
        answer = only(answers("cost", list(example().listed()), "team-vision/faulty-training"))
        assert answer.verdict == "No"
        assert "$0.2258" in answer.sentence
        assert "first to Communication, which the provider can mend" in answer.sentence

    def test_without_a_price_it_is_unknown(self) -> None:
        answer = only(answers("cost", [Listed("team", "job", "Training", WorkloadStatus())]))
        assert answer.verdict == "Unknown"
        assert "MFUPolicy" in answer.sentence


@pytest.mark.parametrize("word", QUESTIONS)
def test_nothing_known_is_never_an_answer(word: str) -> None:
    unknown = [Listed("team", "job", mode, WorkloadStatus()) for mode in ("Training", "Inference", "Unknown")]
    assert {each.verdict for each in answers(word, unknown)} <= {"Unknown"}
    assert answers(word, ()) == ()
