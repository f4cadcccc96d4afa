"""What a serving engine schedules where nothing is declared: tokens of a step, requests at once."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.hardware.catalog import device_memory
from mfu.hardware.types import Device
from mfu.predict.inference.constants import engine_key

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


USUAL = Habit(8192, 2048)
"""TensorRT-LLM's `max_num_tokens` and `max_batch_size`; taken for engines that nobody names."""


def habit_of(engine: str | None, device: Device) -> Habit:
    """The engine's default on that GPU. `habit_of("vLLM", A100-SXM4-80GB) == Habit(2048, 256)`.

    vLLM: `get_batch_defaults` of vllm/engine/arg_utils.py, OpenAI server (8,192 and 1,024 from 70 GiB on, the A100
    excepted; else 2,048 and 256). SGLang: `chunked_prefill_size` of sglang/srt/server_args.py by memory.
    """
    key, memory = engine_key(engine), device_memory(device)
    if key == "vllm":
        small = memory < _LARGE or device.gpu.key.startswith("a100")
        return Habit(2048, 256) if small else Habit(8192, 1024)
    if key == "sglang":
        return Habit(2048 if memory < _SMALL else 8192 if memory < _HUGE else 16384, USUAL.batch)
    return USUAL
