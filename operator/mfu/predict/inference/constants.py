"""The shipped constants of the serving model, fitted once by tools/fit/inference.py and kept in data/constants.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from mfu.predict.releases import release

UNSTATED = "unstated"
"""Engine of published tables that name none; a declaration that names none is an unknown engine."""
_SPELLINGS = (
    ("transformers", "transformers"),
    ("trtllm", "tensorrtllm"),
    ("tensorrt", "tensorrtllm"),
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("textgeneration", "tgi"),
    ("lmdeploy", "lmdeploy"),
    ("exllama", "exllama"),
    ("tabbyapi", "exllama"),
    ("mlcllm", "mlc"),
    ("ollama", "llamacpp"),
    ("lmstudio", "llamacpp"),
    ("kobold", "llamacpp"),
    ("llamafile", "llamacpp"),
)


OLDER = " before "
"""Between an engine and the first release of its next generation."""
_GENERATIONS = {"tensorrtllm": (0, 17), "vllm": (0, 8)}
"""First release of the engine as it is today: TensorRT-LLM's PyTorch backend, vLLM's V1 engine."""


@dataclass(frozen=True, slots=True)
class LearnedStack:
    """What was learned of one engine or product beside the physics."""

    speed: float = 1.0
    """Factor on every rate."""
    host: float = 1.0
    """Factor on the time of launches and of the host's work."""
    doubt: float = 0.0
    """Standard deviation of the logarithm of what is still unknown of `speed`."""


