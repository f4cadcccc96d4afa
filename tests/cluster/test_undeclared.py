"""An operator that is newer than the cluster's definitions says what they have room for, and all of it again later."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.undeclared import FORGET_SECONDS, undeclared, without
from mfu.cluster.writer import Writer
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Plan, WorkloadPlan
from mfu.engine.views import NO_STATUS
from tests.builders.virtual_time import run

REFUSAL = """failed to create typed patch object (a/w; mfu.gpuaas.io/v1alpha1, Kind=ModelWorkload): errors:
  .status.summary.slo: field not declared in schema
  .status.decisions[type="Placement"].hint: field not declared in schema"""
SAID = {
    "summary": {"expected": "41.2%", "slo": "kept"},
    "decisions": [{"type": "Placement", "hint": "x"}, {"type": "MIG"}],
}
FITTING = {"summary": {"expected": "41.2%"}, "decisions": [{"type": "Placement"}, {"type": "MIG"}]}


class OldDefinitions:
    """Refuses fields that it lacks, one at a time, in the words of a real API server."""

    def __init__(self, *lacks: str) -> None:
        self.lacks = list(lacks)
        self.taken: list[dict[str, Any]] = []
        self.asked = 0

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(0.01)
        for path in self.lacks:
            if path.rpartition(".")[2] in body["status"]["summary"]:
                raise ApiError(500, "Unknown", f"errors:\n  {path}: field not declared in schema", "PATCH")
        self.taken.append(body["status"])
        return body


def plan(count: int) -> Plan:
    status = Packed(WorkloadStatus, {"summary": {"expected": "41.2%", "observed": "30.0%", "slo": "kept"}})
    return Plan(workloads=tuple(WorkloadPlan("a", f"w{number}", f"u{number}", status) for number in range(count)))


def written(server: OldDefinitions, count: int, *, again_after: float | None = None) -> Writer:
    writer, told = Writer(cast(KubeClient, server)), plan(count)
    seen = {each.key: {"status": NO_STATUS, "annotations": {}, "version": "1"} for each in told.workloads}

    async def work() -> None:
        await writer.apply(told, seen, NO_REPORT)
        if again_after is not None:
            await asyncio.sleep(again_after)
            server.lacks.clear()
            await writer.apply(told, seen, NO_REPORT)

    run(work())
    return writer


def test_the_fields_that_a_server_names_are_left_out_in_lists_too() -> None:
    paths = undeclared(REFUSAL)
    assert paths == {("status", "summary", "slo"), ("status", "decisions", "hint")}
    assert without({"status": SAID}, paths) == {"status": FITTING}
    assert SAID["summary"] == {"expected": "41.2%", "slo": "kept"}


@pytest.mark.parametrize("words", ["", "Operation cannot be fulfilled", "summary.slo: field not declared", ".: x"])
def test_any_other_refusal_names_none(words: str) -> None:
    assert undeclared(words) == frozenset()


def test_what_the_definition_has_room_for_is_said_of_everybody() -> None:
    server = OldDefinitions(".status.summary.slo", ".status.summary.observed")
    writer = written(server, 50)
    assert server.taken == [{"summary": {"expected": "41.2%"}}] * 50
    assert (writer.counts.written, writer.counts.failed) == (50, 0)
    # Only those that were under way together when it was found out were asked for again.
    assert server.asked <= 50 + 2 * 20


def test_after_an_upgrade_all_of_it_is_said() -> None:
    server = OldDefinitions(".status.summary.slo")
    written(server, 1, again_after=FORGET_SECONDS + 1.0)
    assert server.taken[-1]["summary"]["slo"] == "kept"


def test_what_fails_for_another_reason_fails() -> None:
    class Refusing(OldDefinitions):
        async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            raise ApiError(500, "InternalError", "etcd is full", "PATCH")

    assert written(Refusing(), 3).counts.failed == 3
