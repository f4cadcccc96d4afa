"""Serving engines: prefill and decode apart, cached and rejected tokens not counted, ranks not added up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import ScrapedPod

POD = ScrapedPod("team-b", "svc-0")

VLLM = b"""# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 1000.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 500.0
vllm:prompt_tokens_cached_total{engine="0",model_name="m"} 400.0
vllm:prompt_tokens_cached_total{engine="1",model_name="m"} 0.0
vllm:generation_tokens_total{engine="0",model_name="m"} 70.0
vllm:generation_tokens_total{engine="1",model_name="m"} 30.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 999.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 55.0
vllm:num_requests_running{engine="0",model_name="m"} 7.0
vllm:num_requests_running{engine="1",model_name="m"} 5.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.9
vllm:num_preemptions_total{engine="0",model_name="m"} 3.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 12345.0
"""

SGLANG = b"""sglang:prompt_tokens_total{model_name="m",tp_rank="0",pp_rank="0",dp_rank="0"} 800
sglang:prompt_tokens_total{model_name="m",tp_rank="1",pp_rank="0",dp_rank="0"} 800
sglang:prompt_tokens_total{model_name="m",tp_rank="0",pp_rank="0",dp_rank="1"} 200
sglang:cached_tokens_total{model_name="m",tp_rank="0",pp_rank="0",dp_rank="0",cache_source="device"} 100
sglang:cached_tokens_total{model_name="m",tp_rank="1",pp_rank="0",dp_rank="0",cache_source="device"} 100
sglang:cached_tokens_total{model_name="m",tp_rank="0",pp_rank="0",dp_rank="0",cache_source="host"} 50
sglang:generation_tokens_total{model_name="m",tp_rank="0",pp_rank="0",dp_rank="0"} 60
sglang:generation_tokens_total{model_name="m",tp_rank="1",pp_rank="0",dp_rank="0"} 60
sglang:num_running_reqs{model_name="m",tp_rank="0"} 4
sglang:num_running_reqs{model_name="m",tp_rank="1"} 4
sglang:token_usage{model_name="m",tp_rank="0"} 0.25
"""

TGI = b"""tgi_request_generated_tokens_sum 640
tgi_request_generated_tokens_count 10
tgi_request_input_length_sum 20480
tgi_batch_current_size 6
tgi_queue_size 1
"""

TRTLLM = b"""trtllm_prompt_tokens_total{model_name="m",engine_type="trtllm"} 900
trtllm_prompt_cached_tokens_total{model_name="m",engine_type="trtllm"} 100
trtllm_generation_tokens_total{model_name="m",engine_type="trtllm"} 90
trtllm_num_requests_running{model_name="m",engine_type="trtllm"} 3
trtllm_kv_cache_utilization{model_name="m",engine_type="trtllm"} 0.1
"""

TRITON_TRTLLM = b"""nv_inference_pending_request_count{model="m",version="1"} 4
nv_llm_output_token_len_sum{model="m",response_metric_type="total_output_tokens",version="1"} 512
nv_llm_input_token_len_sum{model="m",response_metric_type="total_input_tokens",version="1"} 4096
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 8
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="m",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m",version="1"} 0.3
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m",version="1"} 9000
"""

DYNAMO = b"""dynamo_frontend_output_tokens_total{model="m"} 300
dynamo_frontend_input_sequence_tokens_sum{model="m"} 5000
dynamo_frontend_cached_tokens_sum{model="m"} 1000
dynamo_frontend_inflight_requests{model="m"} 12
dynamo_frontend_queued_requests{model="m"} 1
"""

PREFILL, DECODE = Counter.PREFILL_TOKENS, Counter.DECODE_TOKENS
RUNNING, WAITING, KV = Gauge.RUNNING_REQUESTS, Gauge.WAITING_REQUESTS, Gauge.KV_CACHE_USAGE


@pytest.mark.parametrize(
    ("body", "name", "counters", "gauges"),
    [
        (VLLM, "vLLM", {PREFILL: 1100, DECODE: 100}, {RUNNING: 12, WAITING: 2, KV: 0.9, Gauge.PREEMPTIONS: 3}),
        (SGLANG, "SGLang", {PREFILL: 850, DECODE: 60}, {RUNNING: 4, KV: 0.25}),
        (TGI, "TGI", {DECODE: 640}, {RUNNING: 6, WAITING: 1}),
        (TRTLLM, "TensorRT-LLM", {PREFILL: 800, DECODE: 90}, {RUNNING: 3, KV: 0.1}),
        (TRTLLM.replace(b"trtllm_", b"trtllm:"), "TensorRT-LLM", {PREFILL: 800, DECODE: 90}, {RUNNING: 3, KV: 0.1}),
        (TRITON_TRTLLM, "Triton TensorRT-LLM backend", {DECODE: 512}, {RUNNING: 8, WAITING: 2, KV: 0.3}),
        (b"nv_inference_pending_request_count 4\n", "Triton", {}, {WAITING: 4}),
        (DYNAMO, "Dynamo frontend", {PREFILL: 4000, DECODE: 300}, {RUNNING: 12, WAITING: 1}),
        (DYNAMO + VLLM, "vLLM", {PREFILL: 1100, DECODE: 100}, {RUNNING: 12, WAITING: 2, KV: 0.9, Gauge.PREEMPTIONS: 3}),
    ],
)
def test_each_engine(body: bytes, name: str, counters: dict[Counter, float], gauges: dict[Gauge, float]) -> None:
    found = read_engine(body, POD, 5.0)
    assert (found.source, found.namespace, found.pod, found.observed_at) == (name, "team-b", "svc-0", 5.0)
    assert found.counters == counters
    assert found.gauges == gauges
    assert not found.scope_total


def test_tokens_that_were_computed_here_are_the_best_prefill() -> None:
    by_source = b"""vllm:prompt_tokens_by_source_total{engine="0",source="local_compute"} 600.0
