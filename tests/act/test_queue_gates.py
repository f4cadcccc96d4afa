"""Kueue may look at a Job once its template was told, or never will be; else its gate stays until the deadline."""

from __future__ import annotations

import pytest

from mfu.act.queue_gates import NEVER, QueueRelease, names_on, queue_releases, without_ours
from mfu.act.templates import HeldOwner, HeldTemplate
from mfu.act.types import Acts, Guard, Hindrance, Step
from mfu.api.names import PLACEMENT_GATE
from mfu.cluster.held import held_owner
from tests.act.builders import known, selecting, track
from tests.builders.fleets import H100
from tests.builders.held import MADE, PRODUCT, QUEUE

GATE = "kueue.x-k8s.io/admission-gated-by"


def owner(*, told: bool = False, gated: bool = True) -> HeldOwner:
    selector = {PRODUCT: H100} if told else {}
    template = HeldTemplate(selector=selector, gpus={"nvidia.com/gpu": 8})
    return HeldOwner("team", "Job", "train", "u", queued=True, gated=gated, templates=(template,))


def due(acts: Acts, each: HeldOwner, *placed: str) -> tuple[QueueRelease, ...]:
    return queue_releases(acts, {"team/w": each}, frozenset(placed))


def hindered(guard: Guard) -> Acts:
    return Acts((Step(selecting(), Hindrance(guard, "because of it")),))


@pytest.mark.parametrize("guard", list(Guard))
def test_what_no_waiting_ends_is_not_waited_for(guard: Guard) -> None:
    found = due(hindered(guard), owner(), "team/w")
    assert bool(found) is (guard in NEVER)
    if found:
        assert found[0].words == "Kueue may look at it as it is: because of it"


def test_what_is_on_its_way_is_waited_for_until_the_template_says_it() -> None:
    sent = Acts((Step(selecting()),), remembered=known(track(selecting(), expected_by=1e12)))
    assert due(sent, owner(), "team/w") == ()
    (found,) = due(sent, owner(told=True), "team/w")
    assert found.words == "Kueue may look at it: its template says what was decided"
    assert (found.namespace, found.kind, found.name, found.uid) == ("team", "Job", "train", "u")
    assert (found.workload, found.key) == ("team/w", "queue/team/Job/train/u")


def test_without_a_place_it_waits_for_its_deadline() -> None:
    assert due(Acts(), owner()) == ()
    assert len(due(Acts(), owner(), "team/w")) == 1, "a place is decided, and there is nothing to write"
    assert due(Acts(), owner(), "team/other") == ()


def test_who_does_not_wait_is_left_alone() -> None:
    assert due(Acts(), owner(gated=False), "team/w") == ()


@pytest.mark.parametrize(
    ("gate", "names", "left"),
    [
        ("", (), ""),
        (PLACEMENT_GATE, (PLACEMENT_GATE,), ""),
        (f"a/b, {PLACEMENT_GATE}", ("a/b", PLACEMENT_GATE), "a/b"),
        (f"{PLACEMENT_GATE},a/b,c/d", (PLACEMENT_GATE, "a/b", "c/d"), "a/b,c/d"),
        ("a/b", ("a/b",), "a/b"),
    ],
)
def test_only_our_name_comes_off(gate: str, names: tuple[str, ...], left: str) -> None:
    assert (names_on(gate), without_ours(gate)) == (names, left)


@pytest.mark.parametrize(("gate", "gated"), [(f"a/b,{PLACEMENT_GATE}", True), ("a/b", False), ("", False)])
@pytest.mark.parametrize("kind", MADE)
def test_an_owner_says_whose_gate_holds_it(kind: str, gate: str, gated: bool) -> None:
    item = MADE[kind](labels=QUEUE, annotations={GATE: gate}, namespace="team", uid="u")
    found = held_owner(kind)(item)
    assert found is not None
    assert (found.gated, found.queued) == (gated, True)