@dataclass(frozen=True, slots=True)
class ServingConstants:
    """Shares are of the datasheet figure; times in seconds. docs/performance-model-inference.md explains each."""

    matmul_16bit: float
    matmul_8bit: float
    matmul_4bit: float
    weight_stream: float
    """Share of memory bandwidth that reading weights reaches."""
    cache_stream: float
    """The same for reading the KV cache in decode."""
    copy_stream: float
    """The same for the copies of the cache that modules make which are not compiled."""
    prefill_attention: float
    decode_attention: float
    dequantise: float
    """Matrix rate with weights widened in the kernel, over the plain rate."""
    narrow_stream: float
    """Rate of reading weights that are widened in the kernel, in bytes, over that of plain ones."""
    dequantise_warps: float
    """The same before Hopper, where no asynchronous unit leaves the widening time beside the products."""
    reread_bytes_per_s: float
    """Rate of the GPU's own cache at which decode kernels that do not group queries read keys and values again."""
    sink_attention: float
    """Prompt attention with learned sinks before Hopper, over the plain one: written in Triton."""
    roofline_power: float
    activation_passes: float
    """Times the hidden state of a token crosses memory in one layer."""
    module_passes: float
    """Added where every operation is a kernel of its own (Hugging Face transformers, not compiled)."""
    layer_seconds: float
    layer_split: float
    """Power of tensor parallelism by which the time of a layer's small kernels shrinks."""
    layer_growth: float
    """Power of the hidden size, over 4096, by which the time of a layer's small kernels grows."""
    layer_speed: float
    """Power of memory bandwidth, over H100's, by which the time of small kernels shrinks."""
    layer_clock: float
    """The same of the highest clock."""
    moe_layer_seconds: float
    eager_layer_seconds: float
    """Added to each layer of a step with prompts, which runs outside CUDA graphs."""
    python_layer_seconds: float
    """What the host needs to launch one layer, kernel by kernel from Python, where no CUDA graph holds them."""
    python_expert_seconds: float
    """The same for each expert of a mixture whose module loops over all of them."""
    reduce_seconds: float
    """Latency of one all-reduce between two GPUs over NVLink; grows with the logarithm of the group."""
    pcie_reduce_seconds: float
    exchange_seconds: float
    """Latency of one dispatch or combine between attention groups."""
    group_coupling: float
    """Power of the attention groups that bring prompts at different steps, where no scheduler aligns them."""
    link_share: float
    link_growth: float
    """Power by which the rate of collectives grows with the link's."""
    pcie_share: float
    step_seconds: float
    """Scheduler, sampler and host work of one step."""
    sequence_seconds: float
    """The same for each running request."""
    waiting_step_seconds: float
    """Host work of a step for which the GPU waits, in engines that schedule between steps (vLLM before 0.6)."""
    waiting_sequence_seconds: float
    """Host work of a running request for which the GPU waits, in engines that sample, detokenise and schedule between
    steps (vLLM before 0.6)."""
    vector_bytes_per_s: float
    """Weights that one multiprocessor streams in products written by hand for one token (llama.cpp)."""
    request_seconds: float
    """HTTP, tokeniser and admission of one request, before its first step."""
    drain: float
    """Turns of its running requests that a closed-loop benchmark loses while it fills and empties."""
    wave: float
    """Part of the prompts of a closed loop that a request waits for before its first token, prompts read first."""
    amd_layer_seconds: float
    stage_seconds: float
    """Lost at each hand-over between pipeline stages in continuous batching, host work included."""
    grouped: float
    """Rate of grouped expert products over plain ones."""
    grouped_warps: float
    """The same before Hopper."""
    grouped_amd: float
    """The same on AMD products."""
    expert_tile: float
    """Rows that the last tile of each touched expert leaves empty."""
    expert_narrow: float
    """Width of an expert's slice on one GPU at which its products reach half of their rate."""
    expert_narrow_warps: float
    """The same before Hopper."""
    expert_passes: float
    """Times the hidden state and the inner state of a token's copy for an expert cross memory."""
    expert_balance: float
    """Mean over busiest expert-parallel rank."""
    memory_share: float
    """Share of what weights leave free that the engine gives to the KV cache."""
    workspace_copies: float
    """16-bit copies of the largest step's hidden state that the engine holds as work space."""
    reserve_bytes: float
    """CUDA context, graphs and work space that no declared quantity scales."""
    usual_speed: float
    """Common factor of all stacks; what an engine or product that nobody measured gets."""
    engines: Mapping[str, LearnedStack] = field(default_factory=dict)
    products: Mapping[str, LearnedStack] = field(default_factory=dict)
    settings: Mapping[str, LearnedStack] = field(default_factory=dict)
    """By `build.setting_of`: one model on one engine, product and precision."""
    doubt: Mapping[str, float] = field(default_factory=dict)
    """Standard deviations of logarithms: what is unknown of an engine and of a product that nobody measured, how far
    sources and series lie apart, and what a row errs by alone, by what its time is made of."""
    reach: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By what is known of engine and product (`doubt.knowledge`): standard deviations that the 80 % band reaches to the
    slower and to the faster side, those of a normal distribution where nothing stands."""
    strangers: Mapping[str, float] = field(default_factory=dict)
    """Speed of engines and products that nobody measured over the common mean."""

    def stack(self, engine: str | None, version: str | None = None) -> LearnedStack:
        """What was learned of an engine of that generation, or of the level that `engine_level` names; else of its
        other generation, with what engines differ by as doubt; the common mean with that where nobody measured it."""
        level = engine if engine and OLDER in engine else engine_level(engine, version)
        if level in self.engines:
            return self.engines[level]
        other = self.engines.get(engine_key(level.split(OLDER)[0]))
        if other is None:
            return LearnedStack(self.strangers.get("engine", 1.0), self.usual_host, self.doubt.get("engine", 0.0))
        return replace(other, doubt=max(other.doubt, self.doubt.get("engine", 0.0)))

    @property
    def usual_host(self) -> float:
        """Host factor of an engine that nobody measured: the geometric mean of those that were, 1 where none was."""
        hosts = [each.host for each in self.engines.values()]
        return math.prod(hosts) ** (1.0 / len(hosts)) if hosts else 1.0

    def product(self, api_name: str) -> LearnedStack:
        """The same of a GPU product."""
        unknown = LearnedStack(self.strangers.get("product", 1.0), doubt=self.doubt.get("product", 0.0))
        return self.products.get(api_name, unknown)

    def setting(self, name: str) -> LearnedStack:
        """The same of one model on one engine, product and precision."""
        return self.settings.get(name) or LearnedStack(doubt=self.doubt.get("series", 0.0))

    def without_stacks(self) -> ServingConstants:
        """The same physics with no engine or product known."""
        return replace(self, usual_speed=1.0, engines={}, products={}, settings={}, strangers={})


@lru_cache(maxsize=1024)
def engine_key(engine: str | None) -> str:
    """`engine_key("TensorRT-LLM") == engine_key("trtllm-serve") == "tensorrtllm"`; None and blank are ""."""
    name = "".join(each for each in (engine or "").lower() if each.isalnum())
    return next((known for part, known in _SPELLINGS if part in name), name)


def engine_level(engine: str | None, version: str | None = None) -> str:
    """The engine and its generation: `engine_level("vLLM", "0.6.1") == "vllm before 0.8"`; "vllm" for 0.11 or none."""
    key, number = engine_key(engine), release(version)
    first = _GENERATIONS.get(key)
    return key if first is None or number is None or number >= first else f"{key}{OLDER}{first[0]}.{first[1]}"


def parse(document: Mapping[str, Any]) -> ServingConstants:
    """Constants from the JSON document: `numbers` by name, three tables of stacks with their factors, `doubt`."""
    numbers = {
        each.name: float(document["numbers"][each.name]["value"])
        for each in fields(ServingConstants)
        if each.type == "float"
    }
    engines, products, settings = (
        {name: LearnedStack(**each) for name, each in document[key].items()}
        for key in ("engines", "products", "settings")
    )
    return ServingConstants(
        **numbers,
        engines=engines,
        products=products,
        settings=settings,
        doubt=dict(document["doubt"]),
        reach={name: (float(slower), float(faster)) for name, (slower, faster) in document.get("reach", {}).items()},
        strangers=dict(document.get("strangers", {})),
    )


def document() -> dict[str, Any]:
    """The JSON document itself: value, prior, unit, meaning and source of each constant."""
    text = (files("mfu.predict.inference") / "data" / "constants.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@lru_cache(maxsize=1)
def load() -> ServingConstants:
    """The constants that the product ships."""
    return parse(document())
