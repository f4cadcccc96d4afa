"""Reading the files that people name on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfu.cli.errors import UsageError


def read_text(path: Path, argument: str | None = None) -> str:
    """The whole file. UsageError names the file, after its argument where there is one, and what is wrong with it."""
    name = f"{argument} {path}" if argument else str(path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is no text file: {error.reason} at byte {error.start}") from error


_CONFIG, _BESIDE = "config.json", "hf_quant_config.json"


def with_stored_format(config: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The same with what ModelOpt's hf_quant_config.json beside the file says of the weights, where it says nothing.

    A file beside it that does not read says nothing.
    """
    beside = path.with_name(path.name.replace(_CONFIG, _BESIDE))
    if not path.name.endswith(_CONFIG) or "quantization_config" in config or not beside.is_file():
        return config
    try:
        stored = json.loads(beside.read_text(encoding="utf-8"))["quantization"]
    except (OSError, ValueError, KeyError, TypeError):
        return config
    return {**config, "quantization_config": stored} if isinstance(stored, Mapping) else config
