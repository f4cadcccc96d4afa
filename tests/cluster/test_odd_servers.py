"""Whatever an API server, or a proxy in its place, answers: the informer waits and goes on, and lists little."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from mfu.cluster.client import ApiError, Gone, KubeClient, ServerUnreachable
from mfu.cluster.exporters import ExporterPods
from mfu.cluster.informer import Informer
from mfu.cluster.projection import pod_view
from mfu.cluster.resources import NODES, PODS
from mfu.cluster.state import ClusterState
from tests.cluster.misbehaving import LIST, OBJECTS, Answer, Misbehaving, raw, said, serving, stream

STATUS = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd leader changed"}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
ADDED = {"type": "ADDED", "object": {"metadata": {"name": "new", "resourceVersion": "11", "labels": {"a": "9"}}}}

ODD: dict[str, Answer] = {
    "HTML with 200": raw(b"<html>login</html>"),
    "a JSON string": raw(b'"oops"'),
    "a JSON string with 502": raw(b'"bad gateway"', 502),
    "HTML with 502": raw(b"<html>bad gateway</html>", 502),
    "no UTF-8": raw(b"\xff\xfe{}"),
    "no UTF-8 with 500": raw(b"\xff\xfe", 500),
    "nothing": raw(b""),
    "a torn object": raw(b'{"items": [{"meta'),
    "deep nesting": raw(b"[" * 100_000),
    "no metadata": said({"items": []}),
    "metadata null": said({"items": [], "metadata": None}),
    "items of numbers": said({"items": [1, 2], "metadata": {"resourceVersion": "1"}}),
    "items without names": said({"items": [{"metadata": {}}], "metadata": {"resourceVersion": "1"}}),
    "items a mapping": said({"items": {"a": 1}, "metadata": {"resourceVersion": "1"}}),
    "429": said({"reason": "TooManyRequests"}, 429, Retry_After="1"),
    "403": said({"reason": "Forbidden"}, 403),
    "a status that is null": said(None, 503),
}
ODD_WATCHES: dict[str, Answer] = {
    **{name: answer for name, answer in ODD.items() if not name.startswith(("no metadata", "metadata", "items"))},
    "a torn line": stream(json.dumps(ADDED).encode()[:40]),
    "a line that is no JSON": stream(b"hello\n"),
    "an event without object": stream(b'{"type": "ADDED"}\n'),
    "an event of no type": stream(b'{"object": {"metadata": {"name": "x", "resourceVersion": "1"}}}\n'),
    "an object without name": stream(b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "1"}}}\n'),
    "an error that is a word": stream(b'{"type": "ERROR", "object": "no"}\n'),
    "an error without a code": stream(json.dumps({"type": "ERROR", "object": {"code": "x"}}).encode() + b"\n"),
    "a list of events": stream(b"[1,2]\n"),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off a hundred times faster: the order of things stays."""
    monkeypatch.setattr("mfu.cluster.informer.BACKOFF_SECONDS", (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3))
    monkeypatch.setattr("mfu.cluster.informer.SHORTEST_STREAM_SECONDS", 0.01)
    monkeypatch.setattr("mfu.cluster.informer.LONGEST_ASKED_SECONDS", 0.2)


def labels(item: dict[str, Any]) -> str:
    return str(item["metadata"]["labels"]["a"])


async def informed(
    client: KubeClient, until: Callable[[Informer[str]], bool], *, seconds: float = 5.0
) -> Informer[str]:
    informer = Informer(client, NODES, labels)
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(seconds):
            while not until(informer):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return informer


@pytest.mark.prove(times=20)
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_answer_to_a_list_is_waited_out(name: str) -> None:
    server = Misbehaving(lists=[ODD[name], ODD[name], said(LIST)])
    async with serving(server) as client:
        informer = await informed(client, lambda each: each.synced.is_set())
    assert set(informer.objects) == {"n0", "n1", "n2"}
    assert server.asked["list"] == 3


@pytest.mark.prove(times=20)
@pytest.mark.parametrize("name", ODD_WATCHES)
async def test_an_odd_answer_to_a_watch_is_waited_out(name: str) -> None:
    good = stream(json.dumps(ADDED).encode() + b"\n", then_wait=True)
    server = Misbehaving(watches=[ODD_WATCHES[name], good])
    async with serving(server) as client:
        informer = await informed(client, lambda each: "new" in each.objects)
    assert informer.objects["new"] == "9"
    assert server.asked["list"] == 1


async def test_items_null_is_an_empty_list() -> None:
    server = Misbehaving(lists=[said({"metadata": {"resourceVersion": "1"}, "items": None})])
    async with serving(server) as client:
        informer = await informed(client, lambda each: each.synced.is_set())
    assert informer.objects == {}


@pytest.mark.prove(times=20)
@pytest.mark.parametrize("answer", [ODD["429"], ODD["403"], raw(b"", 500), stream(json.dumps(GONE).encode() + b"\n")])
async def test_watches_that_fail_while_lists_work_cause_few_lists(answer: Answer) -> None:
    server = Misbehaving(watches=[answer])
    async with serving(server) as client:
        # A hundred times faster: ten seconds of the real time.
        task = asyncio.create_task(Informer(client, NODES, labels).run())
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 1 <= server.asked["list"] <= 12
    assert server.asked["watch"] <= 50


