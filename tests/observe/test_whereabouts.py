"""Which node or GPU departed from its peers: by what changed, by what is unlike without a before, and by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, Metric, WorkloadSeries
from mfu.observe.whereabouts import DeviceLevels, departed, levels_of

USUAL = {
    Metric.PCIE_LINK_WIDTH: 16.0,
    Metric.SM_CLOCK: 1.5e9,
    Metric.NVLINK_TX: 2e10,
    Metric.GR_ENGINE_ACTIVE: 0.98,
    Metric.SM_ACTIVE: 0.9,
}


def levels(nodes: int, gpus: int, changes: dict[tuple[Metric, int], float] | None = None) -> DeviceLevels:
    """`changes` multiplies a reading of a device, counted through all nodes."""
    values = np.full((12, nodes * gpus, METRICS), np.nan)
    for metric, usual in USUAL.items():
        values[..., metric] = usual * (1 + 0.005 * np.random.default_rng(int(metric)).normal(size=values.shape[:2]))
    for (metric, device), factor in (changes or {}).items():
        values[:, device, metric] *= factor
    names = tuple(
        GPUIdentity(GPUKey(f"GPU-{each}"), "NVIDIA H100 80GB HBM3", node=f"n{each // gpus}")
        for each in range(nodes * gpus)
    )
    found = levels_of(WorkloadSeries(names, np.arange(12.0), values, 1.0), since=0.0, until=12.0)
    assert found is not None
    return found


def node_of(metric: Metric, node: int, factor: float) -> dict[tuple[Metric, int], float]:
    return {(metric, 8 * node + each): factor for each in range(8)}


@pytest.mark.parametrize("metric", list(USUAL))
@pytest.mark.parametrize("node", [0, 1])
def test_a_node_of_two(metric: Metric, node: int) -> None:
    factor = 1.09 if metric is Metric.SM_ACTIVE else 0.6 if metric is Metric.NVLINK_TX else 0.92
    if metric is Metric.PCIE_LINK_WIDTH:
        factor = 0.5
    found = departed(levels(2, 8), levels(2, 8, node_of(metric, node, factor)))
    assert found is not None
    assert (found.node, found.gpu) == (f"n{node}", None)


@pytest.mark.parametrize(("nodes", "device"), [(1, 3), (2, 11), (4, 0)])
def test_one_gpu(nodes: int, device: int) -> None:
    found = departed(levels(nodes, 8), levels(nodes, 8, {(Metric.SM_CLOCK, device): 0.9}))
    assert found is not None
    assert (found.node, found.gpu) == (f"n{device // 8}", f"GPU-{device}")
    assert found.evidence.startswith(f"SM clock of GPU GPU-{device} on n{device // 8} -10 %")


def test_a_place_that_was_always_like_that_has_not_departed() -> None:
    slow = {(Metric.SM_CLOCK, 3): 0.9}
    assert departed(levels(2, 8, slow), levels(2, 8, slow)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {(Metric.SM_CLOCK, each): 0.92 for each in range(16)},
        {(Metric.SM_CLOCK, 0): 0.9, (Metric.SM_CLOCK, 9): 0.9},
        {(Metric.SM_CLOCK, 0): 0.9, (Metric.SM_CLOCK, 1): 0.9},
    ],
    ids=["nothing", "all alike", "one here and one there", "two of a node's eight"],
)
def test_several_places_are_no_place(changes: dict[tuple[Metric, int], float]) -> None:
    assert departed(levels(2, 8), levels(2, 8, changes)) is None


def test_without_a_before_only_what_peers_have_in_common_tells() -> None:
    found = departed(None, levels(2, 8, node_of(Metric.SM_CLOCK, 1, 0.91)))
    assert found is not None
    assert found.node == "n1"
    assert departed(None, levels(2, 8, node_of(Metric.SM_ACTIVE, 1, 1.09))) is None


def test_other_devices_are_no_before() -> None:
    found = departed(levels(1, 8), levels(2, 8, node_of(Metric.SM_CLOCK, 1, 0.91)))
    assert found is not None
    assert departed(levels(1, 8), levels(2, 8, node_of(Metric.SM_ACTIVE, 1, 1.09))) is None


def test_a_device_alone_has_no_peers() -> None:
    assert departed(levels(1, 1), levels(1, 1, {(Metric.SM_CLOCK, 0): 0.5})) is None


def test_too_little_or_a_nameless_node_tells_nothing() -> None:
    series = WorkloadSeries((GPUIdentity(GPUKey("GPU-0"), "x"),), np.arange(12.0), np.zeros((12, 1, METRICS)), 1.0)
    assert levels_of(series, since=0.0, until=12.0) is None
    named = (GPUIdentity(GPUKey("GPU-0"), "x", node="n0"),)
    assert levels_of(WorkloadSeries(named, series.times, series.values, 1.0), since=10.5, until=12.0) is None
