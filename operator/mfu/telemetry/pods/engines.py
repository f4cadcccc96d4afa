"""Serving engines' own counters → ProgressReading: prefill and decode apart, cached and rejected tokens left out.

Names as read in the engines' sources; a counter that cannot be told apart from cached work stays out (unknown).
`generation_tokens` of every engine counts emitted tokens, so rejected speculative tokens are never in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from mfu.observe.readings import Counter, Gauge, ProgressReading
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.described import Description, described
from mfu.telemetry.pods.progress import ScrapedPod
from mfu.telemetry.text.series import Series, read

_Names = tuple[str, ...]
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Where one engine keeps what we need. Each tuple lists spellings in order of preference.

    `computed`: prompt tokens that were really computed, the best there is. Else `prompt` less `cached`, those that came
    from its own cache, and less `external`, those whose KV another engine or a store sent (`connector` names show that
    one may). With neither, prefill is known only if the caller vouches that no prefix cache is on.
    `computed_at_end`: the same, counted when a request ends; the next best thing where a connector hides the rest.
    `hit_rate`: a gauge that stands at -1 where the engine has no prefix cache at all.
    `queried` and `config` (its label `block_size`) tell whether cached is counted in tokens or in blocks, where HELP
    does not; its label `enable_prefix_caching` whether there is a cache at all.
    `elsewhere`: series with this label repeat prompts that another engine computed.
    `ranks`: labels whose values repeat the same work.
    """

    name: str
    decode: _Names
    prompt: _Names = ()
    cached: _Names = ()
    external: _Names = ()
    computed: _Names = ()
    computed_where: tuple[str, str] | None = None
    connector: _Names = ()
    queried: _Names = ()
    config: _Names = ()
    computed_at_end: _Names = ()
    at_end_where: tuple[str, str] | None = None
    hit_rate: _Names = ()
    elsewhere: tuple[str, str] | None = None
    running: _Names = ()
    waiting: _Names = ()
    kv_usage: _Names = ()
    preemptions: _Names = ()
    ranks: _Names = ()
    running_where: tuple[str, str] | None = None
    waiting_where: tuple[str, str] | None = None
    kv_where: tuple[str, str] | None = None

    def names(self) -> frozenset[str]:
        return frozenset(
            name
            for names in (
                self.decode,
                self.prompt,
                self.cached,
                self.external,
                self.computed,
                self.running,
                self.waiting,
            )
            for name in names
        ) | frozenset((*self.kv_usage, *self.preemptions))

    def wanted(self) -> frozenset[str]:
        """With what only helps to understand the others: seeing it is no sign of this engine."""
        return self.names() | frozenset(
            (*self.connector, *self.queried, *self.config, *self.computed_at_end, *self.hit_rate)
        )


def _both(prefixes: tuple[str, ...], name: str) -> _Names:
    return tuple(f"{prefix}{name}" for prefix in prefixes)


_VLLM: Final = ("vllm:", "ray_vllm:", "ray_vllm_", "vllm_")
"""Ray Serve writes `ray_` before vLLM's names and, in newer versions, an underscore for the colon; so do gateways."""
_TRTLLM: Final = ("trtllm_", "trtllm:")

VLLM: Final = EngineMetrics(
    name="vLLM",
    decode=_both(_VLLM, "generation_tokens_total"),
    prompt=_both(_VLLM, "prompt_tokens_total"),
    cached=(
        *_both(_VLLM, "prompt_tokens_cached_total"),
        *_both(_VLLM, "prefix_cache_hits_total"),
        *_both(_VLLM, "gpu_prefix_cache_hits_total"),
    ),
    external=_both(_VLLM, "external_prefix_cache_hits_total"),
    connector=(*_both(_VLLM, "nixl_xfer_time_seconds_count"), *_both(_VLLM, "nixl_bytes_transferred_count")),
    queried=(*_both(_VLLM, "prefix_cache_queries_total"), *_both(_VLLM, "gpu_prefix_cache_queries_total")),
    config=_both(_VLLM, "cache_config_info"),
    computed=_both(_VLLM, "prompt_tokens_by_source_total"),
    computed_where=("source", "local_compute"),
    computed_at_end=_both(_VLLM, "request_prefill_kv_computed_tokens_sum"),
    hit_rate=_both(_VLLM, "gpu_prefix_cache_hit_rate"),
    running=_both(_VLLM, "num_requests_running"),
    waiting=_both(_VLLM, "num_requests_waiting"),
    kv_usage=(*_both(_VLLM, "kv_cache_usage_perc"), *_both(_VLLM, "gpu_cache_usage_perc")),
    preemptions=_both(_VLLM, "num_preemptions_total"),
)
"""`…_perc` is a fraction 0…1 in spite of its name. Hits were counted in blocks until pull request 18003 (0.9); before
there were counters (0.6) a hit rate of -1 said that nothing is cached.
"""

