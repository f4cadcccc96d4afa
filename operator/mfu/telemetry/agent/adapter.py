"""The node agent's exposition → GPURound. Names and units are ours, so nothing has to be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, GPURound
from mfu.telemetry.agent.names import INDEX, OBSERVED_AT, SERIES, SHARED
from mfu.telemetry.rounds.exporters import Converted, ExporterFleet, StackedRows
from mfu.telemetry.rounds.table import PrintedLayout

_TIME: Final = METRICS
_COLUMNS: Final[dict[bytes, int]] = {
    **{name.encode(): int(metric) for metric, name in SERIES.items()},
    OBSERVED_AT.encode(): _TIME,
}
_SECONDS_SAMPLED: Final = 1.0
_SECONDS_SCRAPED: Final = 15.0


def identity(labels: Mapping[str, str], node: str | None) -> GPUIdentity | None:
    """Device and pod of an agent's series; None when its labels name no device."""
    uuid, instance = labels.get("uuid"), labels.get("gpu_instance", "")
    if not uuid or not (instance == "" or (instance.isascii() and instance.isdigit() and len(instance) < 5)):
        return None
    return GPUIdentity(
        key=GPUKey(uuid, int(instance) if instance else None),
        product_name=labels.get("product", ""),
        node=node or labels.get("node") or None,
        index=labels.get(INDEX) or None,
        mig_profile=labels.get("mig_profile") or None,
        namespace=labels.get("namespace") or None,
        pod=labels.get("pod") or None,
        container=labels.get("container") or None,
        shared=labels.get(SHARED) == "true",
    )


class Agent:
    """`mfu agent`, read directly."""

    layout = PrintedLayout(_COLUMNS, METRICS + 1, identity)

    def convert(self, stack: StackedRows) -> Converted:
        unknown = np.full(len(stack.values), np.nan)
        return Converted(stack.values[:, :METRICS], unknown, unknown, stack.values[:, _TIME])


class AgentFleet(ExporterFleet):
    """`Fleet` of node agents. A device whose sample time stands still was not read, however fresh the page."""

    def __init__(
        self,
        scrape_seconds: float = _SECONDS_SCRAPED,
        collection_seconds: float = _SECONDS_SAMPLED,
        source: str = "mfu-agent",
    ) -> None:
        super().__init__(Agent(), source, scrape_seconds, collection_seconds)


def read_once(body: bytes, now: float, *, node: str | None = None) -> GPURound:
    """One body by itself."""
    return AgentFleet().round({"target": body}, now, nodes={} if node is None else {"target": node})
