"""Informers against a scripted server: what each kind of end of a watch leads to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from mfu.cluster.client import ApiError, Gone, KubeClient, ListPage, ServerUnreachable
from mfu.cluster.informer import Informer, key_of
from mfu.cluster.resources import NODES
from tests.builders.virtual_time import run

Step = Callable[[], Any]


def node(name: str, version: str = "1", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version, "labels": labels}}


class Script:
    """Lists and watches in the order given; then it is silent for ever."""

    def __init__(self, *lists: Any, watches: list[list[Any]]) -> None:
        self.lists, self.watches = list(lists), watches
        self.versions: list[str] = []

    async def pages(self, resource: Any, **selectors: Any) -> AsyncIterator[ListPage]:
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        # A page an object.
        for item in answer:
            yield ListPage([item], "10", "more")
        yield ListPage([], "10", None)

    async def watch(self, resource: Any, version: str, **selectors: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        self.versions.append(version)
        for event in self.watches.pop(0) if self.watches else ():
            if isinstance(event, Exception):
                raise event
            yield event
        if not self.watches:
            await asyncio.sleep(1e6)


def followed(script: Script, seconds: float = 60.0) -> tuple[Informer[str], int]:
    changes: list[None] = []

    async def work() -> Informer[str]:
        informer = Informer(
            cast(KubeClient, script),
            NODES,
            lambda item: item["metadata"]["labels"]["a"],
            changed=lambda: changes.append(None),
        )
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return informer

    return run(work()), len(changes)


GONE = Gone(410, "Expired", "too old resource version", "watch")


def test_events_change_the_store() -> None:
    watch = [
        ("ADDED", node("b", "11", a="2")),
        ("MODIFIED", node("a", "12", a="3")),
        ("DELETED", node("b", "13", a="2")),
    ]
    informer, changes = followed(Script([node("a", a="1")], watches=[watch]))
    assert informer.objects == {"a": "3"}
    assert (informer.relists, informer.events, changes, informer.version) == (1, 3, 4, 4)


def test_what_changes_nothing_that_is_kept_is_no_change() -> None:
    script = Script([node("a", a="1")], watches=[[("MODIFIED", node("a", "11", a="1", noise="x"))]])
    assert followed(script)[1] == 1


def test_a_bookmark_moves_the_version_alone() -> None:
    script = Script([node("a", a="1")], watches=[[("BOOKMARK", node("", "77"))], []])
    informer, changes = followed(script)
    assert (informer.objects, changes, script.versions) == ({"a": "1"}, 1, ["10", "77"])


def test_when_the_version_is_too_old_the_list_replaces_the_store() -> None:
    script = Script([node("a", a="1"), node("gone", a="2")], [node("a", a="1")], watches=[[GONE], []])
    informer, changes = followed(script)
    assert (informer.objects, informer.relists, changes) == ({"a": "1"}, 2, 2)


def test_an_error_of_the_server_is_waited_out_without_a_list() -> None:
    error = ApiError(500, "InternalError", "etcd leader changed", "watch")
    informer, _ = followed(Script([node("a", a="1")], watches=[[error], []]))
    assert informer.relists == 1


def test_a_lost_connection_is_taken_up_where_it_stopped() -> None:
    script = Script(
        [node("a", a="1")], watches=[[("MODIFIED", node("a", "42", a="2")), ServerUnreachable("reset")], []]
    )
    informer, _ = followed(script)
    assert (script.versions, informer.relists, informer.objects) == (["10", "42"], 1, {"a": "2"})


def test_after_several_lost_connections_it_lists_again() -> None:
    lost = ServerUnreachable("refused")
    informer, _ = followed(Script([node("a", a="1")], [node("b", a="1")], watches=[[lost]] * 4 + [[]]))
    assert (informer.relists, informer.objects) == (2, {"b": "1"})


def test_a_server_that_is_away_is_asked_ever_more_slowly() -> None:
    refused = ServerUnreachable("refused")
    informer, _ = followed(Script(*[refused] * 6, [node("a", a="1")], watches=[[]]), seconds=40.0)
    assert informer.objects == {"a": "1"}


def test_an_object_that_can_not_be_read_is_left_out() -> None:
    informer, _ = followed(Script([node("a", a="1"), node("odd")], watches=[[("ADDED", node("c", "11", a="3"))]]))
    assert informer.objects == {"a": "1", "c": "3"}


def test_keys() -> None:
    assert key_of({"metadata": {"name": "n"}}) == "n"
    assert key_of({"metadata": {"name": "n", "namespace": "a"}}) == "a/n"


def kept(*lists: Any, seconds: float, spare: bool = False) -> Informer[str]:
    """What an informer of a kind that need not be there holds after a while."""

    async def work() -> Informer[str]:
        made = Informer(
            cast(KubeClient, Script(*lists, watches=[])), NODES, lambda item: "seen", optional=True, spare=spare
        )
        task = asyncio.create_task(made.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return made

    return run(work())


@pytest.mark.parametrize("status", [403, 404])
def test_a_kind_that_can_be_spared_is_empty_where_it_is_not_served_or_may_not_be_read(status: int) -> None:
    """Whoever runs `mfu place` with fewer rights than the operator must not wait for ever; later it is read."""
    away = ApiError(status, "reason", "not here", "GET /x")
    found = kept(away, seconds=5.0, spare=True)
    assert found.synced.is_set()
    assert found.objects == {}
    assert kept(away, [node("n")], seconds=60.0, spare=True).objects == {"n": "seen"}


def test_what_may_not_be_read_is_an_error_of_every_other_kind() -> None:
    assert not kept(ApiError(403, "Forbidden", "no", "GET /x"), seconds=60.0).synced.is_set()