vllm:prompt_tokens_by_source_total{engine="0",source="local_cache_hit"} 300.0
vllm:prompt_tokens_by_source_total{engine="0",source="external_kv_transfer"} 600.0
"""
    assert read_engine(VLLM + by_source, POD, 0.0).counters[PREFILL] == 600


def test_prefill_is_unknown_where_caching_is() -> None:
    uncached = b"vllm:prompt_tokens_total 1000\nvllm:generation_tokens_total 5\n"
    assert read_engine(uncached, POD, 0.0).counters == {DECODE: 5}
    assert read_engine(uncached, POD, 0.0, prefix_caching=False).counters == {PREFILL: 1000, DECODE: 5}


def test_older_vllm_counts_prefix_hits() -> None:
    body = b"vllm:prompt_tokens_total 1000\nvllm:prefix_cache_hits_total 256\nvllm:generation_tokens_total 5\n"
    assert read_engine(body, POD, 0.0).counters[PREFILL] == 744


@pytest.mark.parametrize("value", ["NaN", "-5", "+Inf", "9223372036854775808", "bogus", "1_0"])
def test_a_broken_counter_is_unknown(value: str) -> None:
    body = VLLM.replace(b"} 30.0\n", f"}} {value}\n".encode())
    assert read_engine(body, POD, 0.0).counters == {PREFILL: 1100}


def test_a_cut_body_counts_nothing() -> None:
    assert read_engine(VLLM[: VLLM.index(b"} 30.0") + 3], POD, 0.0).counters == {}


def test_a_body_of_no_engine_is_refused() -> None:
    with pytest.raises(NotExposition) as refused:
        read_engine(b"up 1\n", POD, 0.0)
    assert refused.value.source == "team-b/svc-0"
    assert "spec.progress" in refused.value.fix


BLOCKS = b"""# HELP vllm:gpu_prefix_cache_hits_total GPU prefix cache hits, in terms of number of cached blocks.
# TYPE vllm:gpu_prefix_cache_hits_total counter
vllm:gpu_prefix_cache_hits_total{engine="0"} 50000.0
vllm:gpu_prefix_cache_queries_total{engine="0"} 62500.0
vllm:prompt_tokens_total{engine="0"} 1000000.0
vllm:generation_tokens_total{engine="0"} 250000.0
"""
SIZE = b'vllm:cache_config_info{block_size="16",engine="0"} 1.0\n'
SILENT = BLOCKS[BLOCKS.index(b"vllm:gpu_prefix_cache_hits_total{") :]


@pytest.mark.parametrize(
    ("body", "prefill"),
    [
        pytest.param(BLOCKS + SIZE, 200_000, id="HELP says blocks"),
        pytest.param(BLOCKS, None, id="blocks of unknown size"),
        pytest.param(SILENT + SIZE, 200_000, id="as many queries as blocks of prompts"),
        pytest.param(SILENT.replace(b"62500", b"1000000") + SIZE, 950_000, id="as many queries as tokens"),
        pytest.param(SILENT.replace(b"62500", b"3000000") + SIZE, None, id="as many queries as neither"),
        pytest.param(BLOCKS.replace(b"cached blocks", b"cached tokens") + SIZE, 950_000, id="HELP says tokens"),
        pytest.param(BLOCKS.replace(b"hits_total counter", b"hits_total gauge") + SIZE, None, id="no counter"),
    ],
)
def test_the_unit_of_cache_hits_is_what_the_page_says(body: bytes, prefill: float | None) -> None:
    """vllm pull request 18003: hits were blocks before it, and HELP said so."""
    assert read_engine(body, POD, 0.0).counters.get(PREFILL) == prefill


TOKENS = b"vllm:prompt_tokens_total 67000\nvllm:prefix_cache_hits_total 1000\nvllm:generation_tokens_total 5\n"


@pytest.mark.parametrize(
    ("more", "prefill"),
    [
        pytest.param(
            b"vllm:external_prefix_cache_hits_total 65000\n", 1000, id="what a connector brought was not computed"
        ),
        pytest.param(b"vllm:nixl_xfer_time_seconds_count 12\n", None, id="a connector of which nothing is counted"),
        pytest.param(b"", 66000, id="no connector"),
    ],
)
def test_kv_from_a_connector_is_no_prefill(more: bytes, prefill: float | None) -> None:
    assert read_engine(TOKENS + more, POD, 0.0).counters.get(PREFILL) == prefill


def test_sglang_with_underscores_is_sglang() -> None:
    """sglang pull request 12970 and dynamo pull request 5701 write `sglang_`."""
    found = read_engine(SGLANG.replace(b"sglang:", b"sglang_"), POD, 5.0)
    assert (found.source, found.counters) == ("SGLang", read_engine(SGLANG, POD, 5.0).counters)


@pytest.mark.parametrize(
    ("case", "prefill", "decode"), [("09-vllm-blocks", 2e5, 2.5e5), ("10-sglang-underscore", 4e5, 2.5e5)]
)
def test_field_cases(case: str, prefill: float, decode: float) -> None:
    page = Path(__file__).parents[3] / "shared" / "data" / "field_cases" / f"{case}.prom"
    assert read_engine(page.read_bytes(), POD, 0.0).counters == {PREFILL: prefill, DECODE: decode}


@pytest.mark.parametrize("prefix", ["ray_vllm:", "ray_vllm_", "vllm_"])
def test_vllm_behind_ray_and_gateways(prefix: str) -> None:
    """Ray's dashboard of Serve LLM (serve_llm_dashboard_panels.py) asks for `ray_vllm_generation_tokens_total`."""
    found = read_engine(VLLM.replace(b"vllm:", prefix.encode()), POD, 5.0)
    assert (found.source, found.counters) == ("vLLM", {PREFILL: 1100, DECODE: 100})


