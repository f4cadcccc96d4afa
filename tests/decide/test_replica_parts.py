"""What the number of replicas is made of, each part by a worked number: trends, queues, doubts, laws and promises."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf

import numpy as np
import pytest

from mfu.decide.replicas.carrying import MOST_OF_PLACES, QUEUED_PROMPTS, ReplicaPromise, carried
from mfu.decide.replicas.demand import LoadReading, Typical, ahead, arriving, backlog, point_of, set_in
from mfu.decide.replicas.doubt import believed_waiting, doubt
from mfu.decide.replicas.law import Equations, Law, Point, learned, measured, predicted
from mfu.decide.replicas.memory import LoadSample, RawLoad, ScalingMemory
from mfu.decide.replicas.rule import READ_LATE_SECONDS, WINDOW_SECONDS, Course, Terms, size, strained
from mfu.hardware.types import Device
from mfu.predict import predict
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Prediction
from tests.builders.cases import SERVING, case, gpu

LAW = Law(0.008, 1e-4, 2e-5)
REQUEST = Typical(1_000.0, 100.0)
"""Takes 20 ms of a replica to read and 10 ms to answer."""
OUTPUTS_ONLY = Law(0.0, 1.0, 0.0)
"""One output token a second is one replica's work."""


TRENDS = {
    "a line through three, less half its doubt": (
        ((-2.0, 0.0), (-1.0, 1.0), (0.0, 5.0)),
        1.0,
        4.5 + 2.5 - 0.75**0.5 / 2,
    ),
    "a line through five": (((-4.0, 0.0), (-3.0, 2.0), (-2.0, 1.0), (-1.0, 3.0), (0.0, 5.0)), 1.0, 4.4 + 1.1 - 0.15),
    "two are no trend": (((-1.0, 1.0), (0.0, 5.0)), 100.0, 5.0),
    "what falls promises no less": (((-2.0, 9.0), (-1.0, 6.0), (0.0, 3.0)), 100.0, 3.0),
    "what strays is read off the line": (tuple((-10.0 + each, 4.0 + each % 2) for each in range(11)), 0.0, 4.4545),
    "what jumped is not": (tuple((-10.0 + each, 4.0 if each < 10 else 9.0) for each in range(11)), 0.0, 9.0),
    "the whole window counts": (((-150.0, 1.0), (-75.0, 2.0), (0.0, 3.0)), 75.0, 4.0),
    "what began three minutes ago": (
        tuple((60.0 * each - 300.0, 4.0 + max(0, each - 2)) for each in range(6)),
        60.0,
        8.0,
    ),
}


@pytest.mark.parametrize("name", TRENDS)
def test_what_arrives_soon(name: str) -> None:
    values, seconds, want = TRENDS[name]
    at, work = np.array(values).T
    assert ahead(at, work, seconds) == pytest.approx(want, rel=1e-4)


def queued(*values: tuple[float, float]) -> list[LoadSample]:
    """(seconds, waiting) beside 90,000 tokens/s in: 1.8 replicas' work; one that waits is 30 ms of it."""
    return [LoadSample(at, 90_000.0, 0.0, waiting, 0) for at, waiting in values]


ARRIVALS = {
    "no queue": (queued((0.0, 0.0), (60.0, 0.0)), 1.8),
    "one that stays": (queued((0.0, 5e3), (60.0, 5e3)), 1.8),
    "one that grows": (queued((0.0, 0.0), (60.0, 2_000.0)), 2.8),
    "one that is served": (queued((0.0, 1_000.0), (60.0, 0.0)), 1.3),
    "over a minute": (queued((0.0, 0.0), (40.0, 0.0), (60.0, 0.0), (100.0, 2_000.0)), 2.8),
    "one that lies": (queued((0.0, 0.0), (60.0, 1e9)), 3.6),
    "one that is gone": (queued((0.0, 1e9), (60.0, 0.0)), 0.9),
    "nothing before it": (queued((0.0, 1e9)), 1.8),
}


@pytest.mark.parametrize("name", ARRIVALS)
def test_what_comes_is_what_is_served_and_what_the_queue_grows_by(name: str) -> None:
    seen, want = ARRIVALS[name]
    assert arriving(LAW, REQUEST, seen)[-1] == pytest.approx(want)


