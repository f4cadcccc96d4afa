"""Text of the simulated dcgm-exporters, byte for byte in their format: label order, quoting, number formats.

A node's text is one %-template, made anew only when its pods change: 5,000 nodes cost one format call each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from mfu.sim.fields import Devices, MetricFamily, NamingRegime, load_fields
from mfu.sim.fleet import FleetSample, SimFleet
from mfu.sim.inventory import Slot
from mfu.sim.pods import SimPod
from mfu.sim.recordings import Floats

DRIVER_VERSION: Final = "580.105.08"
_PCIE_GENERATION_OF: Final = {16e9: 3.0, 32e9: 4.0, 64e9: 5.0, 126e9: 6.0}
# Boards arrive with a past: an energy counter that starts at zero would look like a reset.
_ENERGY_BEFORE_JOULES: Final = 9.1e7


class Exporters:
    """All dcgm-exporters of a fleet, one text a node. `counters`: "default" or "full" (with the operator's CSV)."""

    def __init__(self, fleet: SimFleet, *, regime: NamingRegime = NamingRegime.LEGACY, counters: str = "full") -> None:
        self._fleet = fleet
        self._regime = regime
        self._fields = [field for field in load_fields() if _served(field, regime, counters)]
        self._factors = np.array([field.new_factor if regime is NamingRegime.NEW else 1.0 for field in self._fields])
        self._templates: dict[str, tuple[int, str]] = {}
        self._static = _static_columns(fleet)
        self._rendered: tuple[FleetSample, Floats] | None = None

    def text(self, node: str, now: float) -> str:
        """Exposition text of one node; KeyError for a node that the fleet does not have."""
        first, last = self._fleet.node_slices[node]
        values = self._values(self._fleet.sample(now))[first:last]
        fields = np.array([self._on(field, first) for field in self._fields])
        return self._template(node) % tuple(values[:, fields].T.ravel().tolist())

    def all_text(self, now: float) -> Iterator[str]:
        """Text of every node, one after the other: a scrape of the fleet in one answer."""
        return (self.text(node, now) for node in self._fleet.node_slices)

    def _values(self, sample: FleetSample) -> Floats:
        """[devices, fields] in the regime's units, computed once a collection."""
        if self._rendered is None or self._rendered[0] is not sample:
            devices = self._devices(sample)
            columns = np.stack([field.read(devices) for field in self._fields], axis=1)
            self._rendered = sample, columns * self._factors
        return self._rendered[1]

    def _devices(self, sample: FleetSample) -> Devices:
        return Devices(
            values=sample.values,
            memory_share=self._fleet.memory_share,
            energy_joules=_ENERGY_BEFORE_JOULES + sample.energy_joules,
            power_capped_seconds=sample.power_capped_seconds,
            thermal_seconds=sample.thermal_seconds,
            **self._static,
        )

    def _on(self, field: MetricFamily, first: int) -> bool:
        return field.on_instances or self._fleet.slots[first].instance is None

    def _template(self, node: str) -> str:
        version = self._fleet.version[node]
        known = self._templates.get(node)
        if known is None or known[0] != version:
            known = version, self._make_template(node)
            self._templates[node] = known
        return known[1]

    def _make_template(self, node: str) -> str:
        first, last = self._fleet.node_slices[node]
        labels = [self._labels(self._fleet.slots[i], self._fleet.holder[i]) for i in range(first, last)]
        lines: list[str] = []
        for field in self._fields:
            if self._on(field, first):
                lines.extend(self._family(field, labels))
        return "\n".join(lines) + "\n"

    def _family(self, field: MetricFamily, labels: list[str]) -> Iterator[str]:
        name = field.new_name if self._regime is NamingRegime.NEW else field.name
        ratio = self._regime is NamingRegime.NEW and field.new_factor < 1
        number = "%d" if field.integer and not ratio else "%f"
        yield f"# HELP {name} {field.help}".replace("%", "%%")
        yield f"# TYPE {name} {field.type}"
        for each in labels:
            yield f"{name}{{{each}}} {number}"

    def _labels(self, slot: Slot, pod: SimPod | None) -> str:
        host = "Hostname" if self._regime is NamingRegime.LEGACY else "hostname"
        driver = "DCGM_FI_SYSTEM_DRIVER_VERSION" if self._regime is NamingRegime.NEW else "DCGM_FI_DRIVER_VERSION"
        pairs = [
            ("gpu", str(slot.index)),
            ("UUID", slot.uuid),
            ("pci_bus_id", slot.pci_bus_id),
            ("device", f"nvidia{slot.index}"),
            ("modelName", self._fleet.nodes[slot.node].model_name),
        ]
        if slot.instance is not None and slot.device.mig is not None:
            pairs += [("GPU_I_PROFILE", slot.device.mig.name), ("GPU_I_ID", str(slot.instance))]
        pairs += [(host, slot.node), (driver, DRIVER_VERSION)]
        if pod is not None:
            pairs += [("container", pod.container), ("namespace", pod.namespace), ("pod", pod.name)]
        return ",".join(f'{name}="{value}"' for name, value in pairs).replace("%", "%%")


def _served(field: MetricFamily, regime: NamingRegime, counters: str) -> bool:
    named = regime is not NamingRegime.NEW or bool(field.new_name)
    return named and (field.default or counters == "full")


def _static_columns(fleet: SimFleet) -> dict[str, Floats]:
    """Product facts by device; a product without a known link rate has no traffic there."""
    gpus = [slot.device.gpu for slot in fleet.slots]
    memory = [slot.device.mig.memory_bytes if slot.device.mig else slot.device.gpu.memory_bytes for slot in fleet.slots]
    return {
        "tdp_watts": np.array([gpu.tdp_watts or 0.0 for gpu in gpus]),
        "reference_clock_mhz": np.array([gpu.reference_clock_mhz or 0.0 for gpu in gpus]),
        "max_clock_mhz": np.array([gpu.max_clock_mhz or 0.0 for gpu in gpus]),
        "pcie_bytes_per_s": np.array([gpu.pcie_bytes_per_s or 0.0 for gpu in gpus]),
        "nvlink_bytes_per_s": np.array([gpu.nvlink_bytes_per_s or 0.0 for gpu in gpus]),
        "pcie_generation": np.array([_generation(gpu.pcie_bytes_per_s) for gpu in gpus]),
        "memory_bytes": np.array(memory),
    }


def _generation(pcie_bytes_per_s: float | None) -> float:
    rate = pcie_bytes_per_s or 0.0
    return next((generation for limit, generation in _PCIE_GENERATION_OF.items() if rate <= limit), 0.0)
