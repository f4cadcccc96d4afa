"""Lines of pages that public repositories keep of real engines, each with where it stands."""

from __future__ import annotations

import pytest

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.latencies import LatencyLimits, timed
from mfu.telemetry.pods.progress import ScrapedPod

POD = ScrapedPod("team", "svc-0")
PREFILL, DECODE = Counter.PREFILL_TOKENS, Counter.DECODE_TOKENS
RUNNING, WAITING, KV = Gauge.RUNNING_REQUESTS, Gauge.WAITING_REQUESTS, Gauge.KV_CACHE_USAGE

NIM = b"""# HELP num_requests_running Number of requests currently running on GPU.
# TYPE num_requests_running gauge
num_requests_running{model_name="meta/llama-3.1-8b-instruct"} 1.0
num_requests_waiting{model_name="meta/llama-3.1-8b-instruct"} 0.0
# HELP gpu_cache_usage_perc GPU KV-cache usage. 1 means 100 percent usage.
# TYPE gpu_cache_usage_perc gauge
gpu_cache_usage_perc{model_name="meta/llama-3.1-8b-instruct"} 0.0002848191398461977
# HELP prompt_tokens_total Number of prefill tokens processed.
# TYPE prompt_tokens_total counter
prompt_tokens_total{model_name="meta/llama-3.1-8b-instruct"} 109.0
# HELP generation_tokens_total Number of generation tokens processed.
# TYPE generation_tokens_total counter
generation_tokens_total{model_name="meta/llama-3.1-8b-instruct"} 174.0
# TYPE time_to_first_token_seconds histogram
time_to_first_token_seconds_bucket{le="0.01",model_name="meta/llama-3.1-8b-instruct"} 0.0
time_to_first_token_seconds_bucket{le="0.02",model_name="meta/llama-3.1-8b-instruct"} 2.0
time_to_first_token_seconds_bucket{le="0.5",model_name="meta/llama-3.1-8b-instruct"} 4.0
time_to_first_token_seconds_bucket{le="0.75",model_name="meta/llama-3.1-8b-instruct"} 5.0
time_to_first_token_seconds_bucket{le="+Inf",model_name="meta/llama-3.1-8b-instruct"} 5.0
"""
"""DataDog/integrations-core, nvidia_nim/tests/fixtures/nim_metrics.txt. Says nothing of its prefix cache."""
_RAY_LABELS = b'{Component="core_worker",Version="2.32.0",model_name="neuralmagic/Meta-Llama-3.1-70B-Instruct-FP8"}'
RAY = b"""# HELP ray_vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE ray_vllm:prompt_tokens_total counter
ray_vllm:prompt_tokens_total@ 58.0
# TYPE ray_vllm:gpu_cache_usage_perc gauge
ray_vllm:gpu_cache_usage_perc@ 5.882698982295764e-05
ray_vllm:num_requests_waiting@ 0.0
ray_vllm:num_requests_running@ 0.0
# TYPE ray_vllm:generation_tokens_total counter
ray_vllm:generation_tokens_total@ 300.0
# HELP ray_vllm:gpu_prefix_cache_hit_rate GPU prefix cache block hit rate.
# TYPE ray_vllm:gpu_prefix_cache_hit_rate gauge
ray_vllm:gpu_prefix_cache_hit_rate@ -1.0
""".replace(b"@", _RAY_LABELS)
"""DataDog/integrations-core, vllm/tests/fixtures/ray_vllm_metrics.txt (Ray Serve 2.32, vLLM 0.6)."""
TGI = b"""# HELP tgi_queue_size Current queue size
# TYPE tgi_queue_size gauge
tgi_queue_size 0

# HELP tgi_batch_current_size Current batch size
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 0

# HELP tgi_request_input_length Input token length per request
# TYPE tgi_request_input_length histogram
tgi_request_input_length_bucket{le="5.11"} 0
tgi_request_input_length_bucket{le="+Inf"} 109
tgi_request_input_length_sum 662
tgi_request_input_length_count 109

# HELP tgi_request_max_new_tokens Maximum new tokens per request
# TYPE tgi_request_max_new_tokens histogram
tgi_request_max_new_tokens_sum 5120
tgi_request_max_new_tokens_count 109
"""
"""DataDog/integrations-core, hugging_face_tgi/tests/fixtures/payload.txt. What was allowed was not all generated."""
SGLANG = b"""# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.128902e+06
# HELP sglang:generation_tokens_total Number of generation tokens processed.
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 7.557572e+06
# HELP sglang:token_usage The token usage
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.28
# HELP sglang:cache_hit_rate The cache hit rate
# TYPE sglang:cache_hit_rate gauge
sglang:cache_hit_rate{model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.007507552643049313
"""
"""docs.sglang.io/references/production_metrics.html: a rate of the moment says nothing of the total."""
_SMG = b'model_name="meta-llama/Llama-3.1-8B-Instruct",moe_ep_rank="0",pp_rank="0",tp_rank="0"'
SMG = b"""# HELP sglang_realtime_tokens_total Total number of tokens processed (updated on each log interval).
# TYPE sglang_realtime_tokens_total counter
sglang_realtime_tokens_total{engine_type="unified",mode="prefill_compute",@} 55
sglang_realtime_tokens_total{engine_type="unified",mode="decode",@} 311
""".replace(b"@", _SMG)
"""smg-project/smg pull request 813 (the count of decoded tokens is left out there; 311 stands for it)."""
LLAMA_CPP = b"""# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 77454
# HELP llamacpp:prompt_tokens_cached_total Number of prompt tokens reused from the cache
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 129725
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 1426
"""
"""A scrape of llama-server, 2026: the cached ones are counted apart and are not in the total."""


@pytest.mark.parametrize(
    ("page", "engine", "counters", "gauges"),
    [
        pytest.param(NIM, "NIM", {DECODE: 174}, {RUNNING: 1, WAITING: 0, KV: 0.0002848191398461977}, id="NIM"),
        pytest.param(
            RAY, "vLLM", {PREFILL: 58, DECODE: 300}, {RUNNING: 0, WAITING: 0, KV: 5.882698982295764e-05}, id="Ray"
        ),
        pytest.param(TGI, "TGI", {}, {RUNNING: 0, WAITING: 0}, id="TGI"),
        pytest.param(SGLANG, "SGLang", {DECODE: 7557572}, {KV: 0.28}, id="SGLang"),
        pytest.param(LLAMA_CPP, "llama.cpp", {PREFILL: 77454, DECODE: 1426}, {}, id="llama.cpp"),
    ],
)
def test_a_real_page(page: bytes, engine: str, counters: dict[Counter, float], gauges: dict[Gauge, float]) -> None:
    found = read_engine(page, POD, 0.0)
    assert (found.source, found.counters, found.gauges) == (engine, counters, gauges)


def test_the_scheduler_of_sglang_says_what_was_computed_where_nothing_else_does() -> None:
    assert read_engine(SGLANG.replace(b"sglang:", b"sglang_") + SMG, POD, 0.0).counters[PREFILL] == 55


def test_a_hit_rate_that_is_one_is_no_word_on_what_was_cached() -> None:
    assert PREFILL not in read_engine(RAY.replace(b"} -1.0", b"} 0.31"), POD, 0.0).counters


def test_latencies_of_nim_are_timed() -> None:
    found = timed(NIM, LatencyLimits(first_token_seconds=0.5))
    assert (found.counters[Counter.FIRST_TOKENS_TIMED], found.counters[Counter.FIRST_TOKENS_IN_TIME]) == (5, 4)