def test_a_trend_promises_at_most_twice_of_what_is_served() -> None:
    """From nothing to 0.45 replicas' work in a minute, and on for eight: 0.9 is what is believed of it."""
    memory, found = ScalingMemory(), []
    for step in range(4):
        seen = replace(one(5_000.0 * step + 1.0, 500.0 * step + 1.0, running=0.0), at=1e6 + 20.0 * step)
        answer, memory = size(memory, seen, replace(PLAIN, max_step=9.0))
        found.append(answer)
    assert found[-1].soon == pytest.approx(2.0 * (found[-1].work or 0.0))


def test_a_trend_is_followed_for_a_start_and_for_what_rates_are_late() -> None:
    """From 3.0 by 0.06 every 20 s: after three of them 3.18, and 0.06 × 21 more in the seven minutes of a start."""
    memory, terms = ScalingMemory(), replace(PLAIN, start_seconds=420.0 - READ_LATE_SECONDS)
    for step in range(4):
        seen = replace(one(150_000.0 + 3_000.0 * step, 0.0, running=0.0), at=1e6 + 20.0 * step, ready=9)
        answer, memory = size(memory, seen, terms)
    assert answer.soon == pytest.approx(3.18 + 21 * 0.06)


SUDDEN = {
    "9 % of ten thousand requests are chance": ((10.0,) * 13, 10.89, 10_000.0, False),
    "what is more is not": ((10.0,) * 13, 10.91, 10_000.0, True),
    "fewer requests stray by more": ((10.0,) * 13, 10.91, 5_000.0, False),
    "what drifts already goes on": (tuple(10.0 + 0.1 * each for each in range(13)), 11.9, 10_000.0, False),
    "and may rise beside that": (tuple(10.0 + 0.1 * each for each in range(13)), 12.4, 10_000.0, True),
    "what falls and then stays is no rise": (tuple(13.0 - 0.1 * each for each in range(13)), 12.0, 10_000.0, False),
    "three readings are too few to tell": ((10.0,) * 7, 99.0, 10_000.0, False),
    "four are enough": ((10.0,) * 8, 99.0, 10_000.0, True),
    "after nothing there is nothing to tell by": ((0.0,) * 13, 5.0, 10_000.0, False),
    "without requests nobody comes": ((10.0,) * 13, 99.0, 0.0, False),
}


@pytest.mark.parametrize("name", SUDDEN)
def test_what_is_more_than_chance(name: str) -> None:
    """Readings 20 s apart before the newest one, which it is, of how many requests a minute, and whether it is."""
    before, newest, requests, want = SUDDEN[name]
    work = np.array((*before, newest))
    assert set_in(np.linspace(0.0, 20.0 * len(before), len(work)), work, requests) is want


def test_what_sets_in_at_once_is_taken_to_double_until_it_is_the_usual() -> None:
    """1.8 replicas' work from 90,000 tokens/s, and from one reading to the next a quarter more: 2 × 2.25."""
    memory, found = ScalingMemory(), []
    for step in range(40):
        seen = one((90_000.0 if step < 15 else 112_500.0) + step, 1.0, running=0.0)
        answer, memory = size(memory, replace(seen, at=1e6 + 20.0 * step, ready=9), replace(PLAIN, max_step=9.0))
        found.append(answer)
    soon = [each.soon or 0.0 for each in found]
    assert soon[14] == pytest.approx(1.8, rel=1e-3)
    assert soon[15] == pytest.approx(2 * 2.25, rel=1e-3)
    assert max(soon) == pytest.approx(2 * 2.25, rel=1e-3)
    assert soon[-1] == pytest.approx(2.25, rel=1e-3)


@pytest.mark.parametrize(
    ("waiting", "served", "want"),
    [(0.0, 5.0, 0.0), (500.0, 5.0, 0.5), (1e6, 5.0, 5.0), (1e6, 0.2, 1.0), (500.0, 0.2, 0.5)],
)
def test_a_queue_is_gone_half_a_minute_after_new_ones_serve(waiting: float, served: float, want: float) -> None:
    """500 requests of 30 ms are 15 s of one replica: half of one drains them; never more than is served now."""
    assert backlog(LAW, REQUEST, waiting, served) == pytest.approx(want)


