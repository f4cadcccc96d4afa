"""What the agent serves at /metrics: names, labels and units of `mfu.telemetry.agent.names`, and a few of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mfu.agent.attribution import HoldingContainer
from mfu.agent.inventory import AgentGPU, Instance
from mfu.observe.metric import Metric
from mfu.telemetry.agent.names import COUNTERS, GAUGES, INDEX, INTERVAL, LABELS, OBSERVED_AT, PROFILING, SHARED

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HEALTH: Final = "mfu_gpu_healthy"
LOST: Final = "mfu_gpu_lost"
POD_RESOURCES: Final = "mfu_agent_pod_resources_up"
NVML_UP: Final = "mfu_agent_nvml_up"
PASS_SECONDS: Final = "mfu_agent_pass_seconds"
CPU_SECONDS: Final = "mfu_agent_cpu_seconds_total"
RESIDENT: Final = "mfu_agent_resident_memory_bytes"
WRITES: Final = "mfu_agent_gpunode_writes_total"
FAILURES: Final = "mfu_agent_failures_total"

_OWN: Final[Mapping[str, tuple[str, str]]] = {
    PROFILING: ("gauge", "1 where GPM gives pipe activity, 0 where only NVML answers"),
    INTERVAL: ("gauge", "Sampling interval"),
    POD_RESOURCES: ("gauge", "1 where the kubelet's PodResources API answers"),
    NVML_UP: ("gauge", "1 where the driver answers"),
    PASS_SECONDS: ("gauge", "Duration of the last pass over the GPUs"),
    CPU_SECONDS: ("counter", "Processor time of the agent"),
    RESIDENT: ("gauge", "Resident memory of the agent"),
    WRITES: ("counter", "Times that the GPUNode was written"),
    FAILURES: ("counter", "Rounds of asking the kubelet and writing the GPUNode that broke off; the log says why"),
}
_DEVICE: Final[Mapping[str, tuple[str, str]]] = {
    OBSERVED_AT: ("gauge", "Unix time of the device's last good sample"),
    HEALTH: ("gauge", "1 healthy, 0 degraded or failed"),
    LOST: ("gauge", "1 where the GPU no longer answers"),
}


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """A device as it is printed, once for each pod that holds it. `healthy` is None while nothing is known."""

    gpu: AgentGPU
    instance: Instance | None
    observed_at: float
    values: Mapping[Metric, float]
    pods: tuple[HoldingContainer, ...] = ()
    healthy: bool | None = None


def render(node: str, lines: Iterable[DeviceLine], own: Mapping[str, float]) -> bytes:
    """The page. Series of one name stand together, as the format asks; unknown numbers are left out."""
    listed = [(line, labels) for line in lines for labels in label_sets(node, line)]
    page: list[str] = []
    for metrics, kind in ((GAUGES, "gauge"), (COUNTERS, "counter")):
        for metric, (name, text) in metrics.items():
            series = ((labels, line.values.get(metric)) for line, labels in listed)
            _family(page, name, (kind, text), series)
    _family(page, OBSERVED_AT, _DEVICE[OBSERVED_AT], ((labels, line.observed_at) for line, labels in listed))
    whole = [(line, labels) for line, labels in listed if line.instance is None]
    _family(page, HEALTH, _DEVICE[HEALTH], ((labels, _flag(line.healthy)) for line, labels in whole))
    _family(page, LOST, _DEVICE[LOST], ((labels, float(line.gpu.lost)) for line, labels in whole))
    for name, described in _OWN.items():
        _family(page, name, described, ((f'{{node="{escaped(node)}"}}', own.get(name)),))
    return "".join(page).encode()


def _flag(value: bool | None) -> float | None:
    return None if value is None else float(value)


def _family(page: list[str], name: str, described: tuple[str, str], series: Iterable[tuple[str, float | None]]) -> None:
    found = [f"{name}{labels} {number(value)}\n" for labels, value in series if value is not None]
    if found:
        kind, text = described
        page.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
        page += found


def number(value: float) -> str:
    """Shortest text that reads back to nine digits, counters whole: `number(0.12345678901) == "0.123456789"`."""
    return str(int(value)) if value == int(value) else (f"{value:.9g}" if abs(value) < 1e6 else repr(value))


def label_sets(node: str, line: DeviceLine) -> list[str]:
    """The label text of each pod's series, or of the one series of a free device."""
    shared = len({(pod.namespace, pod.name) for pod in line.pods}) > 1
    return [_labels(node, line, pod, shared=shared) for pod in line.pods or (None,)]


def _labels(node: str, line: DeviceLine, pod: HoldingContainer | None, *, shared: bool) -> str:
    gpu, instance = line.gpu, line.instance
    values = (
        gpu.uuid,
        "" if instance is None else str(instance.gpu_instance),
        node,
        gpu.name,
        "" if instance is None else instance.gpu_instance_profile,
        pod.namespace if pod else "",
        pod.name if pod else "",
        pod.container if pod else "",
    )
    named = [*zip(LABELS, values, strict=True), (INDEX, str(gpu.index))]
    if shared:
        named.append((SHARED, "true"))
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in named) + "}"


def escaped(value: str) -> str:
    """Label value: `escaped('a"b') == 'a\\\\"b'`."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
