"""Minutes without an API server while gates are in flight: the same outcome as with one, only later."""

from __future__ import annotations

import time

import pytest

from e2e.stories.gates import PODS, Gates, Running, all_running, cleared, hinted, left_seconds, started
from e2e.testbed.cluster import wait_until
from e2e.testbed.proxy import Call

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=1)]

SHORT_SECONDS, WHOLE_SECONDS = 30.0, 300.0
"""Longer than any deadline here; what `make prove` plays is five minutes."""


def test_an_api_server_that_is_away_for_minutes(gates: Gates, keeper: Running, pytestconfig: pytest.Config) -> None:
    """It goes after the second of four pods was opened, and the operator has not heard of that."""
    away = SHORT_SECONDS if pytestconfig.getoption("--prove") is None else WHOLE_SECONDS
    space = gates.namespace()
    with gates.operator() as operator:
        operator.wait_ready()
        opened: list[Call] = []

        def until_the_second(call: Call) -> bool:
            if call.method == "PATCH" and "/pods/" in call.path and call.answered:
                opened.append(call)
            return len(opened) < 2

        operator.proxy.watcher = until_the_second
        started(gates.plane, "train", space)
        wait_until(lambda: len(opened) >= 2, what="two gates opened", within_seconds=60)
        gates.plane.stop_apiserver(crash=True)
        time.sleep(away)
        gates.plane.start_apiserver()
        operator.proxy.watcher = lambda _: True
        since = time.monotonic()
        pods = all_running(gates.plane, "train", space, within_seconds=left_seconds(since) + 30)
        assert sum(hinted(pod) for pod in pods) >= 2, "what was answered stands, and no hint is half"
        patched = [call.path for call in operator.proxy.calls if call.method == "PATCH" and "/pods/" in call.path]
        assert len(set(patched)) == len(patched) <= PODS, "no pod is patched twice"
        cleared(gates, "train", space)
        wait_until(operator.answers, what="the operator ready again", within_seconds=120)
        started(gates.plane, "next", space)
        assert all(hinted(pod) for pod in all_running(gates.plane, "next", space, within_seconds=90))
    cleared(gates, "next", space)