@pytest.mark.prove(times=20)
async def test_retry_after_is_honoured() -> None:
    server = Misbehaving(lists=[said({"reason": "TooManyRequests"}, 429, Retry_After="60"), said(LIST)])
    async with serving(server) as client:
        task = asyncio.create_task(Informer(client, NODES, labels).run())
        await asyncio.sleep(0.1)
        assert server.asked["list"] == 1
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert server.asked["list"] == 2


async def test_a_watch_that_is_gone_lists_again() -> None:
    later = {"metadata": {"resourceVersion": "20"}, "items": OBJECTS[:1]}
    server = Misbehaving(
        lists=[said(LIST), said(later)],
        watches=[stream(json.dumps(GONE).encode() + b"\n"), stream(then_wait=True)],
    )
    async with serving(server) as client:
        informer = await informed(client, lambda each: each.relists == 2)
    assert set(informer.objects) == {"n0"}


async def test_requests_are_typed_errors_too() -> None:
    for answer, error in ((ODD["HTML with 200"], ServerUnreachable), (ODD["429"], ApiError), (raw(b"", 410), Gone)):
        async with serving(Misbehaving(others=answer)) as client:
            with pytest.raises(error):
                await client.create(NODES, {"metadata": {"name": "x"}})


async def test_a_line_without_end_is_given_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with serving(Misbehaving(watches=[endless])) as client:
        with pytest.raises(ServerUnreachable, match="does not end"):
            async for _ in client.watch(NODES, "1"):
                pass


async def test_ordinary_pods_are_forgotten_page_by_page() -> None:
    """4,000 pods without a GPU: what is held is a page or two, not the list."""
    one, many = await _peak_of_listing(1), await _peak_of_listing(8)
    assert many < 2.5 * one


async def _peak_of_listing(pages: int) -> int:
    """Bytes held at most while so many pages of 500 ordinary pods are listed."""
    pods = [
        {
            "metadata": {"namespace": "a", "name": f"p{row}", "uid": str(row), "annotations": {"x": "y" * 500}},
            "spec": {"containers": [{"name": "c", "env": [{"name": f"E{i}", "value": "v" * 20} for i in range(10)]}]},
        }
        for row in range(500)
    ]

    async def page(request: web.Request) -> web.StreamResponse:
        at = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": "10", **({"continue": str(at + 1)} if at < pages - 1 else {})}
        return web.json_response({"metadata": metadata, "items": pods})

    server = Misbehaving(lists=[page])
    async with serving(server) as client:
        informer = Informer(client, PODS, pod_view)
        tracemalloc.start()
        await informer._list()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert informer.objects == {}
    assert server.asked["list"] == pages
    return peak


async def test_exporters_are_looked_for_in_their_namespace_alone() -> None:
    server = Misbehaving()
    async with serving(server) as client:
        state = ClusterState(
            client, changed=lambda: None, exporters={"dcgm": ExporterPods("gpu-operator", "app=nvidia-dcgm-exporter")}
        )
        task = asyncio.create_task(state.exporters["dcgm"].run())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert server.asked["list"] >= 1
    assert set(server.paths) == {"/api/v1/namespaces/gpu-operator/pods"}
    assert all(each["labelSelector"] == "app=nvidia-dcgm-exporter" for each in server.queries)


async def test_pods_that_have_ended_are_left_to_the_server() -> None:
    server = Misbehaving()
    async with serving(server) as client:
        task = asyncio.create_task(ClusterState(client, changed=lambda: None).pods.run())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {each["fieldSelector"] for each in server.queries} == {"status.phase!=Succeeded,status.phase!=Failed"}


async def test_a_long_refusal_that_comes_in_pieces_is_read_to_its_end() -> None:
    """A template that may not change is said whole: its reason comes last."""
    whole = json.dumps({"reason": "Invalid", "message": "x" * 30_000 + ": field is immutable"}).encode()

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=422)
        await response.prepare(request)
        for start in range(0, len(whole), 9_000):
            await response.write(whole[start : start + 9_000])
            await asyncio.sleep(0.01)
        return response

    async with serving(Misbehaving(others=in_pieces)) as client:
        with pytest.raises(ApiError) as refused:
            await client.request("PATCH", "/apis/batch/v1/namespaces/a/jobs/train", body=[])
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    assert refused.value.message.endswith("field is immutable")


async def test_of_a_refusal_without_end_the_beginning_is_read() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=502)
        await response.prepare(request)
        while True:
            await response.write(b"<html>" * 1_000)

    async with serving(Misbehaving(others=endless)) as client:
        with pytest.raises(ApiError) as refused:
            await client.request("PATCH", "/apis/batch/v1/namespaces/a/jobs/train", body=[])
    assert refused.value.status == 502
    assert len(refused.value.message) <= 500
