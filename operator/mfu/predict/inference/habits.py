"""What a serving engine schedules where nothing is declared: tokens of a step, requests at once."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.hardware.catalog import device_memory
from mfu.hardware.types import Device
from mfu.predict.inference.constants import UNSTATED, engine_key, release

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


def launches_from_python(engine: str | None) -> bool:
    """Whether the engine decodes kernel by kernel: `generate` of Hugging Face transformers, and what is built on it."""
    return engine_key(engine) == _TRANSFORMERS


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
