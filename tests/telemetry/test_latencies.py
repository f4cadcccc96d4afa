"""Histograms of serving engines: how many answers came within a limit, and where nothing tells."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.pods.latencies import LatencyLimits, timed, within

BOTH = LatencyLimits(0.2, 0.03)
FIRST, FIRST_IN_TIME = Counter.FIRST_TOKENS_TIMED, Counter.FIRST_TOKENS_IN_TIME
EACH, EACH_IN_TIME = Counter.TOKENS_TIMED, Counter.TOKENS_IN_TIME


def histogram(name: str, buckets: dict[str, float], labels: str = 'model_name="m"') -> bytes:
    lines = [f'{name}_bucket{{{labels},le="{bound}"}} {count}\n' for bound, count in buckets.items()]
    return "".join((f"# TYPE {name} histogram\n", *lines)).encode()


TTFT = {"0.1": 40.0, "0.3": 90.0, "+Inf": 100.0}


@pytest.mark.parametrize(
    ("name", "buckets"),
    [
        ("vllm:time_to_first_token_seconds", TTFT),
        ("ray_vllm_time_to_first_token_seconds", TTFT),
        ("sglang:time_to_first_token_seconds", TTFT),
        ("trtllm_time_to_first_token_seconds", TTFT),
        ("dynamo_frontend_time_to_first_token_seconds", TTFT),
        ("time_to_first_token_seconds", TTFT),
        ("nv_inference_first_response_histogram_ms", {"100": 40.0, "300": 90.0, "+Inf": 100.0}),
    ],
)
def test_first_tokens_of_every_engine_that_times_them(name: str, buckets: dict[str, float]) -> None:
    found = timed(histogram(name, buckets), BOTH)
    assert found.counters == {FIRST: 100.0, FIRST_IN_TIME: pytest.approx(65.0)}
    assert found.gauges == {Gauge.FIRST_TOKEN_LIMIT_SECONDS: 0.2}


@pytest.mark.parametrize(
    "name",
    [
        "vllm:request_time_per_output_token_seconds",
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
        "trtllm_time_per_output_token_seconds",
        "tgi_request_mean_time_per_token_duration",
    ],
)
def test_time_per_token_of_every_engine_that_keeps_it(name: str) -> None:
    found = timed(histogram(name, {"0.03": 70.0, "+Inf": 80.0}), BOTH)
    assert found.counters == {EACH: 80.0, EACH_IN_TIME: 70.0}


def test_whole_requests_beat_single_tokens_and_ranks_are_one() -> None:
    body = histogram("vllm:inter_token_latency_seconds", {"0.03": 1.0, "+Inf": 9.0})
    body += histogram("vllm:request_time_per_output_token_seconds", {"0.03": 4.0, "+Inf": 5.0})
    assert timed(body, BOTH).counters[EACH_IN_TIME] == 4.0
    ranks = [
        histogram("sglang:inter_token_latency_seconds", {"0.03": 4.0, "+Inf": 5.0}, f'tp_rank="{n}"') for n in "01"
    ]
    assert timed(b"".join(ranks), BOTH).counters[EACH] == 5.0
    engines = [histogram("vllm:inter_token_latency_seconds", {"0.03": 4.0, "+Inf": 5.0}, f'engine="{n}"') for n in "01"]
    assert timed(b"".join(engines), BOTH).counters[EACH] == 10.0


@pytest.mark.parametrize(
    "buckets",
    [{"0.1": 40.0, "+Inf": 100.0}, {"+Inf": 100.0}, {"0.1": 40.0, "0.3": 90.0}, {"0.3": float("nan"), "+Inf": 1.0}, {}],
    ids=["limit above the last bound", "no finite bound", "no whole", "broken", "none"],
)
def test_what_nothing_tells_stays_unknown(buckets: dict[str, float]) -> None:
    found = timed(histogram("vllm:time_to_first_token_seconds", buckets), BOTH)
    assert not found.counters
    assert not found.gauges


def test_without_a_limit_nothing_is_counted() -> None:
    found = timed(histogram("vllm:time_to_first_token_seconds", TTFT), LatencyLimits(None, 0.03))
    assert not found.counters
    assert not LatencyLimits()


@given(st.lists(st.tuples(st.floats(0.001, 60), st.integers(0, 1000)), min_size=1, max_size=12), st.floats(0.001, 60))
def test_in_time_lies_between_the_bounds_around_the_limit(parts: list[tuple[float, int]], limit: float) -> None:
    buckets, total = dict[float, float](), 0.0
    for bound, count in sorted(parts):
        total += count
        buckets[bound] = total
    buckets[inf] = total + 5
    found = within(buckets, limit)
    finite = [bound for bound in buckets if bound < inf]
    if limit > max(finite):
        assert found is None
        return
    assert found is not None
    below = max((buckets[bound] for bound in finite if bound < limit), default=0.0)
    above = buckets[min(bound for bound in finite if bound >= limit)]
    assert found[0] == total + 5
    assert below - 1e-6 <= found[1] <= above + 1e-6
