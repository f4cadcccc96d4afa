"""What is understood of a metrics page: devices, an engine's counters, or a program's progress."""

from __future__ import annotations

from mfu.cli.understood import Document, refused
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.observe.readings import GPUIdentity, ProgressReading
from mfu.telemetry.agent.adapter import read_once as read_agent
from mfu.telemetry.dcgm.adapter import read_once as read_dcgm
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared


def page(body: bytes, name: str) -> Document:
    """A metrics page: device readings, or the counters of an engine or of a training job."""
    if b"DCGM_FI_" in body:
        return _devices("DCGM", read_dcgm(body, 0.0).devices)
    agent = read_agent(body, 0.0)
    if agent.devices:
        return _devices("mfu agent", agent.devices)
    return _counters(body, name)


def _devices(source: str, devices: tuple[GPUIdentity, ...]) -> Document:
    rows = []
    for each in devices:
        found = load().resolve(each.product_name)
        rows.append(
            {
                "uuid": each.key.uuid,
                "productName": each.product_name,
                "product": found.gpu.api_name if isinstance(found, Device) else None,
                "migProfile": each.mig_profile,
                "node": each.node,
                "namespace": each.namespace,
                "pod": each.pod,
                "shared": each.shared,
            }
        )
    return {"kind": "Metrics", "source": source, "devices": rows}


def _counters(body: bytes, name: str) -> Document:
    pod = ScrapedPod("file", name)
    try:
        return _progress(read_engine(body, pod, 0.0))
    except NotExposition as not_serving:
        try:
            return _progress(declared(body, pod, 0.0, DeclaredProgress("train_tokens_total")))
        except NotExposition:
            why = refused("page", not_serving.problem, not_serving.fix)
            return {"kind": "Metrics", "refused": why}


def _progress(reading: ProgressReading) -> Document:
    return {
        "kind": "Metrics",
        "source": reading.source,
        "counters": {each.value: value for each, value in reading.counters.items()},
        "gauges": {each.value: value for each, value in reading.gauges.items()},
        "unknown": [each for each in ("PrefillTokens", "DecodeTokens") if _missing(reading, each)],
    }


def _missing(reading: ProgressReading, name: str) -> bool:
    """A serving engine whose page does not tell this counter apart."""
    return reading.source != "progress" and all(each.value != name for each in reading.counters)
