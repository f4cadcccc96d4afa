"""The store that kopf's watch fills: synced when all has come, and rid of what went without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from mfu.cluster.client import KubeClient, ListPage, ServerUnreachable
from mfu.cluster.declared import (
    FIRST_REPAIR_SECONDS,
    LEAST_REPAIR_SECONDS,
    REPAIR_SECONDS,
    SETTLED_SECONDS,
    DeclaredStore,
)
from mfu.cluster.resources import MFUPOLICIES
from mfu.cluster.state import ClusterState
from tests.builders.virtual_time import run

Store = DeclaredStore[str]


class Names:
    """Lists of names in the order given, the last one for ever. A function in a list runs while it is listed."""

    def __init__(self, *lists: Any) -> None:
        self.lists, self.asked = list(lists), 0

    async def pages(self, resource: Any, **selectors: Any) -> AsyncIterator[ListPage]:
        assert "PartialObjectMetadataList" in selectors["accept"]
        self.asked += 1
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        for each in answer:
            if callable(each):
                each()
            else:
                yield ListPage([{"metadata": {"name": each}}], "1", "more")
        yield ListPage([], "1", None)


def told(names: Names, script: Callable[[Store], Awaitable[None]]) -> tuple[Store, int]:
    changes: list[None] = []

    async def work() -> Store:
        store = Store(cast(KubeClient, names), MFUPOLICIES, lambda item: "x", changed=lambda: changes.append(None))
        task = asyncio.create_task(store.run())
        await asyncio.sleep(0.01)
        await script(store)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return store

    return run(work()), len(changes)


async def nothing(_: Store) -> None:
    return None


def test_an_empty_cluster_is_synced_at_once() -> None:
    assert told(Names([]), nothing)[0].synced.is_set()


def test_it_is_synced_when_every_listed_name_has_come() -> None:
    async def script(store: Store) -> None:
        assert not store.synced.is_set()
        store.take("a", "1")
        assert not store.synced.is_set()
        store.take("b", "2")
        assert store.synced.is_set()

    store, _ = told(Names(["a", "b"]), script)
    assert store.objects == {"a": "1", "b": "2"}


def test_what_goes_before_it_came_does_not_hold_the_start() -> None:
    async def script(store: Store) -> None:
        store.take("a", "1")
        await asyncio.sleep(FIRST_REPAIR_SECONDS + 1)
        assert store.synced.is_set()

    told(Names(["a", "gone"], ["a"]), script)


def test_what_can_not_be_read_does_not_hold_the_start() -> None:
    async def script(store: Store) -> None:
        store.take("a", None)
        assert store.synced.is_set()

    assert told(Names(["a"]), script)[0].objects == {}


def test_a_deletion_that_nobody_told_is_found() -> None:
    async def script(store: Store) -> None:
        store.take("a", "1")
        store.take("b", "2")
        await asyncio.sleep(REPAIR_SECONDS + 1)

    store, changes = told(Names(["a", "b"], ["a"]), script)
    assert (store.objects, store.repaired) == ({"a": "1"}, 1)
    assert changes == store.version == 4


def test_few_names_are_listed_often_and_many_seldom() -> None:
    """3,000 names every minute; however many there are, a deletion that nobody told is found after three."""

    async def few(store: Store) -> None:
        store.take("a", "1")
        await asyncio.sleep(FIRST_REPAIR_SECONDS + 1)
        assert store.objects == {"a": "1"}
        await asyncio.sleep(LEAST_REPAIR_SECONDS)
        assert store.objects == {}

    many = [f"w{number}" for number in range(3000)]

    async def later(store: Store) -> None:
        for each in many:
            store.take(each, "1")
        await asyncio.sleep(55.0)
        assert len(store.objects) == len(many)
        await asyncio.sleep(10.0)
        assert len(store.objects) == 1

    told(Names(["a"], ["a"], []), few)
    told(Names(many, many, many[:1]), later)


def test_a_relist_of_the_watch_is_followed_by_a_repair() -> None:
    async def script(store: Store) -> None:
        store.take("a", "1")
        store.take("b", "2")
        store.take("a", "1", relisted=True)
        await asyncio.sleep(SETTLED_SECONDS + 1)
        assert store.objects == {"a": "1"}

    names = Names(["a", "b"], ["a"])
    told(names, script)
    assert names.asked == 2


def test_what_comes_while_names_are_listed_stays() -> None:
    store_of: list[Store] = []

    def comes() -> None:
        store_of[0].take("b", "new")

    async def script(store: Store) -> None:
        store_of.append(store)
        store.take("a", "1")
        store.take("b", "2")
        await asyncio.sleep(LEAST_REPAIR_SECONDS + 1)

    store, _ = told(Names(["a", "b"], [comes, "a"]), script)
    assert store.objects == {"a": "1", "b": "new"}


def test_without_an_answer_everything_stays() -> None:
    async def script(store: Store) -> None:
        store.take("a", "1")
        await asyncio.sleep(3 * REPAIR_SECONDS)

    store, _ = told(Names(["a"], ServerUnreachable("gone")), script)
    assert store.objects == {"a": "1"}


def test_what_changes_nothing_is_no_change() -> None:
    async def script(store: Store) -> None:
        store.take("a", "1")
        store.take("a", "1")

    store, changes = told(Names(["a"]), script)
    assert changes == store.version == 2
    assert store.events == 2


def test_one_bad_object_does_not_end_the_watch() -> None:
    def fails(item: dict[str, Any]) -> str:
        raise KeyError("spec")

    async def work() -> None:
        store = Store(cast(KubeClient, Names([])), MFUPOLICIES, fails)
        assert store.read({"metadata": {"name": "a"}}) is None

    run(work())


def test_what_only_we_wrote_is_no_news() -> None:
    """Its echo would keep the loop from the quiet moment in which it looks at the news."""
    told: list[str] = []
    state = ClusterState(cast(KubeClient, None), changed=lambda: told.append("news"), told=True)
    store = state.told["modelworkloads"]
    item = {
        "metadata": {"namespace": "a", "name": "w", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {},
    }

    def take(metadata: dict[str, Any], **parts: Any) -> int:
        told.clear()
        found = {**item, "metadata": {**item["metadata"], **metadata}, **parts}

        async def work() -> None:
            store.take("a/w", store.read(found))

        asyncio.run(work())
        return len(told)

    assert take({}) == 1
    assert take({"resourceVersion": "2"}, status={"summary": {"expected": "1%"}}) == 0
    assert store.objects["a/w"].resource_version == "2"
    assert take({"resourceVersion": "3", "generation": 2}) == 1
    assert take({"resourceVersion": "4", "generation": 2, "annotations": {"mfu.gpuaas.io/paused": "true"}}) == 1
    assert take({"resourceVersion": "5", "generation": 2, "uid": "next"}) == 1


def test_what_is_declared_anew_is_named_and_what_comes_or_only_moves_is_not() -> None:
    named: list[str] = []

    async def work() -> None:
        store = Store(
            cast(KubeClient, Names([])),
            MFUPOLICIES,
            lambda item: "x",
            news=lambda before, now: before[0] != now[0],
            redeclared=named.append,
        )
        store.take("a", "1 first")
        store.take("b", "1 first")
        store.take("a", "1 moved")
        store.take("b", "2 moved")
        store.take("b", None)

    run(work())
    assert named == ["b"]
