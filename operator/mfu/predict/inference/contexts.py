"""How many positions a published checkpoint was made for, so that a longer request is said."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files

from mfu.predict.types import Inference


def beyond(setup: Inference) -> str | None:
    """A sentence where prompt and answer together are longer than the model's positions; None where not or unknown."""
    limit = positions().get(setup.architecture.name)
    longest = (setup.input_tokens_p95 or setup.input_tokens) + (setup.output_tokens_p95 or setup.output_tokens)
    if limit is None or longest <= limit:
        return None
    return f"{longest:,.0f} tokens of prompt and answer are beyond the {limit:,} positions that the model was made for"


@lru_cache(maxsize=1)
def positions() -> dict[str, int]:
    """`max_position_embeddings` of each preset's published config.json, by the preset's name."""
    text = (files("mfu.predict.inference") / "data" / "positions.json").read_text(encoding="utf-8")
    found: dict[str, int] = json.loads(text)["positions"]
    return found
