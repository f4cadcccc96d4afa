"""Two on one GPU, with hand-made shares: who is paired with whom, by which method, and what both are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mfu.api.mfupolicy import SharingMethod
from mfu.decide.fleet import sharing
from mfu.decide.fleet.mig.layouts import profiles_of
from mfu.decide.fleet.sharing import (
    HOST_MARGIN,
    MEMORY_LEFT,
    MOST_WEIGHED,
    UNDONE_SECONDS,
    KeptAsRead,
    Shared,
    Sharer,
    SharingMemory,
    advise_pairs,
    best_way,
    in_slice,
    shared,
    stands,
    watched,
)
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, SharingRules
from mfu.hardware.types import MIGProfile
from mfu.predict.sharing.pair import Kept, SharingMode
from mfu.predict.sharing.program import SharedProgram
from tests.builders.cases import gpu

MIG, MPS, TURNS = SharingMethod.MIG, SharingMethod.MPS, SharingMethod.TIME_SLICING
H100 = gpu()
HALF = SharedProgram(0.5, 0.5, 0.5, 1000, 0.5, 0.4)
"""Works half of its second, with half of the multiprocessors: it fills a quarter."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was answered by hand-made shares is nobody's answer later."""
    best_way.cache_clear()
    yield
    best_way.cache_clear()


def sharer(key: str, program: SharedProgram = HALF, *methods: SharingMethod, **fields: Any) -> Sharer:
    rules = SharingRules(methods=methods or (MPS,), min_kept=fields.pop("least", 0.5))
    return replace(Sharer(key, "team", H100, program, 4e9, rules=rules), **fields)


class Pace:
    """What each keeps beside the other, in place of the model's answer; asked modes are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: float = 0.9, second: float = 0.9) -> None:
        self.kept = Kept(first, 1.0, 1.0), Kept(second, 1.0, 1.0)
        self.modes: list[SharingMode] = []
        monkeypatch.setattr(sharing, "share", self)

    def __call__(self, one: SharedProgram, other: SharedProgram, mode: SharingMode) -> tuple[Kept, Kept]:
        self.modes.append(mode)
        return self.kept


@pytest.mark.parametrize(
    ("asleep", "share", "stands_so"),
    [(0.0, 0.97, True), (0.0, 0.9699, False), (0.5, 0.955, True), (0.5, 0.9549, False), (3.5, 0.94375, True)],
    ids=["works always", "a little less", "half asleep", "a little less than that", "asleep for seven eighths"],
)
def test_the_margin_grows_with_the_time_that_it_works(asleep: float, share: float, stands_so: bool) -> None:
    """0.9 is asked; 0.07 more of what works, 0.04 of what sleeps."""
    side = sharer("a", replace(HALF, asleep_seconds=asleep), least=0.9)
    assert stands(side, Kept(share + 1e-12, 1.0, 1.0)) is stands_so


def test_a_doubt_is_on_top_of_the_margin() -> None:
    side = sharer("a", replace(HALF, asleep_seconds=0.0), least=0.5)
    assert stands(side, Kept(0.6701, 1.0, 1.0), 0.1)
    assert not stands(side, Kept(0.6699, 1.0, 1.0), 0.1)


@pytest.mark.parametrize(("latency", "kept"), [(1.0, True), (1.1, True), (1.11, False)])
def test_whoever_is_waited_for_keeps_its_latency(latency: float, kept: bool) -> None:
    """A tenth more is allowed."""
    assert stands(sharer("a", serves=True), Kept(1.0, latency, 2.0)) is kept
    assert stands(sharer("a"), Kept(1.0, latency, 2.0))


def test_in_turns_what_both_keep_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(monkeypatch, 0.8, 0.9)
    assert best_way(sharer("a"), sharer("b")) == Shared(("a", "b"), MPS, (0.8, 0.9))
    assert pace.modes == [SharingMode.MPS]


@pytest.mark.parametrize(("first", "second"), [(0.4, 0.9), (0.9, 0.4)])
def test_neither_may_lose_too_much(monkeypatch: pytest.MonkeyPatch, first: float, second: float) -> None:
    Pace(monkeypatch, first, second)
    assert best_way(sharer("a"), sharer("b")) is None


@pytest.mark.parametrize(
    ("one", "other", "way"),
    [
        ((MPS, TURNS), (TURNS, MPS), MPS),
        ((TURNS,), (TURNS, MPS), TURNS),
        ((MPS,), (TURNS,), None),
        ((MIG, MPS), (MIG,), MIG),
        ((MIG, MPS), (MPS, MIG), MIG),
    ],
)
def test_the_first_method_that_both_policies_list(
    monkeypatch: pytest.MonkeyPatch,
    one: tuple[SharingMethod, ...],
    other: tuple[SharingMethod, ...],
    way: SharingMethod | None,
) -> None:
    pace = Pace(monkeypatch)
    found = best_way(sharer("a", HALF, *one), sharer("b", HALF, *other))
    assert (found.method if found else None) is way
    assert pace.modes == ([SharingMode.MPS if way is MPS else SharingMode.TIME_SLICED] if way in (MPS, TURNS) else [])


def test_a_method_that_does_not_stand_gives_way_to_the_next() -> None:
    """A decode that keeps nine tenths of the multiprocessors is stretched by every slice, and hardly by turns."""
    wide = replace(HALF, sms=0.9, busy_seconds=0.05, active_seconds=0.05, asleep_seconds=0.95)
    found = best_way(sharer("a", wide, MIG, TURNS, least=0.85), sharer("b", wide, MIG, TURNS, least=0.85))
    assert found is not None and found.method in (MIG, TURNS)
    strict = best_way(sharer("a", replace(wide, asleep_seconds=0.0), MIG), sharer("b", wide, MIG))
    assert strict is None


@pytest.mark.parametrize(("each", "fits"), [(0.475, True), (0.4751, False)])
def test_both_fit_memory_less_a_twentieth(monkeypatch: pytest.MonkeyPatch, each: float, fits: bool) -> None:
    Pace(monkeypatch)
    assert MEMORY_LEFT == 0.05
    held = each * H100.memory_bytes
    found = best_way(sharer("a", memory_bytes=held), sharer("b", memory_bytes=held))
    assert (found is not None) is fits


@pytest.mark.parametrize(("sms", "worth_it"), [(0.6, True), (0.61, False)])
def test_two_that_fill_more_than_a_fifth_over_a_gpu_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, sms: float, worth_it: bool
) -> None:
    Pace(monkeypatch)
    program = SharedProgram(1.0, 0.0, 1.0, 100, sms, 0.1)
    assert (best_way(sharer("a", program), sharer("b", program)) is not None) is worth_it


def test_what_sleeps_fills_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9 of the multiprocessors for half of the time, and kernels for half of that."""
    Pace(monkeypatch)
    program = SharedProgram(0.5, 0.5, 0.25, 100, 0.9, 0.1)
    assert best_way(sharer("a", program), sharer("b", replace(program, sms=0.99))) is not None
    always = replace(program, asleep_seconds=0.0, busy_seconds=0.5)
    assert best_way(sharer("a", always), sharer("b", always)) is None


