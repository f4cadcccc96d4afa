"""`mfu init --from-config config.json`: a ModelWorkload to edit, with the dimensions of a Hugging Face model."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from mfu.api.base import api_name
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.workload.architecture import Architecture
from mfu.workload.errors import WorkloadError
from mfu.workload.huggingface import from_config

_DEFAULTS = {field.name: field.default for field in fields(Architecture)}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("init", help="write a ModelWorkload from a config.json", description=__doc__)
    parser.add_argument("--from-config", type=Path, required=True, metavar="FILE", help="Hugging Face config.json")
    parser.add_argument("--name", default="my-workload", help="metadata.name")


def run(args: argparse.Namespace) -> int:
    try:
        architecture = from_config(json.loads(read_text(args.from_config, "--from-config")))
    except ValueError as error:
        raise UsageError(f"--from-config {args.from_config}: is no JSON: {error}") from error
    except WorkloadError as error:
        raise UsageError(f"--from-config {args.from_config}: {error}") from error
    print(yaml.safe_dump(_workload(args.name, architecture), sort_keys=False), end="")
    return 0


def _workload(name: str, architecture: Architecture) -> dict[str, Any]:
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": name},
        "spec": {
            "mode": "Training",
            "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
            "model": {"name": architecture.name, "architecture": dimensions(architecture)},
            "accelerators": {"count": 8},
            "training": {
                "sequenceLength": 4096,
                "globalBatchSize": 64,
                "microBatchSize": 1,
                "parallelism": {"data": 8},
                "sharding": "FSDP",
            },
        },
    }


def dimensions(architecture: Architecture) -> dict[str, Any]:
    """`spec.model.architecture`; fields at their default are left out."""
    values = {key: value for key, value in asdict(architecture).items() if key != "name"}
    kept = {key: value for key, value in values.items() if value != _DEFAULTS[key]}
    return {api_name(key): _nested(value) for key, value in kept.items()}


def _nested(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_nested(each) for each in value]
    if isinstance(value, dict):
        return {api_name(key): each for key, each in value.items()}
    return str(value) if isinstance(value, str) else value
