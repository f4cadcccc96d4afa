"""Our admission check with the real Kueue: each trap of its protocol, and every workload starts that may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers import kueue
from mfu.act.checks import CheckAnswer, CheckQuestion, answered, unheld
from mfu.api.names import ADMISSION_CHECK
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.executor import Executor
from mfu.cluster.keeper import Keeper
from mfu.cluster.kueue_check import Answered, activate, answer, question_of
from mfu.cluster.resources import JSON, KUEUE_WORKLOADS
from mfu.engine.plan import Plan
from tests.cluster.test_gate_kills_server import Cut, CutOff
from tests.e2e_cluster.operating import operating
from tests.e2e_cluster.test_controllers import QUEUE, QUEUE_LABEL, job, node

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

CHECK: Final = "mfu"
PRODUCT: Final = "nvidia.com/gpu.product"
HOST: Final = "kubernetes.io/hostname"
FLAVORS: Final = {"h100": {PRODUCT: "H100"}, "topological": {PRODUCT: "H100"}}


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    with ControlPlane.start(progress=cluster_progress) as started, kueue.running(started, progress=cluster_progress):
        for name in ("n0", "n1"):
            made = node(name, 64)
            made["metadata"]["labels"][PRODUCT] = "H100"
            started.apply(made)
        started.apply(_kueue("Topology", "hosts", {"levels": [{"nodeLabel": HOST}]}))
        started.apply(_kueue("ResourceFlavor", "h100", {"nodeLabels": FLAVORS["h100"]}))
        topological = {"nodeLabels": FLAVORS["topological"], "topologyName": "hosts"}
        started.apply(_kueue("ResourceFlavor", "topological", topological))
        started.apply(_kueue("AdmissionCheck", CHECK, {"controllerName": ADMISSION_CHECK}))
        for name in FLAVORS:
            started.apply(_queue(name))
        yield started


@pytest_asyncio.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    async with KubeClient(connect(plane.kubeconfig)) as made:
        await activate(made, CHECK)
        yield made


@pytest.fixture
def space(plane: ControlPlane) -> str:
    name = plane.new_namespace()
    for queue in FLAVORS:
        local = _kueue("LocalQueue", queue, {"clusterQueue": queue})
        plane.apply({**local, "metadata": {"name": queue, "namespace": name}})
    return name


def _kueue(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": QUEUE, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _queue(flavor: str) -> dict[str, Any]:
    flavors = [{"name": flavor, "resources": [{"name": "nvidia.com/gpu", "nominalQuota": 512}]}]
    spec = {
        "namespaceSelector": {},
        "admissionChecksStrategy": {"admissionChecks": [{"name": CHECK}]},
        "resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": flavors}],
    }
    return _kueue("ClusterQueue", flavor, spec)


def submit(plane: ControlPlane, space: str, name: str = "a", queue: str = "h100") -> None:
    plane.apply(job(name, space, 1, **{QUEUE_LABEL: queue}))


async def until(what: str, check: Callable[[], Any], within_seconds: float = 30.0) -> Any:
    return await asyncio.to_thread(wait_until, check, what=what, within_seconds=within_seconds)


def the_workload(plane: ControlPlane, space: str) -> JSON:
    items = plane.get("workloads.kueue.x-k8s.io", "-n", space)["items"]
    return items[0] if items else {}


def suspended(plane: ControlPlane, space: str, name: str = "a") -> bool:
    return bool(plane.get("job", "-n", space, name)["spec"]["suspend"])


async def asked(plane: ControlPlane, space: str) -> CheckQuestion:
    def question() -> CheckQuestion | None:
        item = the_workload(plane, space)
        found = question_of(item, CHECK) if item else None
        return found if found is not None and found.asked else None

    found: CheckQuestion = await until("a question of Kueue", question)
    return found


async def say(client: KubeClient, due: CheckAnswer) -> Answered:
    return await answer(client, due, may_write=lambda: True)


async def started(plane: ControlPlane, space: str) -> JSON:
    await until("the Job to start", lambda: not suspended(plane, space))
    found: JSON = plane.get("job", "-n", space, "a")
    return found


async def test_a_check_that_nobody_calls_active_stops_its_queue(plane: ControlPlane, client: KubeClient) -> None:
    plane.apply(_kueue("AdmissionCheck", "late", {"controllerName": ADMISSION_CHECK}))
    made = _queue("h100")
    made["metadata"]["name"] = "late"
    made["spec"]["admissionChecksStrategy"] = {"admissionChecks": [{"name": "late"}]}
    plane.apply(made)

    def active() -> str:
        conditions = plane.get("clusterqueue", "late").get("status", {}).get("conditions") or ()
        return next((each["status"] for each in conditions if each["type"] == "Active"), "")

    await until("the queue to stand still", lambda: active() == "False")
    assert await activate(client, "late")
    await until("the queue to go on", lambda: active() == "True")
    plane.apply(_kueue("AdmissionCheck", "foreign", {"controllerName": "somebody.else/check"}))
    assert not await activate(client, "foreign"), "of another controller"
    assert not plane.get("admissioncheck", "foreign").get("status", {}).get("conditions")
    assert not await activate(client, "missing")


async def test_ready_starts_it_on_the_named_node(plane: ControlPlane, client: KubeClient, space: str) -> None:
    submit(plane, space)
    change = {"state": "Ready", "message": "fits", "nodeSelector": {PRODUCT: "H100", HOST: "n1"}}
    assert await say(client, answered(await asked(plane, space), change, FLAVORS)) is Answered.ANSWERED
    template = (await started(plane, space))["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {PRODUCT: "H100", HOST: "n1"}


async def test_what_contradicts_the_flavor_is_not_sent_and_the_job_starts(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    submit(plane, space)
    change = {"state": "Ready", "message": "fits", "nodeSelector": {PRODUCT: "A100", HOST: "n1"}}
    await say(client, answered(await asked(plane, space), change, FLAVORS))
    template = (await started(plane, space))["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {PRODUCT: "H100"}


async def test_where_kueue_chooses_hosts_none_are_named_and_pods_get_their_node(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    submit(plane, space, queue="topological")
    change = {"state": "Ready", "message": "fits", "nodeSelector": {HOST: "n1"}}
    due = answered(await asked(plane, space), change, FLAVORS)
    assert "Kueue chooses the hosts itself" in due.message
    await say(client, due)
    await started(plane, space)

    def bound() -> bool:
        pods = plane.get("pods", "-n", space)["items"]
        return bool(pods) and all(each["spec"].get("nodeName") for each in pods)

    await until("its pod to have a node", bound)


async def test_rejected_ends_it_with_our_words(plane: ControlPlane, client: KubeClient, space: str) -> None:
    submit(plane, space)
    await say(client, answered(await asked(plane, space), {"state": "Rejected", "message": "needs 157 GiB"}, FLAVORS))
    await until("its end", lambda: the_workload(plane, space)["spec"].get("active") is False)
    assert suspended(plane, space)
    told = plane.get("events", "-n", space)["items"]
    assert any("needs 157 GiB" in (each.get("message") or "") for each in told)
    found = question_of(the_workload(plane, space), CHECK)
    assert found is not None and not found.asked, "though its state is Pending again"


async def test_retry_asks_again_and_is_never_said_to_who_is_evicted(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    """kueue#3543: Retry while Evicted strands it. The version that was seen keeps a late one out."""
    submit(plane, space)
    first = await asked(plane, space)
    retry = CheckAnswer(first, answered(first, {"state": "Retry", "message": "wait"}, {}).state, "wait", 0)
    assert await say(client, retry) is Answered.ANSWERED
    await until("another question", lambda: the_workload(plane, space)["metadata"]["resourceVersion"] != first.version)
    assert await say(client, retry) is Answered.MOVED_ON
    for _ in range(20):
        found = question_of(the_workload(plane, space), CHECK)
        assert found is not None and not (found.asked and found.evicted)
        await asyncio.sleep(0.05)
    assert await say(client, unheld(await asked(plane, space), "now it may")) is Answered.ANSWERED
    await started(plane, space)