POINTS = {
    "two replicas": (RawLoad(10_000.0, 1_000.0, 12.0, 0.0), 2, Point(0.012, 500.0, 5_000.0)),
    "one replica": (RawLoad(10_000.0, 0.5, 12.0, 0.0), 1, Point(24.0, 0.5, 10_000.0)),
    "too few requests to be read": (RawLoad(10_000.0, 1_000.0, 11.9, 0.0), 2, None),
    "no answers": (RawLoad(10_000.0, 0.0, 12.0, 0.0), 2, None),
    "nobody serves": (RawLoad(10_000.0, 1_000.0, 12.0, 0.0), 0, None),
}


@pytest.mark.parametrize("name", POINTS)
def test_what_one_replica_did(name: str) -> None:
    raw, ready, want = POINTS[name]
    assert point_of(raw, ready) == want


def test_gauges_that_are_not_published_say_nothing() -> None:
    assert LoadReading(0.0, 1, 0, 10.0, 1.0).raw == RawLoad(10.0, 1.0, 0.0, 0.0)
    assert LoadReading(0.0, 1, 0, 10.0, 1.0, 3.0, 2.0).raw == RawLoad(10.0, 1.0, 3.0, 2.0)


def one(inputs: float = 10_000.0, outputs: float = 1_000.0, *, running: float = 16.0, **fields: float) -> LoadReading:
    """One replica: half of its time are steps, 0.1 answers, 0.2 prompts."""
    made = LoadReading(0.0, 1, 0, inputs, outputs, running, 0.0)
    return replace(made, **fields)  # type: ignore[arg-type]


def again(times: int) -> ScalingMemory:
    return ScalingMemory(raw=one().raw, repeats=times)


