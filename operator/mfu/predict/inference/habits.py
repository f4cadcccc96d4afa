"""What a serving engine schedules where nothing is declared: tokens of a step, requests at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mfu.hardware.catalog import device_memory
from mfu.hardware.types import GPU, Device
from mfu.predict.inference.constants import UNSTATED, engine_key
from mfu.predict.releases import release
from mfu.predict.types import Compilation

_GIB = 2.0**30
_LARGE = 70 * _GIB
_HUGE = 160 * _GIB
_SMALL = 35 * _GIB


@dataclass(frozen=True, slots=True)
class Habit:
    batch_tokens: int
    """Scheduled tokens of one step, over all its requests."""
    batch: int
    """Requests at once in each attention group."""
    card_share: float = 0.0
    """Part of the whole memory that weights, work space and cache may fill; 0 where the engine takes a part of what
    weights leave (TensorRT-LLM's `kv_cache_free_gpu_mem_fraction`)."""
    prompts_first: bool = False
    """Reads all waiting prompts before it decodes on (`enable_mixed_chunk` off); else both share a step."""


_FIRST_GROUP = 8
_TRANSFORMERS = "transformers"
_VLLM_SHARE = 0.9
_SGLANG_SHARE = 0.87

USUAL = Habit(8192, 2048)
"""TensorRT-LLM's `max_num_tokens` and `max_batch_size`; taken for engines that nobody names."""


def habit_of(engine: str | None, device: Device) -> Habit:
    """The engine's default on that GPU. `habit_of("vLLM", A100-SXM4-80GB) == Habit(2048, 256, 0.9)`.

    vLLM: `get_batch_defaults` of vllm/engine/arg_utils.py, OpenAI server (8,192 and 1,024 from 70 GiB on, the A100
    excepted; else 2,048 and 256), and `gpu_memory_utilization`. SGLang: `chunked_prefill_size` by memory, and
    `mem_fraction_static`, of sglang/srt/server_args.py.
    """
    key, memory = engine_key(engine), device_memory(device)
    if key == "vllm":
        small = memory < _LARGE or device.gpu.key.startswith("a100")
        return Habit(2048, 256, _VLLM_SHARE) if small else Habit(8192, 1024, _VLLM_SHARE)
    if key == "sglang":
        tokens = 2048 if memory < _SMALL else 8192 if memory < _HUGE else 16384
        return Habit(tokens, USUAL.batch, _SGLANG_SHARE, prompts_first=True)
    return USUAL


_FUSED = 0.65
"""Launches of a layer of fused kernels over those of Hugging Face modules: TGI 1.2 takes 0.58 to 0.66 ms a layer of
CodeLlama-34B on two and four H100 whatever the GPU has to do, where transformers take 0.88 ms a layer."""
_GRAPHS_SINCE = {"vllm": (0, 3), "tgi": (2, 0)}
"""First release of Python engines that decodes in CUDA graphs by default (0.2.6 of vLLM, told apart by its second
number alone)."""
_WAITS_BEFORE = {"NVIDIA": (0, 6), "AMD": (0, 7)}
"""First release of vLLM that works on requests while the GPU runs (its blog of 5 September 2024: before, the GPU ran
38 % of the time of Llama-3-8B on H100). On AMD 0.6.1 and 0.6.4 still grow in proportion to the batch
(LLM-Inference-Bench; dstackai/benchmarks)."""
_OVERLAPS_SINCE, _BEFORE_OVERLAP = (0, 4), 0.2
"""SGLang schedules the next batch while the GPU runs since 0.4, which made it 1.1 times as fast (its blog of 4 December
2024): a fifth of what vLLM lost before 0.6, which came out 2.7 times as fast by more than that (5 September 2024)."""
_SERVERS = frozenset({"vllm", "sglang", "tgi", "tensorrtllm", "lmdeploy", "autoawq"})
"""Engines whose kernels are fused by hand; other programs launch one kernel an operation where nothing is compiled."""
_C_ENGINES = frozenset({"tensorrtllm", "llamacpp", "lmdeploy", "fastertransformer", "exllama", "mlc"})


def launched_from_python(engine: str | None, version: str | None, compilation: Compilation | None) -> float:
    """Time that the host needs to launch a layer over that of Hugging Face modules; 0 where CUDA graphs hold it.

    By default `generate` of Hugging Face transformers decodes kernel by kernel, and engines before their CUDA graphs;
    others where the declaration says that nothing is compiled.
    """
    key, number = engine_key(engine), release(version)
    if compiled(compilation) or key in _C_ENGINES:
        return 0.0
    if runs_modules(engine):
        return 1.0
    older = number is not None and number < _GRAPHS_SINCE.get(key, (0, 0))
    if not older and (compilation is not Compilation.NONE or not key):
        return 0.0
    return _FUSED if key in _SERVERS else 1.0


def waits_for_requests(engine: str | None, version: str | None, vendor: str) -> float:
    """How far the engine samples, detokenises and schedules between steps, while the GPU stands still: 1 for an old
    vLLM."""
    key, number = engine_key(engine), release(version)
    if number is None:
        return 0.0
    if key == "sglang":
        return _BEFORE_OVERLAP if number < _OVERLAPS_SINCE else 0.0
    return float(key == "vllm" and number < _WAITS_BEFORE.get(vendor, (0, 0)))


def runs_modules(engine: str | None) -> bool:
    """Whether the modules of Hugging Face transformers run.

    `repeat_kv` writes keys and values once for each query head; `DynamicCache.update` concatenates, where a compiled
    model has a `StaticCache` of prompt and answer.
    """
    return engine_key(engine) == _TRANSFORMERS


def compiled(compilation: Compilation | None) -> bool:
    return compilation in (Compilation.FULL, Compilation.REGIONAL)


def streams_by_hand(engine: str | None) -> bool:
    """Whether products of one token run in kernels that read so many bytes a multiprocessor: llama.cpp's."""
    return engine_key(engine) == "llamacpp"


_BY_HAND = 0.57
"""Rate of llama.cpp's prompts over tuned products: 8B in 16 bit runs at 0.42, 0.42 and 0.36 of the peak of RTX A6000,
A40 and A100, where those reach 0.7 to 0.8 (XiongjieDai/GPU-Benchmarks-on-LLM-Inference)."""
_GEFORCE = re.compile(r"rtx-[2345]0[5-9]0")
_OLD_INSTRUCTIONS = 0.5
"""Of that from Hopper on, whose groups of four warps its kernels do not use: 0.21 of the peak of an H100 PCIe."""


def prompts_by_hand(engine: str | None, gpu: GPU, *, warps: bool) -> float:
    """Matrix rate of an engine whose products are its own over that of tuned ones; 1 for others.

    They add up in 16 bit, which GeForce cards do twice as fast as in 32: 0.90 of the peak of an RTX 3090.
    """
    if not streams_by_hand(engine):
        return 1.0
    doubled = 2.0 if _GEFORCE.match(gpu.key) else 1.0
    return _BY_HAND * doubled * (1.0 if warps or doubled > 1.0 else _OLD_INSTRUCTIONS)


def groups_queries(engine: str | None, version: str | None, queries: float) -> bool:
    """Whether the engine's decode kernel reads the cache once for all query heads that share it.

    TensorRT-LLM's XQA kernel knew groups of 8 alone until 0.10, none until 0.7 (docs/source/gpt_attention.md names
    Llama-2-70B as the one model that it supports); the masked kernel reads keys once for each query head. Tables that
    name no engine are of 2024 and mix both.
    """
    if queries == 1:
        return True
    key, number = engine_key(engine), release(version)
    if key == UNSTATED:
        return queries == _FIRST_GROUP
    if key != "tensorrtllm" or number is None or number >= (0, 10):
        return True
    return number >= (0, 7) and queries == _FIRST_GROUP
