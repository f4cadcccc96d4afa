"""GPU pods that nobody declared, on a real API server: a line of the FleetReport, and the command that it names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mfu.cli.main import main
from mfu.cluster.resources import FLEETREPORTS
from tests.controller.test_policy_server import Stage, stage

__all__ = ["stage"]
pytestmark = pytest.mark.integration

ARGUMENTS = ["vllm", "serve", "Qwen/Qwen3-32B", "--tensor-parallel-size", "2"]


def template(**more: Any) -> dict[str, Any]:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ARGUMENTS,
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
    }
    return {"containers": [container | more]}


def owner(kind: str, name: str, uid: str, version: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


def deployed(stage: Stage) -> None:
    """What the controller of Deployments makes of one, bound to the node: the server here runs no controllers."""
    labels = {"app": "llm"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": template()}}
    made(stage, "apps/v1", "Deployment", "llm", spec)
    hashed = {**labels, "pod-template-hash": "6d4cf56db6"}
    spec = {"selector": {"matchLabels": hashed}, "template": {"metadata": {"labels": hashed}, "spec": template()}}
    above = owner("Deployment", "llm", uid(stage, "deployment", "llm"), "apps/v1")
    made(stage, "apps/v1", "ReplicaSet", "llm-6d4cf56db6", spec, ownerReferences=[above])
    mine = owner("ReplicaSet", "llm-6d4cf56db6", uid(stage, "replicaset", "llm-6d4cf56db6"), "apps/v1")
    bound(stage, "llm-6d4cf56db6-x7k2p", template(), labels=hashed, ownerReferences=[mine])


def of_job(stage: Stage) -> None:
    spec = {"template": {"spec": {**template(), "restartPolicy": "Never"}}}
    made(stage, "batch/v1", "Job", "batch", spec)
    mine = owner("Job", "batch", uid(stage, "job", "batch"), "batch/v1")
    bound(stage, "batch-h4gn2", {**template(), "restartPolicy": "Never"}, ownerReferences=[mine])


def alone(stage: Stage) -> None:
    bound(stage, "notebook", template())


def of_a_part(stage: Stage) -> None:
    spec = {**template(resources={}, command=ARGUMENTS[:3]), "schedulerName": "kai-scheduler"}
    bound(stage, "shared", spec, annotations={"gpu-fraction": "0.5"})


def bound(stage: Stage, name: str, spec: dict[str, Any], **metadata: Any) -> None:
    made(stage, "v1", "Pod", name, {**spec, "nodeName": "n0"}, **metadata)


def made(stage: Stage, version: str, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> None:
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
    stage.server.apply(document, namespace=stage.space)


def uid(stage: Stage, kind: str, name: str) -> str:
    return str(stage.server.get(kind, name, "-n", stage.space)["metadata"]["uid"])


async def drafts(stage: Stage) -> list[dict[str, Any]]:
    await stage.cycle()
    status = (await stage.client.get(FLEETREPORTS, "fleet"))["status"]
    return [each for each in status.get("drafts") or () if each["namespace"] == stage.space]


async def seen(stage: Stage, pods: int) -> None:
    async with asyncio.timeout(20):
        while sum(key.startswith(f"{stage.space}/") for key in stage.loop.state.pods.objects) < pods:
            await asyncio.sleep(0.02)


CASES = {
    "deployment/llm": (deployed, {"preset": "qwen3-32b"}, 2),
    "job/batch": (of_job, {"preset": "qwen3-32b"}, 2),
    "pod/notebook": (alone, {"preset": "qwen3-32b"}, 2),
    "pod/shared": (of_a_part, {"preset": "qwen3-32b"}, 1),
}


@pytest.mark.parametrize("target", CASES)
async def test_the_command_of_a_draft_adopts(stage: Stage, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    start, model, gpus = CASES[target]
    start(stage)
    await seen(stage, 1)
    (line,) = await drafts(stage)
    assert line["target"] == target
    assert line["seems"] == "vLLM 0.11.0 serves qwen3-32b"
    assert line["gpus"] == gpus
    command, then = str(line["command"]).split(" | ")
    assert (command, then) == (f"mfu adopt {target} -n {stage.space}", "kubectl apply -f -")
    words = [*command.split()[1:], "--kubeconfig", str(stage.server.kubeconfig)]
    code = await asyncio.to_thread(main, words)
    printed = capsys.readouterr().out
    assert code == 0
    await asyncio.to_thread(stage.server.kubectl, *then.split()[1:], stdin=printed)
    name = target.partition("/")[2]
    declared = await stage.workload(name)
    assert declared["spec"]["model"] == model
    assert declared["spec"]["accelerators"]["count"] == gpus
    assert await drafts(stage) == []