def test_a_page_that_says_there_is_no_cache() -> None:
    """vLLM's first engine names no hits, but its configuration says that prefix caching is off."""
    page = b"vllm:prompt_tokens_total 1000\nvllm:generation_tokens_total 5\n"
    config = b'vllm:cache_config_info{block_size="16",enable_prefix_caching="%s"} 1.0\n'
    assert read_engine(page + config % b"False", POD, 0.0).counters[PREFILL] == 1000
    assert PREFILL not in read_engine(page + config % b"True", POD, 0.0).counters


def test_what_a_connector_hides_is_counted_when_requests_end() -> None:
    """`request_prefill_kv_computed_tokens`: new KV tokens of the prefill, without cached ones."""
    hidden = TOKENS + b"vllm:nixl_xfer_time_seconds_count 12\n"
    assert PREFILL not in read_engine(hidden, POD, 0.0).counters
    told = hidden + b"vllm:request_prefill_kv_computed_tokens_sum 1800\n"
    assert read_engine(told, POD, 0.0).counters[PREFILL] == 1800


def test_a_decode_engine_of_sglang_computes_no_prompt() -> None:
    """Disaggregated: prefill and decode engines count the same prompts, told apart by `engine_type`."""
    decode = SGLANG.replace(b'model_name="m"', b'engine_type="decode",model_name="m"')
    assert read_engine(decode, POD, 0.0).counters == {PREFILL: 0, DECODE: 60}
    prefill = SGLANG.replace(b'model_name="m"', b'engine_type="prefill",model_name="m"')
    assert read_engine(prefill, POD, 0.0).counters[PREFILL] == 850


@pytest.mark.parametrize(
    ("body", "name", "counters"),
    [
        (
            b"llamacpp:prompt_tokens_total 400\nllamacpp:tokens_predicted_total 90\nllamacpp:requests_processing 2\n",
            "llama.cpp",
            {PREFILL: 400, DECODE: 90},
        ),
        (b"lmdeploy:prompt_tokens_total 400\nlmdeploy:generation_tokens_total 90\n", "LMDeploy", {DECODE: 90}),
        (b"prompt_tokens_total 400\ngeneration_tokens_total 90\nnum_requests_running 3\n", "NIM", {DECODE: 90}),
    ],
)
def test_more_engines(body: bytes, name: str, counters: dict[Counter, float]) -> None:
    found = read_engine(body, POD, 0.0)
    assert (found.source, found.counters) == (name, counters)
