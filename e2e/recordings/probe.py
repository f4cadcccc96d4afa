"""What this GPU's driver answers: every GPM metric under load, the event types, and the time that each NVML call takes.

PYTHONPATH=operator:. python3 -m e2e.recordings.probe --out probe.json      # needs a GPU that is busy
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pynvml

CALLS = (
    ("nvmlDeviceGetClockInfo", (1,)),
    ("nvmlDeviceGetPowerUsage", ()),
    ("nvmlDeviceGetCurrentClocksEventReasons", ()),
    ("nvmlDeviceGetUtilizationRates", ()),
    ("nvmlDeviceGetMemoryInfo", (pynvml.nvmlMemory_v2,)),
    ("nvmlDeviceGetFieldValues", ((74, 75),)),
    ("nvmlDeviceGetFieldValues", ((91,),)),
    ("nvmlDeviceGetEnforcedPowerLimit", ()),
    ("nvmlDeviceGetTemperature", (0,)),
    ("nvmlDeviceGetTotalEccErrors", (1, 1)),
    ("nvmlDeviceGetCurrPcieLinkGeneration", ()),
    ("nvmlDeviceGetCurrPcieLinkWidth", ()),
    ("nvmlDeviceGetMaxPcieLinkGeneration", ()),
    ("nvmlDeviceGetTotalEnergyConsumption", ()),
    ("nvmlDeviceGetRemappedRows", ()),
    ("nvmlDeviceGetMigMode", ()),
    ("nvmlDeviceGetNumaNodeId", ()),
    ("nvmlDeviceGetPowerManagementDefaultLimit", ()),
    ("nvmlDeviceGetSupportedEventTypes", ()),
    ("nvmlDeviceGetNvLinkState", (0,)),
    ("nvmlDeviceGetNvLinkRemoteDeviceType", (0,)),
    ("nvmlGpmQueryDeviceSupport", ()),
)


def gpm(handle: Any, seconds: float) -> dict[str, float]:
    """Value of every metric that answers, over `seconds`."""
    first, second = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
    names = {
        number: name.removeprefix("NVML_GPM_METRIC_")
        for name, number in vars(pynvml).items()
        if name.startswith("NVML_GPM_METRIC_") and name != "NVML_GPM_METRIC_MAX"
    }
    pynvml.nvmlGpmSampleGet(handle, first)
    time.sleep(seconds)
    pynvml.nvmlGpmSampleGet(handle, second)
    found: dict[str, float] = {}
    for number, name in sorted(names.items()):
        request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 1
        request.sample1, request.sample2 = first, second
        request.metrics[0].metricId = number
        try:
            pynvml.nvmlGpmMetricsGet(request)
        except pynvml.NVMLError:
            continue
        if request.metrics[0].nvmlReturn == pynvml.NVML_SUCCESS:
            found[f"{number} {name}"] = request.metrics[0].value
    return found


def timed(handle: Any, name: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Median microseconds of a call, and its answer."""
    times, answer = [], ""
    for _ in range(15):
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            answer = str(getattr(pynvml, name)(handle, *arguments))[:120]
        except pynvml.NVMLError as error:
            answer = f"error: {error}"
        times.append((time.perf_counter() - began, time.thread_time() - cpu))
    walls, cpus = zip(*sorted(times), strict=True)
    return {
        "call": f"{name}{arguments}",
        "us": round(1e6 * walls[7], 1),
        "cpu_us": round(1e6 * sorted(cpus)[7], 1),
        "answer": answer,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    sample = pynvml.nvmlGpmSampleAlloc()
    found = {
        "name": pynvml.nvmlDeviceGetName(handle),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "pynvml": getattr(pynvml, "__version__", ""),
        "gpm": gpm(handle, 1.0),
        "calls": [timed(handle, name, arguments) for name, arguments in CALLS],
        "gpm_sample": _sample_time(handle, sample),
    }
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _sample_time(handle: Any, sample: Any) -> dict[str, float]:
    times, cpus = [], []
    for _ in range(15):
        began, cpu = time.perf_counter(), time.thread_time()
        pynvml.nvmlGpmSampleGet(handle, sample)
        times.append(time.perf_counter() - began)
        cpus.append(time.thread_time() - cpu)
        time.sleep(0.05)
    return {"us": round(1e6 * sorted(times)[7], 1), "cpu_us": round(1e6 * sorted(cpus)[7], 1)}


if __name__ == "__main__":
    sys.exit(main())
