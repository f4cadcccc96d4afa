"""What was given back is forgotten; what fails is tried ever later; and amounts are read as Kubernetes writes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.node_keeper import Leaving, NodeKeeper
from mfu.cluster.pacing import LONGEST_SECONDS
from mfu.cluster.reshaping import _shown
from tests.builders.virtual_time import run

JSON = dict[str, Any]
FAILED = ApiError(500, "InternalError", "no", "PATCH n")


@dataclass(frozen=True)
class Marked:
    name: str
    uid: str = "u"

    @property
    def place(self) -> str:
        return self.uid


class Server:
    """Gives the node that is asked for."""

    async def get(self, _resource: object, name: str) -> JSON:
        return {"metadata": {"name": name}}


def keeper(answers: list[Exception | None]) -> NodeKeeper[Marked]:
    """Each try takes the next answer; the last one stays."""

    async def give_back(_client: KubeClient, _node: JSON) -> str:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            raise answer
        return "GivenBack"

    leaving = Leaving("label", lambda node: Marked(node["metadata"]["name"]), lambda *_: True, give_back)
    return NodeKeeper(cast(KubeClient, Server()), leaving)


def test_what_was_given_back_leaves_nothing_behind() -> None:
    async def work() -> None:
        mine = keeper([None])
        await mine.round({"n": Marked("n")}, lambda: True)
        assert mine.counts == {"GivenBack": 1}
        await asyncio.sleep(2 * LONGEST_SECONDS)
        await mine.round({}, lambda: True)
        assert (len(mine._attempts), len(mine._seen)) == (0, 0)

    run(work())


def test_what_fails_is_tried_again_ever_later() -> None:
    async def work() -> float:
        mine, clock = keeper([FAILED, FAILED, None]), asyncio.get_running_loop().time
        while not mine.counts:
            await mine.round({"n": Marked("n")}, lambda: True)
            await asyncio.sleep(1.0)
        return clock() - 1.0

    # At once, 5 seconds after, and 10 after that.
    assert run(work()) == pytest.approx(15.0)


def test_nothing_is_written_without_the_lease() -> None:
    mine = keeper([None])
    run(mine.round({"n": Marked("n")}, lambda: False))
    assert not mine.counts


@pytest.mark.parametrize(("amount", "count"), [("7", 7), ("1k", 1000), ("2e0", 2)])
def test_amounts_of_slices_are_quantities(amount: str, count: int) -> None:
    units = {"nvidia.com/mig-1g.10gb": amount, "nvidia.com/mig-2g.20gb": "0", "nvidia.com/gpu": "8"}
    shown = _shown({"metadata": {"name": "n"}, "status": {"allocatable": units}}, [])
    assert shown.allocatable == {"nvidia.com/mig-1g.10gb": count}