@pytest.mark.parametrize(("busy", "least", "together"), [(0.05, 0.5, False), (0.05, 0.3, True), (0.5, 0.5, True)])
def test_what_its_host_paces_needs_more_room(
    monkeypatch: pytest.MonkeyPatch, busy: float, least: float, together: bool
) -> None:
    """It is at work half of its time: of 0.33, half is added as far as its host sets the pace; 0.7 are kept."""
    paced = replace(HALF, busy_seconds=busy)
    assert paced.host_paced == pytest.approx(1.0 if busy == 0.05 else 0.0)
    assert HOST_MARGIN == 0.33
    Pace(monkeypatch, 0.7, 0.7)
    for pair in ((sharer("a", paced, least=least), sharer("b", least=least)),):
        assert (best_way(*pair) is not None) is together
        assert (best_way(*pair[::-1]) is not None) is together, "whichever of them it is"


def test_namespaces_meet_where_both_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Pace(monkeypatch)
    open_rules = SharingRules(methods=(MPS,), min_kept=0.5, across_namespaces=True)
    closed, opened = sharer("a", namespace="x"), sharer("b", namespace="y", rules=open_rules)
    assert best_way(closed, opened) is None
    assert best_way(opened, closed) is None
    assert best_way(replace(closed, rules=open_rules), opened) is not None
    assert best_way(replace(closed, namespace="y"), opened) is not None


def profile(name: str) -> MIGProfile:
    return next(each for each in profiles_of(H100.key) if each.name == name)


