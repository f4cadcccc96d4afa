"""The operator dies, at whichever step: every pod behind our gate runs within its deadline, none with half a hint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from e2e.stories.deaths import DEADLINE_SECONDS, LANES, Lane, lanes
from e2e.stories.gates import PODS, Gates, Running, Step, all_running, cleared, hinted, left_seconds, policy, started
from e2e.testbed.cluster import wait_until
from e2e.testbed.rounds import TIMES

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]

DEATHS_A_STEP: Final = 100


@pytest.fixture(scope="module")
def keeper(gates: Gates) -> Iterator[Running]:
    """One for all deaths: it is never the one that dies."""
    with gates.keeper() as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def side_by_side(gates: Gates, keeper: Running) -> Iterator[list[Lane]]:
    gates.plane.apply(policy(deadline_seconds=DEADLINE_SECONDS))
    with lanes(gates) as made:
        yield made
    gates.plane.apply(policy())


def test_all_pods_go_where_the_hint_says(gates: Gates, keeper: Running) -> None:
    space = gates.namespace()
    with gates.operator() as operator:
        operator.wait_ready()
        started(gates.plane, "whole", space)
        pods = all_running(gates.plane, "whole", space, within_seconds=30)
    assert all(hinted(pod) for pod in pods)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 1
    assert operator.patched_pods == PODS, "hint and release are one request"
    cleared(gates, "whole", space)


STEPS = {
    "before-pods": None,
    "pods-seen": None,
    "before-reading": Step("GET"),
    "read-not-patched": Step("PATCH"),
    "patched-not-answered": Step("PATCH", answered=True),
    "half-of-the-pods": Step("PATCH", answered=True, count=PODS // 2),
    "all-of-the-pods": Step("PATCH", answered=True, count=PODS),
}
UNTOUCHED = frozenset({"before-pods", "before-reading", "read-not-patched"})


@pytest.mark.prove(times=DEATHS_A_STEP // LANES)
@pytest.mark.parametrize("step", STEPS)
def test_killed_and_not_restarted(
    side_by_side: list[Lane], keeper: Running, step: str, record_property: Callable[[str, object], None]
) -> None:
    """A whole operator of every lane."""
    record_property(TIMES, len(side_by_side))
    with ThreadPoolExecutor(len(side_by_side)) as pool:
        for death in [pool.submit(die, lane, step) for lane in side_by_side]:
            death.result()
    assert keeper.child.pid is not None


def die(lane: Lane, step: str) -> None:
    """One operator of the lane is killed at this step, and its pods are waited for."""
    plane = lane.gates.plane
    with lane.operator() as operator:
        at = STEPS[step]
        if step == "before-pods":
            assert operator.kill()
        if at is not None:
            operator.kill_at(at)
        since = time.monotonic()
        made = started(plane, "train", lane.space, lane.labels)
        if step == "pods-seen":
            assert operator.kill()
        wait_until(lambda: operator.child.pid is None, what=f"an end at {step}", within_seconds=30, every_seconds=0.02)
        pods = all_running(plane, "train", lane.space, within_seconds=left_seconds(since, DEADLINE_SECONDS))
    assert {pod["metadata"]["uid"] for pod in pods} == {pod["metadata"]["uid"] for pod in made}, "none was made anew"
    got = [hinted(pod) for pod in pods]
    if step in UNTOUCHED:
        assert got == [False] * PODS
    if at is not None and at.answered:
        assert sum(got) >= at.count, "a patch that was answered stands"
    nodes = {pod["spec"]["nodeName"] for pod, hint in zip(pods, got, strict=True) if hint}
    assert len(nodes) <= 1, "who has the hint is where it says"
    cleared(lane.gates, "train", lane.space)
