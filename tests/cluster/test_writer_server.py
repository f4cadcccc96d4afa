"""The writer on a real API server: writes what is news, nothing else, and to nobody else's object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from mfu.api.fleetreport import FleetStatus
from mfu.api.names import PAUSED_ANNOTATION, decision_annotation
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster import projection
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import FLEETREPORTS, MODELWORKLOADS
from mfu.cluster.writer import Writer
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Event, Plan, WorkloadPlan
from tests.builders.kube import training

pytestmark = pytest.mark.integration
NOTE = decision_annotation("Admission")
STATUS = {"observedGeneration": 1, "summary": {"expected": "41.2%", "observed": "40.8%"}}


async def created(server: ControlPlane, client: KubeClient, space: str, name: str = "llama") -> dict[str, Any]:
    server.apply(training(name), namespace=space)
    return await client.get(MODELWORKLOADS, name, space)


def plan_for(item: dict[str, Any], **fields: Any) -> Plan:
    metadata = item["metadata"]
    made = WorkloadPlan(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        Packed(WorkloadStatus, STATUS),
        {NOTE: "Admit: it fits"},
    )
    return Plan(workloads=(replace(made, **fields),))


def current_of(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    view = projection.workload_view(item)
    seen = {"status": view.status, "annotations": view.annotations, "version": view.resource_version}
    return {view.key: {**seen, "annotated": view.annotated}}


async def test_news_is_written_once_and_by_two_managers(server: ControlPlane, client: KubeClient, space: str) -> None:
    item, writer = await created(server, client, space), Writer(client)
    await writer.apply(plan_for(item), current_of(item), NO_REPORT)
    written = await client.get(MODELWORKLOADS, "llama", space)
    assert written["status"] == STATUS
    assert written["metadata"]["annotations"][NOTE] == "Admit: it fits"
    managers = {each["manager"]: each.get("subresource") for each in written["metadata"]["managedFields"]}
    assert managers["mfu-operator"] == "status"
    assert managers["mfu-operator-annotations"] is None
    # Owned whole: leaf by leaf, its owners would take as much room as the status, in every object and list.
    ours = [each["fieldsV1"] for each in written["metadata"]["managedFields"] if each["manager"] == "mfu-operator"]
    assert ours == [{"f:status": {}}]
    assert written["metadata"]["generation"] == item["metadata"]["generation"]


async def test_nothing_new_changes_no_version(server: ControlPlane, client: KubeClient, space: str) -> None:
    item = await created(server, client, space)
    await Writer(client).apply(plan_for(item), current_of(item), NO_REPORT)
    written = await client.get(MODELWORKLOADS, "llama", space)
    writer = Writer(client)
    await writer.apply(plan_for(written), current_of(written), NO_REPORT)
    assert (writer.counts.written, writer.counts.failed) == (0, 0)
    again = await client.get(MODELWORKLOADS, "llama", space)
    assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


async def test_our_own_echo_is_waited_for(server: ControlPlane, client: KubeClient, space: str) -> None:
    """Before the watch brings our write back, the cycle still sees the old status: that is no reason to write again."""
    item, writer = await created(server, client, space), Writer(client)
    for _ in range(3):
        await writer.apply(plan_for(item), current_of(item), NO_REPORT)
    assert (writer.counts.written, writer.counts.suppressed) == (2, 4)


async def test_a_deleted_object_is_not_resurrected(server: ControlPlane, client: KubeClient, space: str) -> None:
    item, writer = await created(server, client, space), Writer(client)
    server.kubectl("delete", "modelworkload", "llama", "-n", space)
    await writer.apply(plan_for(item), current_of(item), NO_REPORT)
    assert writer.counts.written == 0
    with pytest.raises(ApiError) as gone:
        await client.get(MODELWORKLOADS, "llama", space)
    assert gone.value.status == 404


async def test_a_recreated_object_is_another_one(server: ControlPlane, client: KubeClient, space: str) -> None:
    old, writer = await created(server, client, space), Writer(client)
    server.kubectl("delete", "modelworkload", "llama", "-n", space)
    new = await created(server, client, space)
    await writer.apply(plan_for(old), current_of(old), NO_REPORT)
    found = await client.get(MODELWORKLOADS, "llama", space)
    assert "status" not in found
    assert found["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]
    # What failed for the old one holds nothing back from the new one.
    await writer.apply(plan_for(new), current_of(new), NO_REPORT)
    assert (await client.get(MODELWORKLOADS, "llama", space))["status"] == STATUS


async def test_news_is_answered_in_whatever_version_and_to_no_other_object(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    item, writer = await created(server, client, space), Writer(client)
    (seen,) = current_of(item).values()
    note = {"metadata": {"annotations": {"example.com/note": "changed meanwhile"}}}
    await client.merge(MODELWORKLOADS, "llama", note, namespace=space)
    await writer.answer(plan_for(item).workloads[0], seen)
    found = await client.get(MODELWORKLOADS, "llama", space)
    assert found["status"] == STATUS
    assert found["metadata"]["annotations"] == {"example.com/note": "changed meanwhile"}
    server.kubectl("delete", "modelworkload", "llama", "-n", space)
    await created(server, client, space)
    await Writer(client).answer(plan_for(item).workloads[0], seen)
    assert "status" not in await client.get(MODELWORKLOADS, "llama", space)


async def test_what_somebody_else_wrote_over_is_set_right(server: ControlPlane, client: KubeClient, space: str) -> None:
    item = await created(server, client, space)
    forged = {"metadata": {"annotations": {NOTE: "Hold: says a tenant", PAUSED_ANNOTATION: "false"}}}
    await client.merge(MODELWORKLOADS, "llama", forged, namespace=space)
    await client.merge(
        MODELWORKLOADS, "llama", {"status": {"summary": {"cause": "Forged"}}}, namespace=space, subresource="status"
    )
    seen = await client.get(MODELWORKLOADS, "llama", space)
    await Writer(client).apply(plan_for(item), current_of(seen), NO_REPORT)
    found = await client.get(MODELWORKLOADS, "llama", space)
    assert found["metadata"]["annotations"][NOTE] == "Admit: it fits"
    assert found["metadata"]["annotations"][PAUSED_ANNOTATION] == "false", "what is not ours stays"
    assert found["status"]["summary"]["expected"] == "41.2%"


async def test_annotations_that_are_no_longer_said_go(server: ControlPlane, client: KubeClient, space: str) -> None:
    item = await created(server, client, space)
    await Writer(client).apply(plan_for(item), current_of(item), NO_REPORT)
    written = await client.get(MODELWORKLOADS, "llama", space)
    await Writer(client).apply(plan_for(item, annotations={}), current_of(written), NO_REPORT)
    found = await client.get(MODELWORKLOADS, "llama", space)
    assert NOTE not in found["metadata"].get("annotations", {})
    assert found["status"] == STATUS


async def test_annotations_that_others_took_away_meanwhile_are_a_conflict_and_come_back(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    item, writer = await created(server, client, space), Writer(client)
    await writer.apply(plan_for(item), current_of(item), NO_REPORT)
    seen = await client.get(MODELWORKLOADS, "llama", space)
    await client.merge(MODELWORKLOADS, "llama", {"metadata": {"annotations": None}}, namespace=space)
    late = Writer(client)
    await late.apply(plan_for(seen, annotations={NOTE: "Admit: again"}), current_of(seen), NO_REPORT)
    assert (late.counts.conflicts, late.counts.failed) == (1, 0)
    bare = await client.get(MODELWORKLOADS, "llama", space)
    await late.apply(plan_for(bare, annotations={NOTE: "Admit: again"}), current_of(bare), NO_REPORT)
    assert (await client.get(MODELWORKLOADS, "llama", space))["metadata"]["annotations"] == {NOTE: "Admit: again"}


NO_NOTE = "!('refused' in object.metadata.?annotations.orValue({}))"
REFUSING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "no-notes"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["mfu.gpuaas.io"],
                    "apiVersions": ["*"],
                    "operations": ["UPDATE"],
                    "resources": ["modelworkloads"],
                }
            ]
        },
        "validations": [{"expression": NO_NOTE, "message": "not so"}],
    },
}
BOUND = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "no-notes"},
    "spec": {"policyName": "no-notes", "validationActions": ["Deny"]},
}


async def test_annotations_that_a_policy_refuses_wait_ever_longer(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    """Such a refusal is a 422 as well, and no conflict: the next round would be refused the same."""
    item = await created(server, client, space)
    server.apply(REFUSING, BOUND)
    trying = ("annotate", "modelworkload", "llama", "-n", space, "--overwrite", "refused=1", "--dry-run=server")
    try:
        wait_until(lambda: _refused(server, trying), what="the policy in force")
        writer = Writer(client)
        for _ in range(3):
            plan = plan_for(item, annotations={"refused": "1"}, status=projection.workload_view(item).status)
            await writer.apply(plan, current_of(item), NO_REPORT)
        assert (writer.counts.conflicts, writer.counts.failed, writer.counts.suppressed) == (0, 1, 2)
    finally:
        server.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-notes")


def _refused(server: ControlPlane, trying: tuple[str, ...]) -> bool:
    try:
        server.kubectl(*trying)
    except KubectlFailed:
        return True
    return False


async def test_the_report_is_made_where_there_is_none(client: KubeClient) -> None:
    report = {"window": "10m", "summary": {"mfu": "31.0%"}}
    said = Packed(FleetStatus, report)
    await Writer(client).apply(Plan(report=said), {}, NO_REPORT)
    assert (await client.get(FLEETREPORTS, "fleet"))["status"] == report


async def test_events_are_emitted_on_the_object(server: ControlPlane, client: KubeClient, space: str) -> None:
    item, writer = await created(server, client, space), Writer(client)
    told = Event("Warning", "OutOfMemory", "needs 97Gi of 80Gi")
    plan = plan_for(item, events=(told,))
    writer.tell(plan, current_of(item))
    await writer.apply(plan, current_of(item), NO_REPORT)
    found = server.get("events.events.k8s.io", "-n", space)["items"]
    assert [(each["reason"], each["note"], each["regarding"]["name"]) for each in found] == [
        ("OutOfMemory", "needs 97Gi of 80Gi", "llama")
    ]
    assert writer.counts.events == 1


async def test_without_the_lease_nothing_is_written(server: ControlPlane, client: KubeClient, space: str) -> None:
    item = await created(server, client, space)
    writer = Writer(client, may_write=lambda: False)
    plan = plan_for(item, events=(Event("Warning", "A", "b"),))
    writer.tell(plan, current_of(item))
    await writer.apply(plan, current_of(item), NO_REPORT)
    found = await client.get(MODELWORKLOADS, "llama", space)
    assert found["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
    assert writer.counts.events == 0
