"""What the recipes of published runs set and a table's columns do not show: lengths, drafts, requests let in.

Runs by InferenceX's recipes are told by their names. Which of them drafted tokens (multi-token prediction):
`data/drafted.csv` has the settings of one node that InferenceX's recipes run with it, `data/pools.csv` those of racks
(source: InferenceX, Apache-2.0, nvidia-master.yaml of all commits up to April 2026, entries with `spec-decoding: mtp`;
drafts by `num_nextn_predict_layers` and `speculative-num-steps` of their scripts). Where a setting was published both
with drafts and without, the later runs drafted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from mfu.predict.inference.case import Speculation

_DATED = r" id=20\d\d_"
"""Runs named by their date alone, of both kinds."""
_RECIPES = r" id=(20\d\d_|dsr1_)"
_MEAN_LENGTH = 0.9
"""Of the nominal one: those recipes draw each length between 0.8 of it and it (`RANDOM_RANGE_RATIO` of
benchmark-tmpl.yml)."""
_TURNED_AWAY, _CROWD = r" id=20\d\d_\S*gpt_oss_120b_h100_sxm_vllm", "512"
ADMITTED = 16.0
"""Requests in runs that sent 512 at servers that admitted 4 to 64, which of those is not told: the middle (InferenceX,
gptoss_fp4_h100_docker.sh of 5 December 2025: `--max-num-seqs=$CONC` beside `--max-concurrency 512`)."""
_ACCEPTANCE = 0.7
"""Of one draft of DeepSeek-R1's own layer on random tokens: the settings that were published both ways run 1.9, 1.7 and
1.5 times as fast with three drafts at 4, 8 and 64 requests, and verifying four tokens takes time of its own."""
_SHARE = 0.03
"""Time of one draft over that of a step: one layer of 61 and the head."""

Setting = tuple[str, str, str, str, int, int, int, float, float, float]
"""Model, product, engine, precision of the weights; tensor, groups, expert; tokens in and out; requests at once."""


def by_recipe(source: str) -> bool:
    """Whether InferenceX's recipes made a run: `by_recipe("… id=dsr1_b200_trtllm_fp4_agg_1024x1024_c4")`."""
    return bool(re.search(_RECIPES, source))


def length_drawn(source: str) -> float:
    """Mean length of a run's prompts and answers over the one that its table states."""
    return _MEAN_LENGTH if by_recipe(source) else 1.0


def turned_away(row: Mapping[str, str]) -> bool:
    """Whether most of the requests that the row counts waited outside of the server."""
    return row.get("concurrency_or_batch") == _CROWD and bool(re.search(_TURNED_AWAY, row["source"]))


def drafting(drafts: int) -> Speculation | None:
    """`drafting(3).accepted == 2.533`; None without drafts."""
    return Speculation(drafts, _ACCEPTANCE, drafts * _SHARE) if drafts else None


def drafts_of(source: str, setting: Setting) -> int:
    """Tokens that a run drafted in a step: those of its setting's recipe where its name does not say that it is of the
    recipe without."""
    return _published().get(setting, 0) if re.search(_DATED, source) else 0


@lru_cache(maxsize=1)
def _published() -> dict[Setting, int]:
    text = (files("mfu.predict.inference") / "data" / "drafted.csv").read_text(encoding="utf-8")
    return {
        (
            row["model"],
            row["product"],
            row["engine"],
            row["weights"],
            int(row["tensor"]),
            int(row["groups"]),
            int(row["expert"]),
            float(row["input_tokens"]),
            float(row["output_tokens"]),
            float(row["concurrency"]),
        ): int(row["drafts"])
        for row in csv.DictReader(text.splitlines())
    }