async def test_a_check_that_nobody_answers_is_the_keepers_at_the_deadline(
    plane: ControlPlane, client: KubeClient, space: str
) -> None:
    """Kueue has no timer for a Pending check."""
    submit(plane, space)
    question = await asked(plane, space)
    keeper = Keeper(client, check=CHECK)
    await keeper.answer_all([question], {space: 3600.0})
    assert suspended(plane, space)
    await keeper.answer_all([question], {space: 0.0})
    await started(plane, space)


@pytest.mark.parametrize("where", [("PATCH", False, 1), ("PATCH", True, 1)], ids=["before the answer", "after it"])
async def test_an_operator_that_dies_at_its_answer_keeps_nobody(
    plane: ControlPlane, client: KubeClient, space: str, where: tuple[str, bool, int]
) -> None:
    submit(plane, space)
    question = await asked(plane, space)
    change = {"state": "Ready", "message": "fits", "nodeSelector": {HOST: "n1"}}
    async with CutOff(client._connection) as dying:
        dying.cut = where
        executor = Executor(dying, dict, lambda *_: None)
        found = await asyncio.gather(
            executor.apply(Plan(answers=(answered(question, change, FLAVORS),))), return_exceptions=True
        )
        assert isinstance(found[0], Cut)
    if not where[1]:
        await Keeper(client, check=CHECK).answer_all([question], {space: 0.0})
    template = (await started(plane, space))["spec"]["template"]
    named = template["spec"]["nodeSelector"].get(HOST)
    assert named == ("n1" if where[1] else None), "all of the answer or nothing"


