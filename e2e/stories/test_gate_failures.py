"""All else that can fail under gated pods: keeper, leader, telemetry, API server. They run within their deadline."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from e2e.stories.gates import PODS, Gates, Running, all_running, cleared, hinted, left_seconds, pods_of, policy, started
from e2e.stories.programs import MFU
from e2e.testbed.cluster import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]


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
    cleared(gates, "stuck", space)


def test_of_two_operators_one_writes_and_the_other_takes_over(gates: Gates, keeper: Running) -> None:
    space = gates.namespace()
    with gates.operator() as first:
        first.wait_ready()
        with gates.operator(standby=True) as second:
            started(gates.plane, "one", space)
            pods = all_running(gates.plane, "one", space, within_seconds=30)
            assert all(hinted(pod) for pod in pods)
            assert (first.patched_pods, second.patched_pods) == (PODS, 0)
            cleared(gates, "one", space)
            first.kill()
            second.wait_ready()
            started(gates.plane, "two", space)
            assert all(hinted(pod) for pod in all_running(gates.plane, "two", space, within_seconds=30))
            assert second.patched_pods == PODS
    cleared(gates, "two", space)


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
        cleared(gates, name, space)


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
        cleared(gates, "train", space)
        wait_until(operator.answers, what="the operator ready again", within_seconds=60)
        started(gates.plane, "again", space)
        all_running(gates.plane, "again", space, within_seconds=40)
    cleared(gates, "again", space)