DOUBTS: dict[str, tuple[ScalingMemory, LoadReading, str | None]] = {
    "nothing against it": (ScalingMemory(), one(), None),
    "no rates": (ScalingMemory(), replace(one(), input_tokens_per_s=None), "token rates are not reported"),
    "nobody serves": (ScalingMemory(), replace(one(), ready=0), "no replica serves yet"),
    "a queue below zero": (ScalingMemory(), one(waiting=-1.0), "a rate or a queue is below zero"),
    "idle": (ScalingMemory(), one(0.0, 0.0, running=0.0), None),
    "idle for long": (ScalingMemory(raw=RawLoad(0.0, 0.0, 0.0, 0.0), repeats=9), one(0.0, 0.0, running=0.0), None),
    "hung": (
        ScalingMemory(),
        one(0.0, 0.0, running=5.0),
        "5 requests run and not one token comes: hung, or the page is frozen",
    ),
    "a token now and then": (ScalingMemory(), one(0.0, 0.5, running=5.0), None),
    "the same again": (again(1), one(), None),
    "the same for the third time": (again(2), one(), "the same readings came 3 times: the page is frozen"),
    "another one after many": (again(9), one(10_001.0), None),
    "just within what can be": (ScalingMemory(), one(49_000.0), None),
    "more than there is time for": (
        ScalingMemory(),
        one(51_000.0),
        "tokens and running requests would take 1.6 times the time that the replicas have",
    ),
    "two have the time": (ScalingMemory(), replace(one(100_000.0, 0.0, running=0.0), ready=2), None),
    "two have it not": (
        ScalingMemory(),
        replace(one(170_000.0, 0.0, running=0.0), ready=2),
        "tokens and running requests would take 1.7 times the time that the replicas have",
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_is_doubted(name: str) -> None:
    memory, reading, want = DOUBTS[name]
    assert doubt(memory, reading, LAW) == want


@pytest.mark.parametrize(
    ("reading", "believed"),
    [
        (one(19_000.0, 0.0), 0.0),
        (one(21_000.0, 0.0), 7.0),
        (replace(one(30_000.0, 0.0), ready=2), 0.0),
        (replace(one(0.0, 6_000.0), ready=2), 0.0),
        (replace(one(0.0, 9_000.0), ready=2), 7.0),
        (one(0.0, 0.0, cache_use=0.79), 0.0),
        (one(0.0, 0.0, cache_use=0.8), 7.0),
    ],
)
def test_a_queue_is_believed_where_engines_are_busy_or_full(reading: LoadReading, believed: float) -> None:
    raw = RawLoad(reading.input_tokens_per_s or 0.0, reading.output_tokens_per_s or 0.0, 16.0, 7.0)
    assert believed_waiting(reading, raw, LAW) == believed


@pytest.mark.parametrize(("work", "seconds"), [(0.0, 0.008), (0.5, 0.016), (0.9, 0.08), (1.0, inf), (1.5, inf)])
def test_time_per_token_grows_without_end(work: float, seconds: float) -> None:
    assert LAW.token_seconds(work) == pytest.approx(seconds)


def test_a_law_is_what_three_predictions_say() -> None:
    """A decode step of one and of 64 requests, and a prompt, on the two GPUs of one replica."""
    setup = case(SERVING).setup
    assert isinstance(setup, Inference)
    split = replace(setup, parallelism=Parallelism(tensor=2))
    where = Placement(Device(gpu()), 2, 8)
    law = predicted(split, where)
    assert law is not None
    for concurrency in (1.0, 64.0):
        step = predict(replace(split, phase=Phase.DECODE, concurrency=concurrency), where)
        assert isinstance(step, Prediction)
        assert law.base + law.per_output * concurrency == pytest.approx(step.tpot_seconds, rel=1e-3)
    prompt = predict(replace(split, phase=Phase.PREFILL, concurrency=1.0), where)
    assert isinstance(prompt, Prediction)
    assert law.per_input == pytest.approx(1.0 / (2 * prompt.tokens_per_s_per_gpu))
    assert predicted(setup, Placement(Device(gpu("T4")), 1, 1)) is None


def test_a_reading_counts_less_as_it_ages() -> None:
    point = Point(0.02, 10.0, 100.0)
    first = learned(Equations(), point, 1e6)
    assert first.totals == (50.0, 10.0, 100.0)
    assert first.squares == (2500.0, 500.0, 5000.0, 500.0, 100.0, 1000.0, 5000.0, 1000.0, 10000.0)
    second = learned(first, point, 1e6 + 1800.0)
    assert second.totals == pytest.approx([each * (1 + exp(-1)) for each in first.totals])
    assert second.squares == pytest.approx([each * (1 + exp(-1)) for each in first.squares])


@pytest.mark.parametrize(("token_seconds", "base"), [(0.02, 0.019), (0.1, 0.03), (0.001, 0.01 / 3)])
def test_one_reading_moves_a_law_and_never_too_far(token_seconds: float, base: float) -> None:
    """Predicted 10 ms and read 20: (0.5 ÷ 0.05² + 1 ÷ 0.3²) ÷ (0.25 ÷ 0.05² + 1 ÷ 0.3²) = 1.9 times; 3 at most."""
    sums = learned(Equations(), Point(token_seconds, 0.0, 0.0), 1e6)
    found = measured(Law(0.01, 1e-4, 2e-5), sums)
    assert found == pytest.approx((base, 1e-4, 2e-5))


PLAIN = Terms(LAW, REQUEST, 1, 50)
QUEUE = QUEUED_PROMPTS
PROMISES = {
    "none": (ReplicaPromise(), (10_000.0, 1_000.0), 0.8),
    "40 ms a token": (ReplicaPromise(tpot_seconds=0.040), (10_000.0, 1_000.0), 0.75),
    "an easy one": (ReplicaPromise(tpot_seconds=1.0), (10_000.0, 1_000.0), 0.9),
    "one out of reach": (ReplicaPromise(tpot_seconds=0.005), (10_000.0, 1_000.0), 0.1),
    "100 places": (ReplicaPromise(9.0, 1.0, places=100.0), (0.0, 1_000.0), MOST_OF_PLACES / (0.8 + MOST_OF_PLACES)),
    "places without a first token promised": (ReplicaPromise(tpot_seconds=1.0, places=100.0), (0.0, 1_000.0), 0.9),
    "twice of both is the same": (
        ReplicaPromise(9.0, 1.0, places=100.0),
        (0.0, 2_000.0),
        MOST_OF_PLACES / (0.8 + MOST_OF_PLACES),
    ),
    "prompts take no places for long": (ReplicaPromise(9.0, 1.0, places=100.0), (1_000.0, 0.0), 0.9),
    "a first token within 500 ms": (
        ReplicaPromise(ttft_seconds=0.500, prompt_tokens=1_000.0),
        (1_000.0, 0.0),
        1 - QUEUE * 0.02 / 0.472,
    ),
    "with a decode step every 2,000 tokens": (
        ReplicaPromise(ttft_seconds=0.500, prompt_tokens=1_000.0, chunk_tokens=2_000.0),
        (1_000.0, 0.0),
        (1 - QUEUE * 0.024 / 0.468) / 1.2,
    ),
    "an easy first token": (ReplicaPromise(ttft_seconds=10.0, prompt_tokens=1_000.0), (10_000.0, 1_000.0), 0.9),
    "a first token sooner than its prompt": (
        ReplicaPromise(ttft_seconds=0.02, prompt_tokens=1_000.0),
        (10_000.0, 1_000.0),
        0.1,
    ),
    "answers alone have a first token as well": (
        ReplicaPromise(ttft_seconds=0.016, prompt_tokens=0.0),
        (0.0, 1_000.0),
        0.5,
    ),
    "nothing arrives": (ReplicaPromise(tpot_seconds=0.040), (0.0, 0.0), 0.75),
    "the harder of two": (ReplicaPromise(10.0, 0.040, prompt_tokens=1_000.0), (10_000.0, 1_000.0), 0.75),
}


@pytest.mark.parametrize("name", PROMISES)
def test_what_one_carries_within_its_promise(name: str) -> None:
    """100 places at 8 ms a step and 0.1 ms a token: w ÷ (1 − w) · 80 requests run at work w."""
    promise, mix, want = PROMISES[name]
    assert carried(LAW, promise, *mix) == pytest.approx(want, abs=1e-5)


def test_prompts_without_a_time_are_no_promise_broken() -> None:
    """A step of 0.25 s and 0.25 s for each that runs: within 0.5 s up to one of them, which is half of the time."""
    free = ReplicaPromise(ttft_seconds=0.5, prompt_tokens=1.0)
    assert carried(Law(0.25, 0.25, 0.0), free, 1.0, 1.0) == pytest.approx(0.5, abs=1e-5)
    assert carried(Law(0.25, 0.25, 0.25), free, 1.0, 1.0) == 0.1


def test_the_mix_decides_what_gives_out_first() -> None:
    """A flat number of tokens a second would be set for the worst of them."""
    promise = ReplicaPromise(2.0, 0.1, places=128.0, chunk_tokens=2_048.0, prompt_tokens=1_500.0)
    law = Law(0.0064, 6e-5, 2.4e-5)
    tokens = []
    for share in (0.8, 0.9, 0.95):
        work = carried(law, promise, share, 1.0 - share)
        tokens.append(work / law.work(share, 1.0 - share))
    assert max(tokens) > 1.25 * min(tokens)


def test_an_engine_that_runs_more_than_was_declared_takes_more() -> None:
    declared = replace(PLAIN, places=8.0)
    assert declared.promise(one(running=4.0)).places == 8.0
    assert declared.promise(one(running=64.0)).places == 64.0
    assert PLAIN.promise(one(running=64.0)).places is None


def test_a_queue_before_replicas_that_are_missing_says_nothing_of_the_others() -> None:
    """Prompts wait for a minute in front of two where three are needed: three, and not ten."""
    busy = replace(one(90_000.0, 0.0, running=0.0, waiting=200.0), ready=2)
    terms = replace(PLAIN, ttft_seconds=1.0)
    alone, _ = size(ScalingMemory(), busy, replace(terms, max_step=10.0))
    promised, _ = size(ScalingMemory(), replace(busy, pending=1), replace(terms, max_step=10.0))
    assert (alone.replicas, promised.replicas) == (3, 3)


def waits(at: float, waiting: float, inputs: float = 40_000.0) -> LoadSample:
    """0.8 of one replica's time; 40 prompts a second."""
    return LoadSample(at, inputs, 0.0, waiting, 0)


IN_A_SECOND = replace(PLAIN, ttft_seconds=1.0)
STRAINS = {
    "no promise": ([waits(0.0, 1e6)], PLAIN, 1, inf),
    "as long as planned": ([waits(0.0, 8.0)], IN_A_SECOND, 1, inf),
    "twice as long as planned": ([waits(0.0, 16.0)], IN_A_SECOND, 1, 2 / 3),
    "a queue that lies": ([waits(0.0, 1e9)], IN_A_SECOND, 1, 0.64),
    "two share the work": ([waits(0.0, 8.8)], IN_A_SECOND, 2, (2 / 3 / 1.1) / (1 + 2 / 3 / 1.1)),
    "more work than there is time": ([waits(0.0, 24.0, 60_000.0)], IN_A_SECOND, 1, 9.5 / 10.5),
    "nothing arrives": ([waits(0.0, 5.0, 0.0)], IN_A_SECOND, 1, inf),
    "a promise of two seconds": ([waits(0.0, 32.0)], replace(PLAIN, ttft_seconds=2.0), 1, 2 / 3),
    "a prompt every other second": ([waits(0.0, 10.0, 500.0)], IN_A_SECOND, 1, 0.1),
    "answers alone have no first token": ([LoadSample(0.0, 0.0, 5_000.0, 5.0, 0)], IN_A_SECOND, 1, inf),
    "what arrived has ended": ([waits(-30.0, 16.0), LoadSample(0.0, 0.0, 0.0, 16.0, 0)], IN_A_SECOND, 1, inf),
    "a moment's queue is chance": ([waits(-60.0, 0.0), waits(0.0, 16.0)], IN_A_SECOND, 1, inf),
    "older than a minute is forgotten": ([waits(-61.0, 0.0), waits(0.0, 16.0)], IN_A_SECOND, 1, 2 / 3),
}


@pytest.mark.parametrize("name", STRAINS)
def test_what_one_may_carry_while_prompts_wait(name: str) -> None:
    seen, terms, ready, want = STRAINS[name]
    assert strained(LAW, seen, ready, terms) == pytest.approx(want)


def test_what_came_before_is_counted_and_learned_once() -> None:
    """The same page again and again: learned from once, believed for a minute, doubted from the fourth on."""
    memory, told = ScalingMemory(), []
    for step in range(6):
        answer, memory = size(memory, replace(one(), at=1e6 + 20.0 * step), PLAIN)
        told.append((memory.repeats, answer.course is Course.FREEZE, memory.sums.at))
    assert told == [(each, each >= 3, 1e6) for each in range(6)]
    _, after = size(memory, replace(one(10_001.0), at=1e6 + 200.0), PLAIN)
    assert (after.repeats, after.sums.at) == (0, 1e6 + 200.0)


def test_work_for_exactly_three_is_for_three() -> None:
    answer, memory = size(ScalingMemory(), replace(one(80_000.0, 8_000.0, running=0.0), ready=3), PLAIN)
    assert (answer.replicas, answer.course) == (3, Course.KEEP)
    assert answer.work == pytest.approx(2.4)
    assert [each.needed for each in memory.samples] == [3]


def remembered(*readings: tuple[float, float]) -> list[tuple[float, int]]:
    """(seconds, tokens/s in) as they come; what is kept of them as (seconds, replicas needed)."""
    memory = ScalingMemory()
    for at, inputs in readings:
        _, memory = size(memory, replace(one(inputs, 0.0, running=0.0), at=1e6 + at, ready=9), PLAIN)
    return [(each.at - 1e6, each.needed) for each in memory.samples]


KEPT = {
    "what lies in the window, and one before it": (
        [(0.0, 1.0), (100.0, 1.0), (200.0, 1.0), (300.0, 1.0), (400.0, 1.0)],
        [0.0, 100.0, 200.0, 300.0, 400.0],
    ),
    "of those before it the newest": ([(0.0, 1.0), (10.0, 1.0), (20.0, 1.0), (400.0, 1.0)], [20.0, 400.0]),
    "ten seconds apart are two": ([(0.0, 1.0), (10.0, 1.0)], [0.0, 10.0]),
    "closer ones are one, at the first one's time": (
        [(0.0, 1.0), (20.0, 1.0), (40.0, 1.0), (45.0, 1.0)],
        [0.0, 20.0, 40.0],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_of_the_last_minutes(name: str) -> None:
    readings, want = KEPT[name]
    # A trifle more each time: a page that stays the same is frozen.
    found = remembered(*[(at, inputs + index) for index, (at, inputs) in enumerate(readings)])
    assert [at for at, _ in found] == want


@pytest.mark.parametrize("inputs", [(200_000.0, 20_000.0), (20_000.0, 200_000.0)])
def test_of_readings_that_count_as_one_the_higher_stays(inputs: tuple[float, float]) -> None:
    """200,000 tokens/s are four replicas' work, which five carry."""
    assert remembered((0.0, inputs[0]), (5.0, inputs[1])) == [(0.0, 5)]


@pytest.mark.parametrize(("ready", "max_step", "then"), [(8, 0.5, 12), (8, 0.25, 10), (1, 0.5, 2), (3, 0.5, 4)])
def test_a_step_is_a_share_of_what_runs_and_at_least_one(ready: int, max_step: float, then: int) -> None:
    busy = replace(one(45_000.0 * ready, 0.0, running=0.0), ready=ready, waiting=1e9)
    answer, _ = size(ScalingMemory(), busy, replace(PLAIN, max_step=max_step))
    assert answer.replicas == then


def demanding(work: float, ready: int) -> LoadReading:
    return replace(one(work * 50_000.0, 0.0, running=0.0), at=1e6, ready=ready)


def seen(*needed: tuple[float, int], changed: float | None = None) -> ScalingMemory:
    """(seconds ago, replicas needed then), the work being two replicas' all the time."""
    past = tuple(LoadSample(1e6 - ago, 100_000.0, 0.0, 0.0, count) for ago, count in needed)
    return ScalingMemory(samples=past, changed_at=None if changed is None else 1e6 - changed)


WHYS: dict[str, tuple[ScalingMemory, LoadReading, int, str]] = {
    "enough": (ScalingMemory(), demanding(2.0, 3), 3, "that is what runs"),
    "too few": (ScalingMemory(), demanding(2.0, 2), 3, "more is needed by the time that new ones serve"),
    "more than are allowed": (ScalingMemory(), demanding(2.0, 60), 50, "bounds are 1 to 50"),
    "just changed": (seen(changed=299.0), demanding(2.0, 2), 2, "the last change is less than 300 s old"),
    "changed a while ago": (
        seen(changed=300.0),
        demanding(2.0, 2),
        3,
        "more is needed by the time that new ones serve",
    ),
    "too many, since a moment": (
        ScalingMemory(),
        demanding(2.0, 4),
        4,
        f"fewer would do, but not for {WINDOW_SECONDS:.0f} s yet",
    ),
    "too many, nearly long enough": (
        seen((WINDOW_SECONDS - 1.0, 3)),
        demanding(2.0, 4),
        4,
        f"fewer would do, but not for {WINDOW_SECONDS:.0f} s yet",
    ),
    "too many for long": (
        seen((WINDOW_SECONDS, 3)),
        demanding(2.0, 4),
        3,
        f"no more were needed for {WINDOW_SECONDS:.0f} s",
    ),
    "a peak not long ago": (
        seen((WINDOW_SECONDS + 1.0, 4), (WINDOW_SECONDS / 2, 4)),
        demanding(2.0, 4),
        4,
        f"4 were needed within the last {WINDOW_SECONDS:.0f} s",
    ),
    "far too many go step by step": (
        seen((WINDOW_SECONDS, 3)),
        demanding(2.0, 20),
        10,
        f"no more were needed for {WINDOW_SECONDS:.0f} s",
    ),
    "no further than the peak": (
        seen((WINDOW_SECONDS, 15)),
        demanding(2.0, 20),
        15,
        f"no more were needed for {WINDOW_SECONDS:.0f} s",
    ),
}


@pytest.mark.parametrize("name", WHYS)
def test_why_the_number_is_what_it_is(name: str) -> None:
    memory, reading, replicas, why = WHYS[name]
    answer, after = size(memory, reading, PLAIN)
    assert (answer.replicas, answer.why) == (replicas, why)
    assert after.wanted == replicas
    assert after.changed_at == (memory.changed_at if replicas == reading.replicas else 1e6)
