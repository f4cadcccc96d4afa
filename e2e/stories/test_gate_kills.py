"""Whoever dies, and at whichever step: every pod behind our gate runs within its deadline, none with half a hint."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from e2e.stories.conftest import Stage
from e2e.stories.gates import (
    PODS,
    Gates,
    Running,
    Step,
    all_running,
    hinted,
    json_gates,
    left_seconds,
    pods_of,
    policy,
    started,
    values,
)
from e2e.stories.programs import MFU
from e2e.testbed.cluster import wait_until
from mfu.api.names import PLACEMENT_GATE

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]


@pytest.fixture(scope="module")
def gates(shared_stage: Stage) -> Iterator[Gates]:
    """The chart's gate on a cluster of four nodes of eight H100."""
    made = Gates(shared_stage, shared_stage.fleet("H100-SXM5=4"))
    shared_stage.install(values())
    shared_stage.cluster.apply(policy())
    space = made.namespace()
    # A new admission policy takes a moment to be in force.
    probe = iter(range(1000))

    def stamped() -> bool:
        pods = started(made.plane, f"probe-{next(probe)}", space)
        return all(json_gates(pod) == [PLACEMENT_GATE] for pod in pods)

    wait_until(stamped, what="the gate's policy in force", within_seconds=60)
    made.plane.kubectl("delete", "job,modelworkload", "--all", "-n", space)
    yield made


@pytest.fixture
def keeper(gates: Gates) -> Iterator[Running]:
    with gates.keeper() as running:
        running.wait_ready()
        yield running


def _gone(gates: Gates, name: str, namespace: str) -> None:
    """Leaves the GPUs to whoever comes next."""
    gates.plane.kubectl("delete", "job,modelworkload", name, "-n", namespace, "--wait=false")
    gates.plane.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force", "--wait=false")
    wait_until(lambda: not pods_of(gates.plane, name, namespace), what=f"{name} gone", within_seconds=60)


def test_all_pods_go_where_the_hint_says(gates: Gates, keeper: Running) -> None:
    space = gates.namespace()
    with gates.operator() as operator:
        operator.wait_ready()
        started(gates.plane, "whole", space)
        pods = all_running(gates.plane, "whole", space, within_seconds=30)
    assert all(hinted(pod) for pod in pods)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 1
    assert operator.patched_pods == PODS, "hint and release are one request"
    _gone(gates, "whole", space)


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
    _gone(gates, "train", space)


@pytest.mark.prove(times=20)
def test_with_operator_and_keeper_dead_they_are_freed_by_hand(gates: Gates) -> None:
    space = gates.namespace()
    started(gates.plane, "stuck", space)
    environment = {**os.environ, "KUBECONFIG": str(gates.plane.kubeconfig)}
    done = subprocess.run(
        [MFU, "release", "--all", "-n", space], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Released") == PODS
    pods = all_running(gates.plane, "stuck", space, within_seconds=30)
    assert not any(hinted(pod) for pod in pods)
    _gone(gates, "stuck", space)


@pytest.mark.prove(times=20)
def test_of_two_operators_one_writes_and_the_other_takes_over(gates: Gates, keeper: Running) -> None:
    space = gates.namespace()
    with gates.operator() as first:
        first.wait_ready()
        with gates.operator(standby=True) as second:
            started(gates.plane, "one", space)
            pods = all_running(gates.plane, "one", space, within_seconds=30)
            assert all(hinted(pod) for pod in pods)
            assert (first.patched_pods, second.patched_pods) == (PODS, 0)
            _gone(gates, "one", space)
            first.kill()
            second.wait_ready()
            started(gates.plane, "two", space)
            assert all(hinted(pod) for pod in all_running(gates.plane, "two", space, within_seconds=30))
            assert second.patched_pods == PODS
    _gone(gates, "two", space)


@pytest.mark.prove(times=20)
def test_without_telemetry_nothing_new_is_decided_and_nothing_taken_back(gates: Gates, keeper: Running) -> None:
    space = gates.namespace()
    gates.plane.apply(policy(maxReadingAgeSeconds=5))
    with gates.operator() as operator:
        operator.wait_ready()
        started(gates.plane, "before", space)
        placed = all_running(gates.plane, "before", space, within_seconds=30)
        assert all(hinted(pod) for pod in placed)
        gates.fleet.break_telemetry("refused")
        try:
            # Readings grow old: longer than the policy lets them be.
            time.sleep(8)
            since = time.monotonic()
            started(gates.plane, "after", space)
            pods = all_running(gates.plane, "after", space, within_seconds=left_seconds(since))
        finally:
            gates.fleet.mend_telemetry()
            gates.plane.apply(policy())
        assert not any(hinted(pod) for pod in pods), "they run as they are"
        assert operator.patched_pods == PODS
    kept = pods_of(gates.plane, "before", space)
    assert [pod["metadata"]["uid"] for pod in kept] == [pod["metadata"]["uid"] for pod in placed]
    assert [pod["spec"] for pod in kept] == [pod["spec"] for pod in placed]
    for name in ("before", "after"):
        _gone(gates, name, space)


@pytest.mark.prove(times=20)
def test_an_api_server_that_crashes_under_gated_pods_frees_them_all_the_same(gates: Gates, keeper: Running) -> None:
    """Every watch ends, and the old versions are gone: operator and keeper list anew."""
    space = gates.namespace()
    with gates.operator() as operator:
        operator.wait_ready()
        # The operator sees nothing of it in time: what is gated now is the keeper's.
        operator.proxy.watcher = lambda _: False
        started(gates.plane, "train", space)
        gates.plane.restart_apiserver(crash=True)
        since = time.monotonic()
        pods = all_running(gates.plane, "train", space, within_seconds=left_seconds(since) + 30)
        assert not any(hinted(pod) for pod in pods)
        operator.proxy.watcher = lambda _: True
        _gone(gates, "train", space)
        wait_until(operator.answers, what="the operator ready again", within_seconds=60)
        started(gates.plane, "again", space)
        all_running(gates.plane, "again", space, within_seconds=40)
    _gone(gates, "again", space)
