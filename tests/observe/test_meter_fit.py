"""The counters meter refitted without one recording at a time: the one left out stays within two points.

One product is an H200 but for two H100 runs at the power limit; left out, those may be half a point further off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfu.cli.recorded_run import placement_of, setup_of
from mfu.observe import counters, executed
from mfu.observe.evidence import gather, trimmed
from mfu.observe.readings import METRICS, Floats
from mfu.observe.traits import infer
from mfu.predict.types import Placement, Setup
from mfu.telemetry.recorded import parse
from tests.builders.faults import DATA

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not here"),
]
OURS = Path(__file__).parents[2] / "e2e" / "recordings"
GRID = list(product((0.95, 0.97, 0.99), (0.95, 0.96, 0.975, 0.99), (1.0, 1.15, 1.3)))
"""Pipe yield, yield at the power limit, pipe time of attention."""
SHIPPED = (counters.PIPE_YIELD, counters.CAPPED_YIELD, executed.ATTENTION_PIPE)


@dataclass(frozen=True)
class Recorded:
    name: str
    counted: float
    rows: Floats
    setup: Setup
    placement: Placement
    seen: Any

    def error(self) -> float:
        intent = executed.executed.__wrapped__(
            self.setup, recompute=self.seen.recompute, fused_attention=self.seen.fused_attention
        )
        precision = self.setup.precisions.compute
        found = counters.counters_mfu(self.rows, self.placement.device, precision, intent=intent)
        return float(np.nanmean(found.mfu)) - self.counted


def recorded() -> list[Recorded]:
    found = []
    files = (DATA / "traces.jsonl", OURS / "h100.jsonl", OURS / "h200.jsonl")
    for line in (line for path in files for line in path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if row.get("kind", "train") != "train" or row["precision"] != "bf16":
            continue
        trace = parse(line)
        series, setup = trimmed(trace.series), setup_of(trace.facts)
        placement = placement_of(trace.facts, series)
        assert setup is not None and placement is not None
        seen = infer(gather(series, nvlink=None, pcie=None), setup)
        name = f"{trace.scenario} on {row['gpu']}"
        found.append(Recorded(name, row["mfu"], series.values.reshape(-1, METRICS), setup, placement, seen))
    return found


@pytest.fixture(scope="module")
def errors() -> dict[tuple[float, float, float], Floats]:
    """Error of every recording under every choice of constants."""
    runs, table = recorded(), {}
    with pytest.MonkeyPatch.context() as patch:
        for choice in [*GRID, SHIPPED]:
            patch.setattr(counters, "PIPE_YIELD", choice[0])
            patch.setattr(counters, "CAPPED_YIELD", choice[1])
            patch.setattr(executed, "ATTENTION_PIPE", choice[2])
            table[choice] = np.array([run.error() for run in runs])
    return table


def test_the_one_left_out_stays_within_two_points(errors: dict[tuple[float, float, float], Floats]) -> None:
    names = [run.name for run in recorded()]
    for left_out, name in enumerate(names):
        fitted = min(GRID, key=lambda choice: float((np.delete(errors[choice], left_out) ** 2).sum()))
        assert abs(errors[fitted][left_out]) < (0.025 if "H100" in name else 0.02), name


def test_shipped_constants_are_among_the_good_ones(errors: dict[tuple[float, float, float], Floats]) -> None:
    best = min(float(np.abs(each).max()) for each in errors.values())
    assert float(np.abs(errors[SHIPPED]).max()) < best + 0.005
