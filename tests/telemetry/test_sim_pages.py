"""The simulated exporters, whose truth is known, read back in all three regimes."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.observe.readings import Metric, SourceState
from mfu.sim.exposition import Exporters
from mfu.sim.fields import NamingRegime
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.truth import Truth
from mfu.telemetry.dcgm.adapter import DCGMFleet

NODE = "h100-sxm5-00"


@pytest.fixture(scope="module")
def fleet() -> SimFleet:
    return SimFleet(parse_nodes("H100-SXM5=1"), (Workload("a", "t", Truth(0.4), gpus=4),), 3)


def test_three_regimes_of_one_fleet_agree(fleet: SimFleet) -> None:
    rounds = []
    for regime in NamingRegime:
        pages = Exporters(fleet, regime=regime)
        adapter = DCGMFleet()
        for now in (1000.0, 1030.0):
            found = adapter.round({NODE: pages.text(NODE, now).encode()}, now)
        assert (found.state, len(found.devices)) == (SourceState.OK, 8), found.message
        assert found.message == ""
        rounds.append(found)
    for metric in (
        Metric.TENSOR_ACTIVE,
        Metric.SM_ACTIVE,
        Metric.SM_CLOCK,
        Metric.POWER,
        Metric.ENERGY,
        Metric.NVLINK_RX,
    ):
        columns = [found.values[:, metric] for found in rounds]
        assert not np.isnan(columns[0]).any()
        for column in columns[1:]:
            assert column == pytest.approx(columns[0], rel=1e-4), metric
    assert [device.pod for device in rounds[0].devices] == ["t-0"] * 4 + [None] * 4


def test_legacy_and_transition_agree_on_memory_and_utilisation(fleet: SimFleet) -> None:
    columns = [Metric.FB_USED, Metric.GPU_UTIL, Metric.PCIE_RX, Metric.POWER_LIMIT, Metric.TEMPERATURE]
    found = [
        DCGMFleet()
        .round({NODE: Exporters(fleet, regime=regime).text(NODE, 1000.0).encode()}, 1000.0)
        .values[:, columns]
        for regime in (NamingRegime.LEGACY, NamingRegime.TRANSITION)
    ]
    assert found[0] == pytest.approx(found[1], nan_ok=True)
    assert not np.isnan(found[0]).any()