@pytest.mark.parametrize(
    ("program", "name", "longer"),
    [
        (SharedProgram(1.0, 0.0, 1.0, 100, 0.5, 0.1), "3g.40gb", 0.5 / profile("3g.40gb").sm_fraction),
        (SharedProgram(1.0, 0.0, 1.0, 100, 0.1, 0.8), "3g.40gb", 1.6),
        (SharedProgram(1.0, 0.0, 1.0, 100, 0.1, 0.5), "3g.40gb", 1.0),
        (SharedProgram(1.0, 1.0, 1.0, 100, 0.1, 0.8), "3g.40gb", 1.3),
        (SharedProgram(1.0, 0.0, 0.5, 100, 0.1, 0.8), "3g.40gb", 1.0),
        (SharedProgram(1.0, 0.0, 0.5, 100, 0.1, 0.8), "1g.10gb", 3.2),
    ],
    ids=["multiprocessors", "bandwidth", "neither", "half asleep", "launches hide it", "an eighth of the bandwidth"],
)
def test_in_a_slice_kernels_stretch_by_what_they_used_more(program: SharedProgram, name: str, longer: float) -> None:
    kept = in_slice(program, profile(name))
    assert (kept.share, kept.latency, kept.latency_worst) == pytest.approx((1 / longer, longer, longer))


def test_of_two_slices_the_pair_whose_worse_side_keeps_most() -> None:
    """One wants the multiprocessors of 4g.40gb, the other is content with 3g.40gb, whichever of them comes first."""
    large, small = replace(HALF, sms=0.484), replace(HALF, sms=0.2)
    first = best_way(sharer("a", large, MIG), sharer("b", small, MIG))
    assert first is not None and first.profiles is not None
    assert (first.method, first.profiles[0], first.least) == (MIG, "4g.40gb", pytest.approx(1.0))
    turned = best_way(sharer("a", small, MIG), sharer("b", large, MIG))
    assert turned is not None and turned.profiles is not None
    assert turned.profiles[1] == "4g.40gb"


def test_a_pair_is_as_good_as_its_worse_side() -> None:
    assert PAIR.least == 0.93


def test_a_slice_has_to_hold_its_memory() -> None:
    just = profile("3g.40gb").memory_bytes
    assert best_way(sharer("a", HALF, MIG, memory_bytes=just), sharer("b", HALF, MIG, memory_bytes=just)) is not None
    found = best_way(sharer("a", HALF, MIG, memory_bytes=30e9), sharer("b", HALF, MIG, memory_bytes=30e9))
    assert found is not None and found.profiles is not None
    assert set(found.profiles) <= {"3g.40gb", "4g.40gb"}
    assert best_way(sharer("a", HALF, MIG, memory_bytes=43e9), sharer("b", HALF, MIG)) is None


def advised(*sharers: Sharer, memory: SharingMemory | None = None, now: float = 0.0) -> list[tuple[str, str]]:
    return [each.keys for each in advise_pairs(sharers, memory or SharingMemory(), now)]


def test_isolated_pairs_come_first_then_those_that_keep_most(monkeypatch: pytest.MonkeyPatch) -> None:
    Pace(monkeypatch, 0.99, 0.99)
    sliced = [sharer(key, replace(HALF, sms=0.47), MIG, least=0.5) for key in ("c", "d")]
    assert advised(sharer("a"), sharer("b"), *sliced) == [("c", "d"), ("a", "b")]


