"""What services keep of their latency objectives, and what the GPUs draw from the wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfu.api import fleetreport as api
from mfu.api.workload_status import LatencyObjective
from mfu.engine.judged import Accepted, Judged
from mfu.engine.plan import Latency, WorkloadPlan
from mfu.engine.snapshot import FleetReadings
from mfu.observe.readings import Metric
from mfu.units import decimal


def latency_of(judged: Judged) -> Latency | None:
    """What its engines timed, beside the mean per output token by Little's law; None without an objective.

    64 requests that run at 2,000 tokens per second take 64 / 2,000 = 32 ms a token.
    """
    if not isinstance(judged, Accepted) or not judged.attained:
        return None
    load = judged.load
    if not load.output_tokens_per_s or not load.running_requests:
        return Latency(judged.attained)
    return Latency(judged.attained, load.running_requests / load.output_tokens_per_s)


def service_row(plans: Sequence[WorkloadPlan]) -> api.ServiceFigures | None:
    """None where no service has an objective."""
    found = [plan.latency for plan in plans if plan.latency is not None]
    if not found:
        return None
    known = [each for each in found if each.kept is not None]
    return api.ServiceFigures(
        with_objective=len(found),
        known=len(known),
        kept=sum(each.kept is True for each in known),
        ttft_share=decimal(_share(found, LatencyObjective.TTFT)),
        tpot_share=decimal(_share(found, LatencyObjective.TPOT)),
    )


def _share(found: Sequence[Latency], objective: LatencyObjective) -> float | None:
    """Every answer counts once: 990 of 1,000 and 50 of 100 in time are 1,040 / 1,100 = 94.5 %."""
    timed = [each for one in found for each in one.attained if each.objective is objective and each.share is not None]
    whole = sum(each.timed for each in timed)
    return sum(each.timed * (each.share or 0.0) for each in timed) / whole if whole else None


def power_row(readings: FleetReadings) -> api.PowerFigures | None:
    """None where no power is read. Slices report the power of the whole GPU: each GPU counts once."""
    if not readings.devices:
        return None
    watts = readings.values[:, Metric.POWER]
    rows = {readings.devices[row].key.uuid: row for row in np.flatnonzero(np.isfinite(watts)).tolist()}
    if not rows:
        return None
    held = {each.key.uuid for each in readings.devices if each.pod is not None}
    idle = sum(float(watts[row]) for uuid, row in rows.items() if uuid not in held)
    total = sum(float(watts[row]) for row in rows.values())
    return api.PowerFigures(watts=f"{total:.0f}", gpus=len(rows), idle_watts=f"{idle:.0f}")
