"""Recording rules for a Prometheus that scrapes dcgm-exporters: one series a device and metric, in our units.

`python -m mfu.telemetry.prometheus.rules` prints `data/recording-rules.yaml`. The rules settle names and units of the
three regimes per target, keep who printed what apart, drop blank sentinels by range, and keep the time of the samples
they were made from.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mfu.observe.readings import Metric
from mfu.telemetry.dcgm.fields import NAMES, Raw

INFO: Final = "mfu:gpu_info"
OBSERVED_AT: Final = "mfu:gpu_observed_at:seconds"
EXPORTER_LABEL: Final = "mfu_exporter"
"""Who printed it: `instance`, under a name that tells what rules made from what any target may print."""
DEVICE_LABELS: Final = (EXPORTER_LABEL, "UUID", "GPU_I_ID")
_INFO_LABELS: Final = (
    *DEVICE_LABELS, "GPU_I_PROFILE", "gpu", "modelName", "Hostname", "hostname", "node", "job",
    "exported_namespace", "exported_pod", "exported_container", "namespace", "pod", "container",
)  # fmt: skip
_INTERVAL_SECONDS: Final = 15
_SERIES: Final = re.compile(r'\b(DCGM_FI_\w+)\b(?![!=]=?~?")(\{)?')
"""A series name and the brace behind it; label names of the same spelling are followed by `="` or `!="`."""


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """One recorded series and the column it fills (None for those that are no metric)."""

    record: str
    expression: str
    metric: Metric | None = None


def _either(raw: Raw, condition: str) -> str:
    return " or ".join(f"{name} {condition}" for name in NAMES[raw])


def _by_device(expression: str) -> str:
    return f"max by ({', '.join(DEVICE_LABELS)}) ({_by_exporter(expression)})"


def _by_exporter(expression: str) -> str:
    return f'label_replace({expression}, "{EXPORTER_LABEL}", "$1", "instance", "(.*)")'


def _plain(record: str, metric: Metric, raw: Raw, condition: str) -> RecordingRule:
    return RecordingRule(f"mfu:gpu_{record}", _by_device(_either(raw, condition)), metric)


_CLOCK: Final = (
    "(DCGM_FI_DEV_SM_CLOCK < 1e5) * 1e6 or (DCGM_FI_DEV_SM_CLOCK_HERTZ > 1e6) < 5e9 or DCGM_FI_DEV_SM_CLOCK_HERTZ == 0"
)
_UTIL: Final = (
    "(DCGM_FI_DEV_GPU_UTIL <= 100) / 100"
    ' or (DCGM_FI_DEV_GPU_UTIL_RATIO{DCGM_FI_SYSTEM_DRIVER_VERSION=""} <= 100) / 100'
    ' or DCGM_FI_DEV_GPU_UTIL_RATIO{DCGM_FI_SYSTEM_DRIVER_VERSION!=""} <= 1'
)
_ENERGY: Final = (
    '(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{DCGM_FI_SYSTEM_DRIVER_VERSION=""} < 1e17) / 1000'
    " or DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL < 1e14"
)
_SUM: Final = "DCGM_FI_DEV_FB_USED + ignoring(__name__) DCGM_FI_DEV_FB_FREE"
_USED: Final = (
    f"(DCGM_FI_DEV_FB_USED and on(instance, UUID, GPU_I_ID) ({_SUM} < 4e6)) * 1048576"
    f" or (DCGM_FI_DEV_FB_USED and on(instance, UUID, GPU_I_ID) ({_SUM} >= 4e6 < 4.4e12))"
)
_TIMES: Final = " or ".join(
    f"timestamp({name})" for raw in (Raw.CLOCK, Raw.CLOCK_HERTZ, Raw.TENSOR, Raw.POWER) for name in NAMES[raw]
)

_ANY_DEVICE: Final = " or ".join((*NAMES[Raw.CLOCK], *NAMES[Raw.CLOCK_HERTZ], *NAMES[Raw.TENSOR]))

RULES: Final[tuple[RecordingRule, ...]] = (
    RecordingRule(INFO, f"group by ({', '.join(_INFO_LABELS)}) ({_by_exporter(_ANY_DEVICE)})"),
    RecordingRule(OBSERVED_AT, _by_device(_TIMES)),
    _plain("tensor_active:ratio", Metric.TENSOR_ACTIVE, Raw.TENSOR, "<= 1.1"),
    _plain("sm_active:ratio", Metric.SM_ACTIVE, Raw.SM_ACTIVE, "<= 1.1"),
    _plain("sm_occupancy:ratio", Metric.SM_OCCUPANCY, Raw.OCCUPANCY, "<= 1.1"),
    _plain("dram_active:ratio", Metric.DRAM_ACTIVE, Raw.DRAM, "<= 1.1"),
    _plain("graphics_engine_active:ratio", Metric.GR_ENGINE_ACTIVE, Raw.GRAPHICS, "<= 1.1"),
    _plain("fp32_active:ratio", Metric.FP32_ACTIVE, Raw.FP32, "<= 1.1"),
    _plain("fp16_active:ratio", Metric.FP16_ACTIVE, Raw.FP16, "<= 1.1"),
    _plain("hmma_active:ratio", Metric.HMMA_ACTIVE, Raw.HMMA, "<= 1.1"),
    RecordingRule("mfu:gpu_sm_clock:hertz", _by_device(_CLOCK), Metric.SM_CLOCK),
    _plain("power:watts", Metric.POWER, Raw.POWER, "< 5000"),
    _plain("power_limit:watts", Metric.POWER_LIMIT, Raw.POWER_LIMIT, "< 5000"),
    RecordingRule("mfu:gpu_memory_used:bytes", _by_device(_USED), Metric.FB_USED),
    RecordingRule("mfu:gpu_energy:joules", _by_device(_ENERGY), Metric.ENERGY),
    _plain("pcie_receive:bytes_per_second", Metric.PCIE_RX, Raw.PCIE_RX, "< 1e12"),
    _plain("pcie_transmit:bytes_per_second", Metric.PCIE_TX, Raw.PCIE_TX, "< 1e12"),
    _plain("nvlink_receive:bytes_per_second", Metric.NVLINK_RX, Raw.NVLINK_RX, "< 1e13"),
    _plain("nvlink_transmit:bytes_per_second", Metric.NVLINK_TX, Raw.NVLINK_TX, "< 1e13"),
    RecordingRule("mfu:gpu_utilization:ratio", _by_device(_UTIL), Metric.GPU_UTIL),
    _plain("clock_events:mask", Metric.CLOCK_EVENTS, Raw.CLOCK_EVENTS, "< 65536"),
    _plain("last_xid", Metric.XID, Raw.XID, "< 65536"),
    RecordingRule(
        "mfu:gpu_power_violation:ratio",
        _by_device("clamp_max(rate(DCGM_FI_DEV_POWER_VIOLATION[2m]) / 1e9, 1)"),
        Metric.POWER_VIOLATION_RATIO,
    ),
    RecordingRule(
        "mfu:gpu_thermal_violation:ratio",
        _by_device("clamp_max(rate(DCGM_FI_DEV_THERMAL_VIOLATION[2m]) / 1e9, 1)"),
        Metric.THERMAL_VIOLATION_RATIO,
    ),
)  # fmt: skip


def matchers(*, job: str | None = None, namespace: str | None = None) -> str:
    """Label matchers: `matchers(job="dcgm") == 'job="dcgm"'`, empty where every series counts."""
    chosen = (("job", job), ("namespace", namespace))
    return ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in chosen if value is not None)


def guarded(expression: str, only: str) -> str:
    """The expression over series with these matchers alone: `guarded("DCGM_FI_X > 1", 'job="d"')` names the job."""
    return (
        _SERIES.sub(lambda found: f"{found[1]}{{{only}{',' if found[2] else '}'}", expression) if only else expression
    )


def document(interval_seconds: int = _INTERVAL_SECONDS, only: str = "") -> str:
    """The rule file, as Prometheus and (under `spec`) a PrometheusRule take it; `only` are matchers of what counts."""
    lines = [
        "# Made by `python -m mfu.telemetry.prometheus.rules`. Load it where dcgm-exporters are scraped; the operator",
        "# then reads the whole fleet with one query a metric.",
        "groups:",
        "  - name: mfu-gpu",
        f"    interval: {interval_seconds}s",
        "    rules:",
    ]
    for rule in RULES:
        lines += [f"      - record: {rule.record}", "        expr: >-", f"          {guarded(rule.expression, only)}"]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(prog="python -m mfu.telemetry.prometheus.rules", description=__doc__)
    parser.add_argument("--job", help="only series of this job count")
    parser.add_argument("--namespace", help="only series scraped in this namespace count")
    chosen = parser.parse_args(arguments)
    print(document(only=matchers(job=chosen.job, namespace=chosen.namespace)), end="")


if __name__ == "__main__":
    main()
