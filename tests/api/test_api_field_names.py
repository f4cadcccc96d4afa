"""API names are the contract: the whole list is kept, so that none changes by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.api.base import api_name
from mfu.shipped import LOADER

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "field_names.txt"

MISSPELT = re.compile(r"Mfu|Mbu|Hfu|Gpu|Slo[A-Z]|Mig[A-Z]|Uuid|Kv[A-Z]|Ffn|Moe|Mla[A-Z]|Id$|Nv[lL]ink[A-Z]|_")


def names(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from names(inner, f"{path}.{name}")
    if "items" in schema:
        yield from names(schema["items"], f"{path}[]")


@cache
def present() -> tuple[str, ...]:
    found: list[str] = []
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        definition = yaml.load(path.read_text(), Loader=LOADER)["spec"]
        schema = definition["versions"][0]["schema"]["openAPIV3Schema"]
        found += names(schema, definition["names"]["kind"])
    return tuple(found)


def test_names_are_the_kept_ones() -> None:
    assert list(present()) == KEPT.read_text().splitlines()


def test_initialisms_stay_capital() -> None:
    assert [name for name in present() if MISSPELT.search(name.rsplit(".", 1)[-1])] == []


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("expected_mfu", "expectedMFU"),
        ("mfu", "mfu"),
        ("target_ref", "targetRef"),
        ("per_gpu", "perGPU"),
        ("per_gpu_hour", "perGPUHour"),
        ("tokens_per_second_per_gpu", "tokensPerSecondPerGPU"),
        ("kv_cache", "kvCache"),
        ("allocated_gpus", "allocatedGPUs"),
        ("expert_ffn", "expertFFN"),
        ("from_", "from"),
        ("counterfactual_mfu", "counterfactualMFU"),
        ("ttft_milliseconds", "ttftMilliseconds"),
    ],
)
def test_api_name(field: str, name: str) -> None:
    assert api_name(field) == name


@pytest.mark.parametrize(
    "name",
    [
        "ModelWorkload.spec.targetRef.apiVersion",
        "ModelWorkload.spec.precision.kvCache",
        "ModelWorkload.spec.accelerators.migProfile",
        *(
            f"ModelWorkload.spec.precision.{name}"
            for name in ("compute", "weights", "kvCache", "gradients", "masterWeights", "optimizerState", "logits")
        ),
        *(
            f"ModelWorkload.spec.runtime.{name}"
            for name in ("engine", "version", "compilation", "attention", "fusedKernels")
        ),
        "ModelWorkload.spec.reclaim.exemptUntil",
        "ModelWorkload.spec.reclaim.reason",
        "MFUPolicy.spec.modes.reclaim",
        "MFUPolicy.spec.modes.oversubscription",
        *(
            f"MFUPolicy.spec.actions[].{name}"
            for name in ("type", "minConfidencePercent", "maxReadingAgeSeconds", "maxPerMinute", "dwellSeconds")
        ),
        "MFUPolicy.spec.gate.deadlineSeconds",
        "MFUPolicy.spec.scaling.delivery",
        "MFUPolicy.spec.sharing.minKeptPercent",
        "MFUPolicy.spec.sharing.maxLatencyIncreasePercent",
        "MFUPolicy.spec.reclaim.windowMinutes",
        "MFUPolicy.spec.reclaim.maxExemptionHours",
        "MFUPolicy.spec.reclaim.steps[].afterIdleMinutes",
        "MFUPolicy.spec.reclaim.steps[].action",
        "MFUPolicy.spec.reclaim.steps[].graceMinutes",
        "MFUPolicy.spec.oversubscription[].priorityClass",
        "MFUPolicy.spec.oversubscription[].maxPercent",
        "MFUPolicy.spec.metrics.perWorkload",
        "FleetReport.status.calibration[].relativeSD",
        "ModelWorkload.spec.training.parallelism.virtualPipeline",
        "ModelWorkload.spec.inference.slo.ttftMilliseconds",
        "ModelWorkload.status.expected[].referenceMFU",
        "ModelWorkload.status.expected[].tokensPerSecondPerGPU",
        "ModelWorkload.status.attainable.changes[].from",
        "ModelWorkload.status.losses[].counterfactualMFU",
        "ModelWorkload.status.memory.perGPU",
        "ModelWorkload.status.summary.lostPerHour",
        "ModelWorkload.status.decisions[].evaluatedAt",
        "MFUPolicy.spec.floors.expectedOfAttainablePercent",
        "MFUPolicy.spec.prices[].perGPUHour",
    ],
)
def test_names_of_the_design(name: str) -> None:
    assert name in present()
