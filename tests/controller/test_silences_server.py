"""What used to be silent, on a real API server: a condition, an event, and the sentence of `mfu explain`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from e2e.testbed.cluster.plane import ControlPlane
from mfu.api.names import PAUSED_ANNOTATION
from mfu.cluster.client import KubeClient
from mfu.cluster.said import is_paused, workload_status
from mfu.show.explanation import explanation
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.sources import Endpoint, ProgressScrape
from mfu.telemetry.store.recent import Store
from tests.controller.test_policy_server import Stage, example, running_pod, stage

__all__ = ["stage"]
pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def page() -> AsyncIterator[str]:
    """A pod's metrics page that serves another counter than the one that is declared, and no other path."""

    async def metrics(_: web.Request) -> web.Response:
        counters = ("trained_tokens_total 12", "train_steps_total 3")
        return web.Response(text="".join(f"# TYPE {each.split()[0]} counter\n{each}\n" for each in counters))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def told(stage: Stage, kind: str) -> tuple[str, str, str]:
    conditions = (await stage.workload())["status"]["conditions"]
    found = next(each for each in conditions if each["type"] == kind)
    return found["status"], found["reason"], found["message"]


async def explained(client: KubeClient, space: str) -> tuple[str, ...]:
    """What `mfu explain` warns of."""
    status = await workload_status(client, "llama", space)
    assert status is not None
    return explanation(space, "llama", status.read(), paused=await is_paused(client, "llama", space)).warnings


async def event(stage: Stage, reason: str) -> str:
    """The message of the event with that reason, as soon as the server has it."""
    async with asyncio.timeout(20):
        while True:
            found = stage.server.get("events", "-n", stage.space)["items"]
            said = [each for each in found if each["reason"] == reason]
            if said:
                return str(said[0].get("note") or said[0].get("message"))
            await asyncio.sleep(0.1)


async def pods_seen(stage: Stage) -> None:
    async with asyncio.timeout(20):
        while f"{stage.space}/llama-0" not in stage.loop.state.pods.objects:
            await asyncio.sleep(0.02)


async def unread(stage: Stage, url: str, metric: str) -> None:
    """One round of the real scraper over that pod, into the real store."""
    store = Store()
    pod = ScrapedPod(stage.space, "llama-0")
    reads = DeclaredProgress(metric)
    scrape = ProgressScrape(lambda: [Endpoint(pod, url, lambda body, of, at: declared(body, of, at, reads))])
    await scrape.read(0.0)
    await scrape.close()
    store.unread("progress", scrape.problems)
    stage.loop.past = store


ASKED = "train_tokens_total"
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "another name": ("/metrics", ASKED, (f"{ASKED} is not served", "trained_tokens_total", "/metrics of")),
    "another path": ("/wrong", ASKED, ("HTTP 404", "/wrong")),
    "another unit": (
        "/metrics",
        "train_steps_total",
        (
            "train_steps_total counts steps",
            "progress.unit is Tokens",
            "set spec.progress.unit: Steps",
            "/metrics of",
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_progress_that_can_not_be_read(stage: Stage, page: str, case: str) -> None:
    path, metric, words = CASES[case]
    running_pod(stage.server, stage.space)
    await pods_seen(stage)
    await unread(stage, f"{page}{path}", metric)
    await stage.cycle()
    status, reason, message = await told(stage, "IntentConsistent")
    assert (status, reason) == ("Unknown", "ProgressUnread")
    for each in words:
        assert each in message
    assert await event(stage, "ProgressUnread") == message
    assert f"IntentConsistent: {message}" in await explained(stage.client, stage.space)


async def test_a_port_that_nobody_listens_on(stage: Stage) -> None:
    running_pod(stage.server, stage.space)
    await pods_seen(stage)
    await unread(stage, "http://127.0.0.1:1/metrics", "train_tokens_total")
    await stage.cycle()
    status, reason, message = await told(stage, "IntentConsistent")
    assert (status, reason) == ("Unknown", "ProgressUnread")
    assert "http://127.0.0.1:1/metrics" in message
    assert await event(stage, "ProgressUnread") == message
    assert f"IntentConsistent: {message}" in await explained(stage.client, stage.space)


async def test_a_target_that_is_not_there_is_named(stage: Stage) -> None:
    await stage.cycle()
    status, reason, message = await told(stage, "TelemetryAvailable")
    assert (status, reason) == ("Unknown", "TargetMissing")
    assert "targetRef Pod llama-0" in message
    assert await event(stage, "TargetMissing") == message
    assert f"TelemetryAvailable: {message}" in await explained(stage.client, stage.space)


async def test_a_product_that_is_not_declared(stage: Stage) -> None:
    other = example()
    other["spec"]["accelerators"]["products"] = ["A100-SXM4-80GB"]
    stage.server.apply(other, namespace=stage.space)
    running_pod(stage.server, stage.space)
    await pods_seen(stage)
    await stage.cycle()
    status, reason, message = await told(stage, "Accepted")
    assert (status, reason) == ("True", "ProductDiffers")
    assert message.startswith("runs on H100-SXM5 and declares A100-SXM4-80GB")
    assert await event(stage, "ProductDiffers") == message
    assert f"Accepted: {message}" in await explained(stage.client, stage.space)


async def test_a_declaration_that_is_newer_than_its_pods(stage: Stage) -> None:
    running_pod(stage.server, stage.space)
    await pods_seen(stage)
    await stage.cycle()
    assert (await told(stage, "Accepted"))[1] == "Accepted"
    await asyncio.sleep(1.1)
    changed: dict[str, Any] = example()
    changed["spec"]["training"]["microBatchSize"] = 2
    stage.server.apply(changed, namespace=stage.space)
    await stage.cycle()
    _, reason, message = await told(stage, "Accepted")
    assert reason == "NewerThanPods"
    assert await event(stage, "NewerThanPods") == message
    assert f"Accepted: {message}" in await explained(stage.client, stage.space)


async def test_enforce_that_nothing_carries_out(stage: Stage) -> None:
    name = stage.policy("strict", modes={"admission": "Enforce"})
    await stage.cycle()
    status, reason, message = await told(stage, "Enforced")
    assert (status, reason) == ("False", "InNameOnly")
    assert name in message
    assert "nothing is done, as with Recommend" in message
    assert await event(stage, "InNameOnly") == message
    assert f"Enforced: {message}" in await explained(stage.client, stage.space)


async def test_paused(stage: Stage, api_server_only: ControlPlane) -> None:
    await stage.cycle()
    before = (await stage.workload())["status"]
    api_server_only.kubectl("annotate", "modelworkload", "llama", f"{PAUSED_ANNOTATION}=true", "-n", stage.space)
    await stage.cycle()
    assert (await stage.workload())["status"] == before
    assert "stay as they are" in await event(stage, "Paused")
    assert (await explained(stage.client, stage.space))[0].startswith("Paused: nothing of it is judged")
