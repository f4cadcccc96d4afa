"""Builders of small exposition texts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping

UUID = "GPU-11111111-2222-4333-8444-555555555555"
PRODUCT = "NVIDIA H100 80GB HBM3"


def line(name: str, value: object, **labels: str | None) -> str:
    """One DCGM sample of one GPU on a legacy exporter, unless labels say otherwise; a label of None is left out."""
    merged = {"gpu": "0", "UUID": UUID, "modelName": PRODUCT, "Hostname": "node-a", **labels}
    inside = ",".join(f'{key}="{text}"' for key, text in merged.items() if text is not None)
    return f"{name}{{{inside}}} {value}\n"


def page(values: Mapping[str, object], **labels: str | None) -> bytes:
    """One GPU's samples by DCGM field name without its prefix."""
    return "".join(line(f"DCGM_FI_{name}", value, **labels) for name, value in values.items()).encode()