_SGLANG: Final = ("sglang:", "sglang_")
"""Its router and Dynamo write the name with an underscore."""
SGLANG: Final = EngineMetrics(
    name="SGLang",
    decode=_both(_SGLANG, "generation_tokens_total"),
    prompt=_both(_SGLANG, "prompt_tokens_total"),
    cached=_both(_SGLANG, "cached_tokens_total"),
    computed_at_end=_both(_SGLANG, "realtime_tokens_total"),
    at_end_where=("mode", "prefill_compute"),
    running=_both(_SGLANG, "num_running_reqs"),
    waiting=_both(_SGLANG, "num_queue_reqs"),
    kv_usage=_both(_SGLANG, "token_usage"),
    elsewhere=("engine_type", "decode"),
    ranks=("tp_rank", "pp_rank", "moe_ep_rank"),
)

LMDEPLOY: Final = EngineMetrics(
    name="LMDeploy",
    decode=("lmdeploy:generation_tokens_total",),
    prompt=("lmdeploy:prompt_tokens_total",),
    running=("lmdeploy:num_requests_running",),
    waiting=("lmdeploy:num_requests_waiting",),
    kv_usage=("lmdeploy:gpu_cache_usage_perc",),
)
"""lmdeploy/metrics/loggers.py. Nothing tells cached prompt tokens apart."""

LLAMA_CPP: Final = EngineMetrics(
    name="llama.cpp",
    decode=("llamacpp:tokens_predicted_total",),
    computed=("llamacpp:prompt_tokens_total",),
    running=("llamacpp:requests_processing",),
    waiting=("llamacpp:requests_deferred",),
    kv_usage=("llamacpp:kv_cache_usage_ratio",),
)
"""tools/server: prompt tokens processed, those found in a slot's cache left out."""

TGI: Final = EngineMetrics(
    name="TGI",
    decode=("tgi_request_generated_tokens_sum",),
    prompt=("tgi_request_input_length_sum",),
    running=("tgi_batch_current_size",),
    waiting=("tgi_queue_size",),
)
"""No token counter: the histogram sums step when a request ends, so short windows are uneven."""

TRTLLM_SERVE: Final = EngineMetrics(
    name="TensorRT-LLM",
    decode=_both(_TRTLLM, "generation_tokens_total"),
    prompt=_both(_TRTLLM, "prompt_tokens_total"),
    cached=(*_both(_TRTLLM, "prompt_cached_tokens_total"), *_both(_TRTLLM, "prompt_tokens_cached_total")),
    running=_both(_TRTLLM, "num_requests_running"),
    waiting=_both(_TRTLLM, "num_requests_waiting"),
    kv_usage=_both(_TRTLLM, "kv_cache_utilization"),
)

TRITON_TRTLLM: Final = EngineMetrics(
    name="Triton TensorRT-LLM backend",
    decode=("nv_llm_output_token_len_sum",),
    prompt=("nv_llm_input_token_len_sum",),
    running=("nv_trt_llm_request_metrics",),
    waiting=("nv_trt_llm_request_metrics",),
    kv_usage=("nv_trt_llm_kv_cache_block_metrics",),
    running_where=("request_type", "scheduled"),
    waiting_where=("request_type", "waiting"),
    kv_where=("kv_cache_block_type", "fraction"),
)
"""The `nv_trt_llm_*` gauges hold the last iteration only; no total can be made of them."""

