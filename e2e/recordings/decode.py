"""Prompts and steps of generation with models of transformers on one GPU, as JSON lines: eager and compiled.

    PYTHONPATH=. python3 -m e2e.recordings.decode --out decode.jsonl --minutes 5

Random weights in bf16. A line is one prefill of `batch` prompts of `input_tokens`, or one step that writes a token to
each of `batch` requests which hold `context` tokens by then: the cache grows as it is written to (eager) or is of fixed
length, `cache_tokens`, with the whole step a CUDA graph (`compiled`). Medians of `repeats`, and their spread.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

QWEN_06B: Final = {
    "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 32768,
}  # fmt: skip
QWEN_4B: Final = QWEN_06B | {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
}  # fmt: skip
LLAMA_8B: Final = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
    "tie_word_embeddings": False, "max_position_embeddings": 32768,
}  # fmt: skip
TINY: Final = QWEN_06B | {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 256,
}  # fmt: skip
MODELS: Final = {"qwen3-0.6b": QWEN_06B, "qwen3-4b": QWEN_4B, "llama-8b": LLAMA_8B, "tiny": TINY}
BATCHES: Final = (1, 8, 64)
PROMPTS: Final = (128, 2048)
CONTEXT: Final = 1024
"""Tokens that a request holds when its next one is timed."""
CACHE: Final = 2048
REPEATS: Final = 12

Line = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--models", default="qwen3-0.6b,qwen3-4b,llama-8b")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60.0
    for name in arguments.models.split(","):
        if time.monotonic() > end:
            break
        for line in _measured(name, end):
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print({key: value for key, value in line.items() if key != "config"}, flush=True)


def _measured(name: str, end: float) -> Iterator[Line]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device), torch.no_grad():
        config = AutoConfig.for_model(**MODELS[name])
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa").eval()
        common = {
            "gpu": torch.cuda.get_device_name() if device == "cuda" else "CPU", "gpus": 1, "engine": "Transformers",
            "model": name, "config": {**MODELS[name], "architectures": [type(model).__name__]}, "precision": "bf16",
            "attn": "sdpa", "torch": torch.__version__,
        }  # fmt: skip
        for work in (_prefills, _eager_steps, _compiled_steps):
            for line in work(model, config, end):
                yield {**common, **line}
        del model
        torch._dynamo.reset()
        gc.collect()


def _prefills(model: Any, config: Any, end: float) -> Iterator[Line]:
    for batch in BATCHES:
        for length in PROMPTS:
            if time.monotonic() < end and batch * length <= 8 * 2048:
                ids = _ids(config, batch, length)
                seconds = _timed(lambda ids=ids: model(ids, use_cache=True, logits_to_keep=1))  # type: ignore[misc]
                yield {"kind": "prefill", "batch": batch, "input_tokens": length, "compiled": False, **seconds}


def _eager_steps(model: Any, config: Any, end: float) -> Iterator[Line]:
    """The cache is cut back to its length before each step."""
    from transformers import DynamicCache

    for batch in BATCHES:
        if time.monotonic() > end:
            return
        cache = DynamicCache(config=config)
        model(_ids(config, batch, CONTEXT), past_key_values=cache, logits_to_keep=1)
        one = _ids(config, batch, 1)

        def step(cache: Any = cache, one: Any = one) -> None:
            model(one, past_key_values=cache).logits[:, -1].argmax(-1)

        def back(cache: Any = cache) -> None:
            if cache.get_seq_length() > CONTEXT:
                cache.crop(-1)

        seconds = _timed(step, before=back)
        yield {"kind": "decode", "batch": batch, "context": CONTEXT, "compiled": False, **seconds}


def _compiled_steps(model: Any, config: Any, end: float) -> Iterator[Line]:
    import torch
    from transformers import StaticCache

    for batch in BATCHES[::2]:
        if time.monotonic() > end - 60.0:
            return
        torch._dynamo.reset()
        cache = StaticCache(config=config, max_cache_len=CACHE)
        model(_ids(config, batch, CONTEXT), past_key_values=cache, logits_to_keep=1)
        forward = torch.compile(model.forward, mode="reduce-overhead", fullgraph=True)
        one, where = _ids(config, batch, 1), torch.full((batch, 1), CONTEXT, dtype=torch.long)

        def step(forward: Any = forward, one: Any = one, where: Any = where, cache: Any = cache) -> None:
            torch.compiler.cudagraph_mark_step_begin()
            forward(one, position_ids=where, past_key_values=cache).logits[:, -1].argmax(-1)

        told = {"kind": "decode", "batch": batch, "context": CONTEXT, "cache_tokens": CACHE, "compiled": True}
        try:
            yield {**told, **_timed(step)}
        except Exception as error:  # what does not compile is told too
            yield {**told, "error": repr(error)[:300]}


def _ids(config: Any, batch: int, length: int) -> Any:
    import torch

    return torch.randint(0, config.vocab_size, (batch, length))


def _timed(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Line:
    import torch

    spent: list[float] = []
    for _ in range(REPEATS + 4):
        before()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    kept = spent[4:]
    return {"seconds": statistics.median(kept), "seconds_sd": statistics.stdev(kept), "repeats": len(kept)}


if __name__ == "__main__":
    main()
