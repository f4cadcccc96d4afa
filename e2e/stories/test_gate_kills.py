"""The operator dies, at whichever step: every pod behind our gate runs within its deadline, none with half a hint."""

from __future__ import annotations

import time

import pytest

from e2e.stories.gates import PODS, Gates, Running, Step, all_running, cleared, hinted, left_seconds, started
from e2e.testbed.cluster import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]


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
}


@pytest.mark.prove(times=20)
@pytest.mark.parametrize("step", STEPS)
def test_killed_and_not_restarted(gates: Gates, keeper: Running, step: str) -> None:
    space = gates.namespace()
    with gates.operator() as operator:
        operator.wait_ready()
        if step == "before-pods":
            operator.kill()
        at = STEPS[step]
        if at is not None:
            operator.kill_at(at)
        since = time.monotonic()
        made = started(gates.plane, "train", space)
        if step == "pods-seen":
            operator.kill()
        if at is not None:
            wait_until(lambda: operator.child.pid is None, what=f"the operator ended at {step}", within_seconds=30)
        pods = all_running(gates.plane, "train", space, within_seconds=left_seconds(since))
        assert operator.child.pid is None
    assert {pod["metadata"]["uid"] for pod in pods} == {pod["metadata"]["uid"] for pod in made}, "none was made anew"
    got = [hinted(pod) for pod in pods]
    if step in ("before-pods", "before-reading", "read-not-patched"):
        assert got == [False] * PODS
    if step in ("patched-not-answered", "half-of-the-pods"):
        assert any(got)
    cleared(gates, "train", space)
