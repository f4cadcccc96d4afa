"""The ranked places of a workload in the words of Kubernetes' device claims (DRA), for its owner to use.

A claim's `firstAvailable` is a list by preference, which the scheduler reads itself: the products in the order of the
solver, so that the second best is taken where the best is gone. A claim can not be changed once its pod is there, so it
is written before, by whoever writes the pods.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#prioritized-list
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.fitting import Grant
from mfu.decide.fleet.standing import Need

DRIVER: Final = "gpu.nvidia.com"
"""Whose attributes are asked about: https://github.com/NVIDIA/k8s-dra-driver-gpu"""
MOST_CHOICES: Final = 8
"""Of one `firstAvailable`, by the API."""


def claim_template(name: str, ask: Need, ranked: Sequence[Grant], cut: Sequence[DeviceKind] = ()) -> dict[str, Any]:
    """A ResourceClaimTemplate for the pods of `ask`, the best product first; one claim holds the devices of one pod.

    `cut`: what a driver would cut for it, before all that has room as it is. Raises ValueError where nothing holds it:
    a claim without a choice is no claim.
    """
    kinds = _choices(cut, ranked)
    if not kinds:
        raise ValueError("no product has room for it now")
    choices = [_choice(number, kind, min(ask.piece, ask.gpus)) for number, kind in enumerate(kinds)]
    request = {"name": "gpus", "firstAvailable": choices}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def _choices(cut: Sequence[DeviceKind], ranked: Sequence[Grant]) -> list[DeviceKind]:
    """As many as the API takes. Of slices only so many that the whole GPUs behind them stay."""
    slices, whole = ([each for each in cut if bool(each.profile) is sliced] for sliced in (True, False))
    kept = slices[: max(1, MOST_CHOICES - len(whole))]
    return list(dict.fromkeys((*kept, *whole, *(each.kind for each in ranked))))[:MOST_CHOICES]


def _choice(number: int, kind: DeviceKind, count: int) -> dict[str, Any]:
    """The product label is the driver's name of it with dashes for blanks, as GPU feature discovery writes it."""
    words = [f'device.attributes["{DRIVER}"].productName.replace(" ", "-") == "{kind.product_label}"']
    if kind.profile:
        words.append(f'device.attributes["{DRIVER}"].profile == "{kind.profile}"')
    return {
        "name": f"choice-{number}",
        "deviceClassName": f"mig.{DRIVER.partition('.')[2]}" if kind.profile else DRIVER,
        "count": count,
        "selectors": [{"cel": {"expression": each}} for each in words],
    }
