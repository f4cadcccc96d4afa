"""Counts the parameters of Hugging Face transformers' own model classes, one key of their config changed at a time.

`python -m tools.class_counts` builds each class on PyTorch's meta device (nothing is allocated) and writes
tests/workload/class_counts.yaml: an answer to `mfu.workload.parameters` that our formulas have no part in. It needs
torch and transformers, which nothing else here does; install them in an environment of their own.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "tests/workload/class_counts.yaml"
SIZES = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "hidden_size", "n_embd", "d_model", "dim")
PATTERNS = ("hybrid_override_pattern", "layers_block_type")
_SHAPING = (
    "layers",
    "heads",
    "dim",
    "size",
    "experts",
    "rank",
    "bias",
    "tie_word",
    "window",
    "shared",
    "group",
    "use_",
)
_OTHER = ("_token", "position", "rope", "init", "chunk", "beam", "head_dim_", "label", "use_cache", "loss")
MOST_CHANGES = 6


def rows(kinds: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Model type and its row, for each that builds with the defaults of its class."""
    for kind, name in sorted(kinds.items()):
        try:
            parameters, config = _built(kind, name, {})
        except Exception as error:
            print(f"{kind}: {type(error).__name__}: {error}"[:120], file=sys.stderr)
            continue
        stated = {key: config[key] for key in (*SIZES, *PATTERNS) if key in config}
        yield kind, {"class": name, "config": stated, "parameters": parameters, "changed": _changed(kind, name, config)}


def _changed(kind: str, name: str, config: Mapping[str, Any]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for key, value in config.items():
        if len(found) == MOST_CHANGES or not any(part in key for part in _SHAPING) or any(p in key for p in _OTHER):
            continue
        other = _another(key, value)
        try:
            parameters, _ = _built(kind, name, {key: other}) if other is not None else (0, {})
        except Exception as error:
            print(f"{kind}: {key}: {type(error).__name__}"[:120], file=sys.stderr)
            continue
        if other is not None:
            found.append([key, other, parameters])
    return found


def _another(key: str, value: object) -> int | bool | None:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int) and value > 1:
        return value // 2 if value % 2 == 0 else None if "layer" in key else 2 * value
    return None


def _built(kind: str, name: str, changes: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Parameters that the class holds, each tied one once, and its whole config."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    config = transformers.CONFIG_MAPPING[kind](**changes)
    with torch.device("meta"):
        model = getattr(transformers, name)(config)
    model.tie_weights()
    distinct = {id(each): each.numel() for each in model.parameters()}
    return sum(distinct.values()), json.loads(config.to_json_string(use_diff=False))


def main() -> int:
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    kinds = {**auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, **auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    version = importlib.import_module("transformers").__version__
    head = f"# Parameters of each class as transformers {version} builds it, by `python -m tools.class_counts`.\n"
    lines = [f"{kind}: {json.dumps(row)}\n" for kind, row in rows(kinds)]
    TABLE.write_text(head + "".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
