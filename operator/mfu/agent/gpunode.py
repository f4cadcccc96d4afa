"""What was found on the node → status of its GPUNode, as plain JSON in the shape of mfu.api.gpunode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mfu.agent.health import Health, Verdict, worst
from mfu.agent.inventory import AgentGPU, Instance
from mfu.agent.topology import Topology
from mfu.observe.metric import Metric

JSON = dict[str, Any]
_MOST_REASONS: Final = 16


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a status tells. `problem` is why the driver does not answer, None while it does."""

    gpus: tuple[AgentGPU, ...]
    values: Mapping[str, Mapping[Metric, float]]
    """Latest readings by GPU UUID."""
    verdicts: Mapping[str, Verdict]
    topology: Topology | None
    driver_version: str
    agent_version: str
    problem: str | None = None


def status(found: Found) -> JSON:
    """Without times: two that are equal say the same. `observedAt` and transition times are the publisher's."""
    verdicts = [found.verdicts.get(gpu.uuid, Verdict(Health.UNKNOWN)) for gpu in found.gpus]
    if found.problem is not None:
        verdicts = [Verdict(Health.UNKNOWN) for _ in verdicts]
    products = {gpu.product for gpu in found.gpus}
    healthy = sum(verdict.health is Health.HEALTHY for verdict in verdicts)
    told: JSON = {
        "agentVersion": found.agent_version[:64],
        "driverVersion": found.driver_version[:64],
        "product": products.pop() if len(products) == 1 else "",
        "gpus": [_gpu(gpu, found, verdict) for gpu, verdict in zip(found.gpus, verdicts, strict=True)],
        "summary": f"{healthy}/{len(found.gpus)}",
        "health": str(worst(verdicts)),
        "conditions": [_ready(found)],
    }
    if found.topology is not None:
        told["nvlink"] = _nvlink(found.topology)
    return told


def _gpu(gpu: AgentGPU, found: Found, verdict: Verdict) -> JSON:
    values = found.values.get(gpu.uuid, {})
    limit = values.get(Metric.POWER_LIMIT)
    optional = {
        "memory": None if gpu.memory_bytes is None else f"{gpu.memory_bytes // 2**20}Mi",
        "pcie": _pcie(gpu, values, slow="LinkDowngraded" in verdict.reasons),
        "numaNode": gpu.numa_node,
        "powerLimitWatts": None if limit is None else round(limit),
        "defaultPowerLimitWatts": gpu.default_power_limit_watts,
    }
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "product": gpu.product,
        "name": gpu.name[:256],
        "migMode": gpu.mig_mode,
        "migInstances": [_instance(each) for each in gpu.instances],
        "health": str(verdict.health),
        "healthReasons": list(verdict.reasons[:_MOST_REASONS]),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _instance(instance: Instance) -> JSON:
    told: JSON = {
        "uuid": instance.uuid,
        "profile": instance.profile,
        "gpuInstance": instance.gpu_instance,
        "computeInstance": instance.compute_instance,
    }
    if instance.placement_start is not None:
        told["placementStart"] = instance.placement_start
    return told


def _pcie(gpu: AgentGPU, values: Mapping[Metric, float], *, slow: bool) -> JSON:
    """The link as it can be. Its present generation goes up and down with load by design: status names it where it
    stays down (`slow`), metrics name it always."""
    known = {"maxGeneration": gpu.max_pcie_generation, "maxWidth": gpu.max_pcie_width}
    known["width"] = int(values.get(Metric.PCIE_LINK_WIDTH, 0))
    if slow:
        known["generation"] = int(values.get(Metric.PCIE_LINK_GEN, 0))
    return {"address": gpu.bus_id, **{name: value for name, value in known.items() if value}}


def _nvlink(topology: Topology) -> JSON:
    return {
        "domain": topology.domain,
        "switched": topology.switched,
        "matrix": [list(row) for row in topology.matrix],
    }


def _ready(found: Found) -> JSON:
    if found.problem is not None:
        return {"type": "Ready", "status": "False", "reason": "DriverUnavailable", "message": found.problem[:2000]}
    lost = sum(gpu.lost for gpu in found.gpus)
    text = f"reads {len(found.gpus) - lost} of {len(found.gpus)} GPUs"
    if lost or not found.gpus:
        return {"type": "Ready", "status": "False", "reason": "GPULost" if lost else "NoGPU", "message": text}
    return {"type": "Ready", "status": "True", "reason": "Reading", "message": text}


def dated(told: JSON, now: float, before: Sequence[Mapping[str, Any]] = ()) -> JSON:
    """With `observedAt`, and each condition's transition time kept from `before` while its status is the same."""
    earlier = {each.get("type"): each for each in before}
    at = timestamp(now)
    conditions = []
    for each in told["conditions"]:
        old = earlier.get(each["type"], {})
        since = old.get("lastTransitionTime") if old.get("status") == each["status"] else None
        conditions.append({**each, "lastTransitionTime": since or at})
    return {**told, "conditions": conditions, "observedAt": at}


def timestamp(now: float) -> str:
    """`timestamp(0) == "1970-01-01T00:00:00Z"`."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
