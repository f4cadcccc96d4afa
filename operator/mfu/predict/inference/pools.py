"""How published rack-scale pools divide their GPUs: some read prompts, the others decode.

Tables of such pools print all GPUs as one degree. `data/pools.csv` has the decoding part of each published one: so many
workers, each with its own requests, of so many ranks of tensor parallelism or of attention groups (source: InferenceX,
Apache-2.0, configs/nvidia-master.yaml as of December 2025 to March 2026, entries dsr1-*-gb200-dynamo-*).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

Named = tuple[str, str, str, str]
"""Model, product, engine and precision of the weights."""


@dataclass(frozen=True, slots=True)
class DecodePart:
    """What decodes of a pool at one concurrency."""

    concurrency: float
    workers: int
    tensor: int
    groups: int
    drafts: int = 0
    """Tokens that multi-token prediction drafts in a step."""


def decode_part(named: Named, *, input_tokens: float, gpus: int, concurrency: float) -> DecodePart | None:
    """The decoding part of the published pool of that size and prompt length, the nearest in concurrency; None without.

    36 GB200 of TensorRT-LLM that serve 64 requests of 1,024 tokens decode in four workers of eight.
    """
    found = _pools().get((named, input_tokens, gpus), ())
    return min(found, key=lambda each: abs(math.log(each.concurrency / concurrency)), default=None)


@lru_cache(maxsize=1)
def _pools() -> dict[tuple[Named, float, int], tuple[DecodePart, ...]]:
    text = (files("mfu.predict.inference") / "data" / "pools.csv").read_text(encoding="utf-8")
    found: dict[tuple[Named, float, int], tuple[DecodePart, ...]] = {}
    for row in csv.DictReader(text.splitlines()):
        named = (row["model"], row["product"], row["engine"], row["weights"])
        key = (named, float(row["input_tokens"]), int(row["gpus"]))
        counts = (int(row[name]) for name in ("workers", "tensor", "groups", "drafts"))
        part = DecodePart(float(row["concurrency"]), *counts)
        found[key] = (*found.get(key, ()), part)
    return found
