"""Places on 5,000 nodes of 8 GPUs: how long one takes, and how many a second while the fleet fills up.

`python -m benchmarks.bench_placement_solver -o benchmarks/placement_solver.md`
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from mfu.decide.fleet.capacity import Capacity, capacity_of
from mfu.decide.fleet.constraints import Constraints, Expression, Term, Toleration
from mfu.decide.fleet.fitting import fit
from mfu.decide.fleet.order import decide_together
from mfu.decide.fleet.standing import Need, Standing, Worth
from mfu.decide.types import NodeView
from mfu.hardware.catalog import load
from mfu.hardware.types import Device

NODES: Final = 5_000
ASKS: Final = 2_000
PRODUCTS: Final = ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H200")
SIZES: Final = ((1, 1), (2, 2), (4, 4), (8, 8), (16, 8), (64, 8), (256, 8))
"""GPUs, and GPUs of one pod."""
SHARES: Final = (0.2, 0.1, 0.15, 0.3, 0.15, 0.08, 0.02)
HELD: Final = 0.6
"""Share of the GPUs that is in use before."""
WORDS: Final = (
    Constraints(selector=(("topology.kubernetes.io/zone", "zone-0"),)),
    Constraints(terms=(Term((Expression("topology.kubernetes.io/zone", "In", ("zone-0", "zone-1")),)),)),
    Constraints(tolerations=(Toleration("nvidia.com/gpu", "Exists"),)),
)
"""What pods say of nodes themselves, each as often, in the second pass."""
SEED: Final = 20_261_125


def fleet(chance: Random) -> tuple[NodeView, ...]:
    """Leaves of 16 nodes, spines of 16 leaves, three products, sixty percent of the GPUs in use at random."""
    nodes = []
    for index in range(NODES):
        label = PRODUCTS[index % 97 % 3]
        device = load().resolve(label)
        assert isinstance(device, Device)
        used = sum(chance.random() < HELD for _ in range(8)) if chance.random() < 0.5 else chance.choice((0, 8, 8))
        labels = {
            "fabric.topograph.run/tier-0": f"leaf-{index // 16}",
            "fabric.topograph.run/tier-1": f"spine-{index // 256}",
            "topology.kubernetes.io/zone": f"zone-{index // 2048}",
        }
        nodes.append(NodeView(f"node-{index:05}", label, device, 8, used={"nvidia.com/gpu": used}, labels=labels))
    return tuple(nodes)


def asks(chance: Random, capacity: Capacity) -> list[Need]:
    keys = sorted({pool.product for pool in capacity.pools.values()})
    worths = tuple(Worth(key, ((1, 50.0 * rank), (8, 100.0 * rank))) for rank, key in enumerate(keys, 1))
    sizes = chance.choices(SIZES, SHARES, k=ASKS)
    return [Need(gpus, piece=piece, tensor=min(8, gpus), worths=worths, unit="tokens/s") for gpus, piece in sizes]


def one_by_one(capacity: Capacity, queue: list[Need]) -> tuple[list[float], int]:
    """Milliseconds of every search, and how many found a place; each draws before the next one looks."""
    took, found = [], 0
    for ask in queue:
        began = time.perf_counter()
        choice = fit(ask, capacity)
        if choice is not None:
            capacity = capacity.drawn(choice.grant.kind, choice.grant.shares)
            found += 1
        took.append((time.perf_counter() - began) * 1e3)
    return took, found


def all_at_once(capacity: Capacity, queue: list[Need]) -> float:
    """Seconds for a whole queue with its words and affinities."""
    standings = [
        replace(Standing(f"team/w{index:05}"), pending=True, ask=ask, waiting_since=float(index))
        for index, ask in enumerate(queue)
    ]
    began = time.perf_counter()
    decide_together(standings, capacity)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    chance = Random(SEED)
    nodes = fleet(chance)
    began = time.perf_counter()
    capacity = capacity_of(nodes)
    built = time.perf_counter() - began
    queue = asks(chance, capacity)
    took, found = one_by_one(capacity, queue)
    worded, _ = one_by_one(capacity, [replace(each, constraints=(chance.choice(WORDS),)) for each in queue])
    table = _table(built, (took, worded), found, all_at_once(capacity, queue))
    print(table)
    if args.output:
        args.output.write_text(table)


def _table(built: float, passes: tuple[list[float], list[float]], found: int, together: float) -> str:
    took, worded = passes
    rows = {
        "reading 5,000 nodes into the ledger, once a cycle": f"{built * 1e3:.0f} ms",
        "one place, median": f"{np.median(took):.2f} ms",
        "one place, 99th percentile": f"{np.percentile(took, 99):.2f} ms",
        "one place, slowest": f"{max(took):.1f} ms",
        "places searched and drawn a second": f"{1e3 * len(took) / sum(took):,.0f}",
        "one place where pods name zones or tolerate taints, median": f"{np.median(worded):.2f} ms",
        "the same, 99th percentile": f"{np.percentile(worded, 99):.2f} ms",
        "the same, a second": f"{1e3 * len(worded) / sum(worded):,.0f}",
        "a whole queue with words and affinities, places a second": f"{len(took) / together:,.0f}",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    head = [
        "# Places",
        "",
        f"`python -m benchmarks.bench_placement_solver`: {NODES:,} nodes of 8 GPUs, three products, leaves, spines and "
        f"zones; {ASKS:,} asks of 1 to 256 GPUs, one after the other, {found:,} of them found a place. One core of a "
        f"{platform.machine()}, Python {platform.python_version()}. This is the solver alone: from decided to bound is "
        "the API server's and the scheduler's time.",
        "",
        "| what | |",
        "|---|---|",
    ]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    main()