TRITON: Final = EngineMetrics(name="Triton", decode=(), waiting=("nv_inference_pending_request_count",))
"""Requests and batches only: no tokens, so no progress, yet the queue is evidence."""

DYNAMO_FRONTEND: Final = EngineMetrics(
    name="Dynamo frontend",
    decode=("dynamo_frontend_output_tokens_total", "dynamo_frontend_output_sequence_tokens_sum"),
    prompt=("dynamo_frontend_input_sequence_tokens_sum",),
    cached=("dynamo_frontend_cached_tokens_sum",),
    running=("dynamo_frontend_inflight_requests",),
    waiting=("dynamo_frontend_queued_requests",),
)
"""Counts what its workers did: leave it out where the workers' own engine counters are read."""

NIM: Final = EngineMetrics(
    name="NIM",
    decode=("generation_tokens_total",),
    prompt=("prompt_tokens_total",),
    running=("num_requests_running",),
    waiting=("num_requests_waiting",),
    kv_usage=("gpu_cache_usage_perc",),
)
"""NVIDIA NIM for LLMs serves its engine's names without a prefix (its documentation, "Observability")."""

ENGINES: Final = (
    VLLM,
    SGLANG,
    TRTLLM_SERVE,
    TGI,
    LMDEPLOY,
    LLAMA_CPP,
    TRITON_TRTLLM,
    TRITON,
    DYNAMO_FRONTEND,
    NIM,
)
"""In order of trust: a Dynamo worker passes its engine's own counters through, which beat the frontend's."""
_ALL_NAMES: Final = frozenset(name for engine in ENGINES for name in engine.wanted())


def read_engine(body: bytes, pod: ScrapedPod, at: float, *, prefix_caching: bool | None = None) -> ProgressReading:
    """Reading of whichever engine serves this body. `prefix_caching=False` vouches that no prompt token is cached.

    Raises NotExposition when no known engine's names are there.
    """
    series = read(body, _ALL_NAMES)
    engine = next((each for each in ENGINES if not series.names().isdisjoint(each.names())), None)
    if engine is None:
        fix = "declare a counter in spec.progress"
        raise NotExposition(f"{pod.namespace}/{pod.name}", "serves no counters of a known engine", fix)
    return ProgressReading(
        namespace=pod.namespace,
        pod=pod.name,
        source=engine.name,
        observed_at=at,
        counters=_known(_counters(EnginePage(series, described(body, _ALL_NAMES)), engine, prefix_caching)),
        gauges=_known(_gauges(series, engine)),
    )


@dataclass(frozen=True, slots=True)
class EnginePage:
    """Samples with what the page says of them."""

    series: Series
    about: Mapping[str, Description]

    def total(self, names: _Names, engine: EngineMetrics, where: tuple[str, str] | None = None) -> float | None:
        """Of the first name that is there; None where the page calls it anything but a counter."""
        name = self.first(names)
        if name is None or not (self.about[name].counts or name.endswith("_sum")):
            return None
        return self.series.total(name, ignoring=engine.ranks, where=where)

    def here(self, names: _Names, engine: EngineMetrics) -> float | None:
        """Without the series that repeat what another engine did; nothing is left where all of them do."""
        whole = self.total(names, engine)
        if whole is None or engine.elsewhere is None:
            return whole
        return whole - (self.total(names, engine, engine.elsewhere) or 0.0)

    def label(self, names: _Names, wanted: str) -> str:
        """The one value of a label; empty where there is none or several."""
        name = self.first(names)
        values = {dict(labels).get(wanted, "") for labels in self.series.by_name.get(name or "", {})}
        return values.pop() if len(values) == 1 else ""

    def first(self, names: _Names) -> str | None:
        return next((name for name in names if name in self.series.names()), None)


