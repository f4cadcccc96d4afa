"""`mfu init config.json`: a ModelWorkload to edit, with the dimensions of a Hugging Face model.

What was assumed and what was left out stands above it, as comments.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from mfu.adopt.model import model_block, precision_block
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text, with_stored_format
from mfu.workload.errors import WorkloadError
from mfu.workload.huggingface import Understood, understand

_TRAINING: Final[dict[str, Any]] = {
    "sequenceLength": 4096,
    "globalBatchSize": 64,
    "microBatchSize": 1,
    "parallelism": {"data": 8},
    "sharding": "FSDP",
}
_INFERENCE: Final[dict[str, Any]] = {
    "inputTokens": {"mean": 1024},
    "outputTokens": {"mean": 256},
    "concurrency": 64,
    "parallelism": {"tensor": 8},
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("init", help="write a ModelWorkload from a config.json", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "from_config", type=Path, nargs="?", metavar="FILE", help="Hugging Face config.json, - for standard input"
    )
    source.add_argument("--from-config", dest="from_config_flag", type=Path, metavar="FILE", help="the same")
    parser.add_argument("--name", default="my-workload", help="metadata.name")
    parser.add_argument("--mode", choices=("training", "inference"), default="training", help="default: training")


def run(args: argparse.Namespace) -> int:
    flag: Path | None = args.from_config_flag
    understood = read_config(args.from_config) if flag is None else read_config(flag, "--from-config")
    for note in understood.notes:
        print(f"# {note}")
    print(yaml.safe_dump(_workload(args.name, args.mode, understood), sort_keys=False), end="")
    return 0


def read_config(path: Path, argument: str = "FILE") -> Understood:
    """What a config.json says, "-" for standard input. UsageError names the file, the field and the fix."""
    name = f"{argument} {path}"
    text = sys.stdin.read() if str(path) == "-" else read_text(path, argument)
    if not text.strip():
        raise UsageError(f"{name}: is empty: give a model's config.json")
    try:
        config = json.loads(text)
        return understand(with_stored_format(config, path) if isinstance(config, dict) else config)
    except WorkloadError as error:
        raise UsageError(f"{name}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{name}: is no JSON: {error}") from error


def _workload(name: str, mode: str, understood: Understood) -> dict[str, Any]:
    serving = mode == "inference"
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"} if serving else {"apiVersion": "batch/v1", "kind": "Job"}
    precision = precision_block(understood.precision)
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": name},
        "spec": {
            "mode": mode.capitalize(),
            "targetRef": kind | {"name": name},
            "model": model_block(understood.architecture),
            **({"precision": precision} if precision else {}),
            "accelerators": {"count": 8},
            mode: dict(_INFERENCE if serving else _TRAINING),
        },
    }