async def test_other_checks_stay_as_they_are(plane: ControlPlane, client: KubeClient, space: str) -> None:
    plane.apply(_kueue("AdmissionCheck", "other", {"controllerName": "somebody.else/check"}))
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    submit(plane, space)
    question = await asked(plane, space)
    entry = {"name": "other", "state": "Pending", "message": "theirs", "lastTransitionTime": now}
    body = {
        "apiVersion": QUEUE,
        "kind": "Workload",
        "metadata": {"name": question.workload, "namespace": space},
        "status": {"admissionChecks": [entry]},
    }
    await client.apply(KUEUE_WORKLOADS, body, subresource="status", manager="somebody-else")
    assert await say(client, unheld(question, "too old a version")) is Answered.MOVED_ON
    found = question_of(the_workload(plane, space), CHECK)
    assert found is not None
    await say(client, unheld(found, "ours"))
    checks = {each["name"]: each["message"] for each in the_workload(plane, space)["status"]["admissionChecks"]}
    assert checks.get("other", "theirs") == "theirs"


def declared(name: str, preset: str) -> dict[str, Any]:
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": preset},
        "accelerators": {"count": 1, "products": ["H100-SXM5"]},
        "training": {"sequenceLength": 4096, "globalBatchSize": 8, "microBatchSize": 1},
        "tunable": [],
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": name}, "spec": spec}


async def test_the_operator_answers_all_and_without_telemetry_refuses_none(
    plane: ControlPlane, space: str, tmp_path: Path
) -> None:
    """The one that fits nowhere is told so as a dry run: a fleet that nobody sees is not acted upon."""

    def running(name: str) -> bool:
        return not suspended(plane, space, name)

    def messages() -> dict[str, str]:
        items = plane.get("workloads.kueue.x-k8s.io", "-n", space)["items"]
        return {
            each["metadata"]["ownerReferences"][0]["name"]: entry["message"]
            for each in items
            for entry in each.get("status", {}).get("admissionChecks") or ()
            if entry["state"] == "Ready"
        }

    action = {"type": "KueueCheck", "minConfidencePercent": 50, "maxPerMinute": 100}
    asked = {"enabled": True, "check": CHECK}
    with operating(plane, tmp_path, modes={"admission": "Enforce"}, action=action, kueue=asked):
        plane.apply(declared("large", "llama-3.1-405b"), namespace=space)
        for name in ("large", "nobodys"):
            submit(plane, space, name)
        for name in ("large", "nobodys"):
            await until(f"{name} to start", partial(running, name), within_seconds=90.0)
        said = messages()
    assert said["nobodys"].startswith("no decision of a policy that lists KueueCheck")
    assert said["large"].startswith("dry run (no reading of the fleet is known): answer Re")