def _counters(page: EnginePage, engine: EngineMetrics, prefix_caching: bool | None) -> dict[Counter, float | None]:
    return {
        Counter.PREFILL_TOKENS: _prefill(page, engine, prefix_caching),
        Counter.DECODE_TOKENS: page.total(engine.decode, engine),
    }


def _prefill(page: EnginePage, engine: EngineMetrics, prefix_caching: bool | None) -> float | None:
    computed = page.total(engine.computed, engine, engine.computed_where)
    if computed is not None:
        return computed
    found = _of_the_rest(page, engine, prefix_caching)
    return found if found is not None else page.total(engine.computed_at_end, engine, engine.at_end_where)


def _of_the_rest(page: EnginePage, engine: EngineMetrics, prefix_caching: bool | None) -> float | None:
    """Prompt tokens less those that were cached here or sent from elsewhere."""
    prompt, external = page.here(engine.prompt, engine), page.total(engine.external, engine)
    if prompt is None or (external is None and page.first(engine.connector) is not None):
        return None
    off = prefix_caching is False or _no_cache(page, engine) or prompt == 0.0
    cached = 0.0 if off else _cached_tokens(page, engine, prompt)
    sent = 0.0 if (page.first(engine.cached) or "").endswith(_WITH_EXTERNAL) else external or 0.0
    return None if cached is None else max(prompt - cached - sent, 0.0)


def _cached_tokens(page: EnginePage, engine: EngineMetrics, prompt: float) -> float | None:
    """Hits in tokens: as HELP says, else as the number of queries shows; None where neither tells."""
    name, hits = page.first(engine.cached), page.here(engine.cached, engine)
    if name is None or hits is None:
        return None
    said = page.about[name].help
    size = _block_size(page, engine)
    if "block" in said:
        return None if size is None else hits * size
    if "token" in said or not name.endswith(_IN_BLOCKS_ONCE):
        return hits
    return _by_queries(page, engine, hits, prompt=prompt, size=size)


_WITH_EXTERNAL: Final = "prompt_tokens_cached_total"
_IN_BLOCKS_ONCE: Final = "gpu_prefix_cache_hits_total"


def _by_queries(
    page: EnginePage, engine: EngineMetrics, hits: float, *, prompt: float, size: float | None
) -> float | None:
    """Every prompt token is looked up once: as many queries as tokens, or as blocks."""
    queried = page.total(engine.queried, engine)
    if not queried or not prompt:
        return 0.0 if hits == 0 else None
    for unit in (1.0, size):
        if unit is not None and abs(queried * unit / prompt - 1) <= LOOKED_UP:
            return hits * unit
    return None


LOOKED_UP: Final = 0.1
"""Relative difference between tokens looked up and tokens of prompts: requests in flight, partial blocks."""


def _block_size(page: EnginePage, engine: EngineMetrics) -> float | None:
    text = page.label(engine.config, "block_size")
    return float(text) if text.isdecimal() and int(text) > 0 else None


def _no_cache(page: EnginePage, engine: EngineMetrics) -> bool:
    """The page itself says that prompts are computed anew."""
    rate = page.first(engine.hit_rate)
    if rate is not None and set(page.series.by_name[rate].values()) == {_NO_CACHE}:
        return True
    return page.label(engine.config, "enable_prefix_caching").lower() == "false"


_NO_CACHE: Final = -1.0


def _gauges(series: Series, engine: EngineMetrics) -> dict[Gauge, float | None]:
    usage = series.largest(*engine.kv_usage, where=engine.kv_where)
    return {
        Gauge.RUNNING_REQUESTS: series.total(*engine.running, ignoring=engine.ranks, where=engine.running_where),
        Gauge.WAITING_REQUESTS: series.total(*engine.waiting, ignoring=engine.ranks, where=engine.waiting_where),
        Gauge.KV_CACHE_USAGE: usage if usage is not None and usage <= 1 else None,
        Gauge.PREEMPTIONS: series.total(*engine.preemptions, ignoring=engine.ranks),
    }


def _known(values: dict[_Key, float | None]) -> dict[_Key, float]:
    return {key: value for key, value in values.items() if value is not None}
