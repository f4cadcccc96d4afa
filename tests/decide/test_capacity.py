"""The ledger, pool by pool: what is free, what is slow, whom a pod's own words admit; and places as selectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfu.decide.fleet.capacity import HOST_LABEL, DeviceKind, Domain, Pool, Share, capacity_of
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.fitting import Grant, Quality
from mfu.decide.fleet.placement import product_selector, selector
from mfu.decide.types import NodeView
from tests.builders.cases import node
from tests.builders.fleets import H100

H200 = "NVIDIA-H200"
WHOLE = DeviceKind("", H100)


def pool_of(*nodes: NodeView) -> Pool:
    return capacity_of(nodes).pools[WHOLE]


def test_what_is_marked_slow_is_as_if_nothing_were_free_on_it() -> None:
    pool = pool_of(node("n0", used=3), node("n1", slow_until=5), node("n2", slow_until=0))
    assert pool.swift.free.tolist() == [5, 0, 0]
    assert pool.swift.total.tolist() == pool.total.tolist()
    assert pool.slow_among([Share("n0", 1), Share("n1", 1), Share("n2", 1)]) == ("n1", "n2")
    assert pool.slow_among([Share("gone", 1), Share("a", 1)]) == ()
    quick = pool_of(node("n0"))
    assert quick.swift is quick


def test_whoever_says_nothing_or_is_not_told_apart_is_admitted_everywhere() -> None:
    pool = pool_of(node("n0"), node("n1"))
    nobody = Constraints.read({"nodeSelector": {HOST_LABEL: "n0"}})
    assert pool.admitting(()) is pool
    bare = replace(pool, views=())
    assert bare.admitting((nobody,)) is bare
    assert pool.admitting((Constraints.read({}),)) is pool


def test_what_is_not_admitted_is_neither_free_nor_there() -> None:
    pool = pool_of(*(node(name, labels={HOST_LABEL: name}) for name in ("n0", "n1")))
    only = pool.admitting((Constraints.read({"nodeSelector": {HOST_LABEL: "n1"}}),))
    assert (only.free.tolist(), only.total.tolist()) == ([0, 8], [0, 8])


def test_failed_devices_are_taken_off_whole_gpus_and_never_off_slices() -> None:
    pools = capacity_of([node("n0", failed=2, gpus=4, mig={"1g.10gb": 14})]).pools
    assert pools[WHOLE].total.tolist() == [2]
    assert pools[DeviceKind("1g.10gb", H100)].total.tolist() == [14]


def test_what_is_there_of_shares() -> None:
    capacity = capacity_of([node("n0", used=6), node("n1", used=8)])
    wanted = [Share("n0", 4), Share("n1", 4), Share("gone", 4)]
    assert capacity.of(WHOLE, wanted) == (Share("n0", 2),)
    assert capacity.of(DeviceKind("", H200), wanted) == ()


@pytest.mark.parametrize("name", ["free", "total", "domain", "joined"])
def test_what_cycles_share_is_read_only(name: str) -> None:
    counts = getattr(pool_of(node("n0", linked=4)), name)
    assert isinstance(counts, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        counts[0] = 1


def grant(product: str, *nodes: str) -> Grant:
    domains = tuple(Domain(HOST_LABEL, name) for name in nodes)
    return Grant(DeviceKind("", product), Quality.ONE_DOMAIN, tuple(Share(name, 8) for name in nodes), domains)


def test_a_selector_says_what_all_grants_have_in_common() -> None:
    assert selector([grant(H100, "n0")]) == {"nvidia.com/gpu.product": H100, HOST_LABEL: "n0"}
    assert selector([grant(H100, "n0"), grant(H100, "n1")]) == {"nvidia.com/gpu.product": H100}
    assert selector([grant(H100, "n0"), grant(H200, "n0")]) == {HOST_LABEL: "n0"}
    assert selector([grant(H100, "n0", "n1"), grant(H200, "n0")]) == {}


def test_the_product_alone_is_said_where_there_is_one_and_its_label_is_known() -> None:
    assert product_selector([grant(H100, "n0"), grant(H100, "n1")]) == {"nvidia.com/gpu.product": H100}
    assert product_selector([grant(H100, "n0"), grant(H200, "n0")]) == {}
    assert product_selector([grant("Never-Heard-Of", "n0")]) == {}
