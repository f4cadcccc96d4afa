"""What runs on the drawn fleets: the demo's cast, and five hundred workloads like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from e2e.demo.cast import CAST, PREFIX, Part
from mfu.hardware.labels import MIG_PREFIX
from mfu.sim.truth import IDLE, Fault, Truth, from_annotations

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NODES: Final = "H100-SXM5=4,H100-SXM5:1g.10gb=1,H200-SXM=4"
"""The demo's, and one more for the job that comes later."""
SPARE_NODES: Final = 12
LARGE_HOURS: Final = 0.5
WARM_MINUTES: Final = 20
"""Of history before what is drawn begins: what the windows of its first moment look back on."""


@dataclass(frozen=True, slots=True)
class Played:
    """One workload: where its pods may run, and its truth by the minute from which it holds; none yet: not there."""

    namespace: str
    name: str
    spec: dict[str, Any]
    product: str
    pods: int
    gpus: int
    acts: tuple[tuple[int, Truth], ...]
    resource: str = "nvidia.com/gpu"

    @property
    def mig(self) -> bool:
        return self.resource.startswith(MIG_PREFIX)

    def pod_keys(self) -> list[tuple[str, str]]:
        return [(self.namespace, f"{self.name}-{number}") for number in range(self.pods)]


@dataclass(frozen=True, slots=True)
class DrawnFleet:
    nodes: str
    workloads: tuple[Played, ...]
    every_seconds: int
    hours: float

    @property
    def minutes(self) -> int:
        """Of history, in all."""
        return round(60 * self.hours) + WARM_MINUTES


def demo() -> DrawnFleet:
    """Its cast; the link of the faulty one breaks after four hours, and a job comes after two."""
    cast = [played(part) for part in CAST]
    faulty = next(each for each in cast if each.name == "faulty-training")
    broken = faulty.acts[0][1]
    healthy = replace(broken, mfu=0.36, fault=Fault.NONE)
    cast[cast.index(faulty)] = replace(faulty, acts=((0, healthy), (260, broken)))
    dense = next(each for each in cast if each.name == "dense-training")
    cast.append(named(dense, "team-vision", "late-training", ((130, replace(dense.acts[0][1], mfu=0.33)),)))
    return DrawnFleet(NODES, tuple(cast), 30, 6.0)


def large(count: int = 500, namespaces: int = 20, seed: int = 14) -> DrawnFleet:
    """So many of the cast's kinds, each at a level of its own; some have a fault, some hold and do nothing."""
    random = Random(seed)
    kinds = [played(part) for part in CAST if "mig" not in part.resource and "fault" not in part.planted]
    found = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        first = random.choice((0, 0, 0, random.randrange(round(60 * LARGE_HOURS))))
        level = replace(kind.acts[0][1], mfu=kind.acts[0][1].mfu * random.uniform(0.8, 1.05))
        name = f"{kind.name}-{number:03d}"
        found.append(named(kind, f"team-{number * namespaces // count:02d}", name, ((first, _fault(level, random)),)))
    devices = {
        product: sum(each.pods * each.gpus for each in found if each.product == product)
        for product in ("H100-SXM5", "H200-SXM")
    }
    nodes = ",".join(f"{product}={count // 8 + SPARE_NODES}" for product, count in devices.items())
    return DrawnFleet(nodes, tuple(found), 180, LARGE_HOURS)


def _fault(level: Truth, random: Random) -> Truth:
    drawn = random.random()
    if drawn < 0.03:
        return IDLE
    if drawn > 0.1 or level.mode != "Training":
        return level
    fault = random.choice((Fault.SLOW_LINK, Fault.STARVED_INPUT, Fault.THROTTLED_CLOCK, Fault.STRAGGLER))
    return replace(level, mfu=0.6 * level.mfu, fault=fault)


def played(part: Part) -> Played:
    """A part of the demo as its manifest and its example declare it."""
    spec = yaml.safe_load((EXAMPLES / f"{part.example}.yaml").read_text())["spec"]
    truth = from_annotations({PREFIX + key: value for key, value in part.planted.items()})
    product = spec["accelerators"]["products"][0]
    acts = ((0, truth),)
    return Played(part.namespace, part.example, spec, product, part.pods, part.gpus, acts, part.resource)


def named(like: Played, namespace: str, name: str, acts: tuple[tuple[int, Truth], ...]) -> Played:
    target = {**like.spec["targetRef"], "name": name}
    return replace(like, namespace=namespace, name=name, spec={**like.spec, "targetRef": target}, acts=acts)


FLEETS: Final[dict[str, Callable[[], DrawnFleet]]] = {"demo": demo, "500": large}
