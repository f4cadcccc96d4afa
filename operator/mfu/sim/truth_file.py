"""The planted truth on disk, for tests and the demo to grade by. The operator is never given this file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mfu.sim.fleet import SimFleet
from mfu.sim.pods import SimPod
from mfu.sim.progress import pod_rates
from mfu.sim.shapes import peak
from mfu.sim.truth import TruthMode


def truth_document(fleet: SimFleet) -> dict[str, Any]:
    """Every workload's planted MFU, cause and rates, by `namespace/owner`."""
    workloads = sorted({pod.workload for pod in fleet.pods.values()})
    return {
        "fleet": {"mfu": fleet_mfu(fleet), "gpus": sum(node.gpus for node in fleet.nodes.values())},
        "workloads": {name: _workload(fleet, fleet.workload_pods(name)) for name in workloads},
    }


def fleet_mfu(fleet: SimFleet) -> float:
    """Planted model FLOPs over the dense 16-bit peak of all GPUs, idle ones included.

    One of eight H100 at 0.40: `fleet_mfu` is 0.05.
    """
    useful = sum(
        pod.truth.mfu * peak(slot.device, pod.truth.precision)
        for pod in fleet.pods.values()
        for slot in fleet.held_by(pod.key)
    )
    return useful / sum(node.gpus * (node.gpu.reference_peak_flops_per_s or 0.0) for node in fleet.nodes.values())


def write_truth(fleet: SimFleet, path: Path) -> None:
    """Replace the file in one step; only its owner may read it."""
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(truth_document(fleet), file, indent=1)
    partial.replace(path)


def _workload(fleet: SimFleet, pods: list[SimPod]) -> dict[str, Any]:
    truth = pods[0].truth
    rates = [pod_rates(fleet, pod) for pod in pods]
    held = [slot for pod in pods for slot in fleet.held_by(pod.key)]
    return {
        "mfu": truth.mfu,
        "mbu": truth.mbu,
        "cause": truth.cause.value,
        "fault": truth.fault.value,
        "strength": truth.strength,
        "mode": truth.mode.value,
        "precision": truth.precision.value,
        "pods": [pod.name for pod in pods],
        "devices": [f"{slot.uuid}/{slot.instance}" if slot.instance is not None else slot.uuid for slot in held],
        "product": held[0].device.label,
        "trainedTokensPerSecond": sum(rate.trained for rate in rates) if truth.mode is TruthMode.TRAINING else None,
        "promptTokensPerSecond": sum(rate.prompt for rate in rates) or None,
        "generatedTokensPerSecond": sum(rate.generated for rate in rates) or None,
    }