def test_each_shares_once_with_whom_both_keep_most(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {("a", "b"): 0.7, ("a", "c"): 0.9, ("b", "c"): 0.8}
    programs = {key: replace(HALF, kernels=100.0 + place) for place, key in enumerate("abc")}
    names = {program: key for key, program in programs.items()}

    def share(one: SharedProgram, other: SharedProgram, _: SharingMode) -> tuple[Kept, Kept]:
        found = Kept(kept[names[one], names[other]], 1.0, 1.0)
        return found, found

    monkeypatch.setattr(sharing, "share", share)
    assert advised(*(sharer(key, program) for key, program in programs.items())) == [("a", "c")]


def test_kinds_of_gpus_are_paired_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    Pace(monkeypatch)
    old = [sharer(key, gpu=gpu("A100-SXM4-80GB")) for key in ("b", "d")]
    assert advised(sharer("a"), sharer("c"), *old) == [("a", "c"), ("b", "d")]


def test_of_many_those_that_leave_most_of_it_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fills more than all others and is the 31st of them: it is weighed with nobody."""
    Pace(monkeypatch)
    assert MOST_WEIGHED == 30
    light = [sharer(f"w{each:02}", replace(HALF, sms=0.1)) for each in range(29)]
    heavy = sharer("a-heavy", replace(HALF, sms=0.9))
    assert "a-heavy" in {key for pair in advised(heavy, *light) for key in pair}
    more = [*light, sharer("w29", replace(HALF, sms=0.1))]
    found = advised(heavy, *more)
    assert len(found) == 15 and "a-heavy" not in {key for pair in found for key in pair}
    sleepy = replace(heavy, program=replace(HALF, sms=0.9, asleep_seconds=50.0))
    assert "a-heavy" in {key for pair in advised(sleepy, *more) for key in pair}, "it fills next to nothing of it"


@pytest.mark.parametrize(("now", "pairs"), [(99.0, []), (100.0, [("a", "b")])])
def test_a_pair_that_was_undone_is_barred_until_then(
    monkeypatch: pytest.MonkeyPatch, now: float, pairs: list[tuple[str, str]]
) -> None:
    Pace(monkeypatch)
    memory = SharingMemory({("a", "b"): 100.0})
    assert advised(sharer("b"), sharer("a"), memory=memory, now=now) == pairs
    assert memory.barred("b", "a", now) is memory.barred("a", "b", now) is (now < 100.0)


PAIR = Shared(("team/a", "team/b"), MIG, (0.96, 0.93), ("3g.40gb", "4g.40gb"))
POLICY = EffectivePolicy(modes={DecisionType.SHARING: Mode.OBSERVE}, sharing=SharingRules(min_kept=0.9))


@pytest.mark.parametrize(
    ("pair", "key", "message", "hint"),
    [
        (
            PAIR,
            "team/a",
            "could share one GPU with team/b in MIG slices, 3g.40gb for it and 4g.40gb for the other: it is expected "
            "to keep 96% of its own rate (90% is asked), the other 93%. "
            "One GPU would be free; nothing is moved unless you do",
            {"shareWith": "team/b", "method": "MIG"},
        ),
        (
            PAIR,
            "team/b",
            "could share one GPU with team/a in MIG slices, 4g.40gb for it and 3g.40gb for the other: it is expected "
            "to keep 93% of its own rate (90% is asked), the other 96%. "
            "One GPU would be free; nothing is moved unless you do",
            {"shareWith": "team/a", "method": "MIG"},
        ),
        (
            replace(PAIR, method=MPS, profiles=None),
            "team/a",
            "could share one GPU with team/b under MPS: it is expected to keep 96% of its own rate (90% is asked), the "
            "other 93%. "
            "One GPU would be free; nothing is moved unless you do",
            {"shareWith": "team/b", "method": "MPS"},
        ),
        (
            replace(PAIR, method=TURNS, profiles=None),
            "team/b",
            "could share one GPU with team/a in time slices: it is expected to keep 93% of its own rate (90% is "
            "asked), the other 96%. "
            "One GPU would be free; nothing is moved unless you do",
            {"shareWith": "team/a", "method": "TimeSlicing"},
        ),
    ],
)
def test_what_one_side_is_told(pair: Shared, key: str, message: str, hint: dict[str, str]) -> None:
    assert shared(pair, key, POLICY) == Decision(
        DecisionType.SHARING, Outcome.SHARE, "KeepEnoughTogether", message, Mode.OBSERVE, hint
    )


def test_the_side_that_is_farthest_below_what_is_asked_is_named() -> None:
    why, memory = watched(PAIR, KeptAsRead((0.85, 0.6), (0.9, 0.8)), SharingMemory(), 5.0)
    assert why == "team/b keeps 60% of its own rate beside the other, 93% was expected, 80% is asked"
    assert memory.undone == {("team/a", "team/b"): 5.0 + UNDONE_SECONDS}
    assert UNDONE_SECONDS == 24 * 3600
    why, _ = watched(PAIR, KeptAsRead((0.5, 0.6), (0.6, 0.9)), SharingMemory(), 5.0)
    assert why is not None and why.startswith("team/b keeps 60%"), "0.3 below, not 0.1"
    why, _ = watched(PAIR, KeptAsRead((0.6, 0.75), (0.9, 0.8)), SharingMemory(), 5.0)
    assert why is not None and why.startswith("team/a keeps 60%")


@pytest.mark.parametrize("kept", [(0.9, 0.9), (None, None), (None, 0.95)])
def test_what_keeps_enough_or_is_not_known_stays(kept: tuple[float | None, float | None]) -> None:
    memory = SharingMemory({("x", "y"): 1.0})
    assert watched(PAIR, KeptAsRead(kept, (0.9, 0.9)), memory, 5.0) == (None, memory)


@pytest.mark.parametrize(("until", "stays"), [(5.0, False), (5.1, True)])
def test_bars_that_are_over_are_forgotten(until: float, stays: bool) -> None:
    turned = replace(PAIR, keys=("team/b", "team/a"))
    _, memory = watched(turned, KeptAsRead((0.1, 0.1), (0.9, 0.9)), SharingMemory({("x", "y"): until}), 5.0)
    assert (("x", "y") in memory.undone) is stays
    assert ("team/a", "team/b") in memory.undone
