"""The order of the one list: memory, then latency, then speed, then another product, and replicas last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.api.workload_status import Meter
from mfu.decide.recommend import ranking
from mfu.decide.recommend.ranking import MOST, allowed, possible_end, reach_of, recommend
from mfu.decide.recommend.recommended import NextStep, Recommended
from mfu.decide.scale import on_scale
from mfu.decide.types import Subject
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from mfu.predict.types import Placement, Prediction, Setup, Tunable
from tests.builders.cases import SERVING, case, too_large

TRAINED = replace(case(assigned=True), expected=replace(case().expected, tokens_per_s_per_gpu=100.0))
SERVED = case(SERVING, assigned=True, replicas_running=2)
SERVED = replace(SERVED, expected=replace(SERVED.expected, tokens_per_s_per_gpu=100.0))


def makes(rate: float) -> Prediction:
    return replace(TRAINED.expected, tokens_per_s_per_gpu=rate)


def setting(name: str, rate: float, kind: Kind = Kind.SETTING) -> NextStep:
    return NextStep(kind, name, "1", "2", prediction=makes(rate))


@dataclass
class World:
    """What each of the searches answers; `late` by the rate that is asked about: never, perhaps or surely."""

    fits_elsewhere: NextStep | None = None
    fitting: NextStep | None = None
    in_time: NextStep | None = None
    packed: NextStep | None = None
    sliced: NextStep | None = None
    other_product: NextStep | None = None
    changes: tuple[NextStep, ...] = ()
    late: dict[float, str] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("fits_elsewhere", "fitting", "in_time", "packed", "sliced", "other_product"):
            monkeypatch.setattr(ranking, name, self._answer(name))
        monkeypatch.setattr(ranking, "changes", self._changes)
        monkeypatch.setattr(ranking, "late", self._late)

    def _answer(self, name: str) -> Callable[..., NextStep | None]:
        def answer(*asked: Any) -> NextStep | None:
            self.asked.append((name, *asked))
            found: NextStep | None = getattr(self, name)
            return found

        return answer

    def _changes(self, setup: Setup, where: Placement, tunable: frozenset[Tunable]) -> tuple[NextStep, ...]:
        self.asked.append(("changes", setup, where, tunable))
        return self.changes

    def _late(self, _: Setup, found: Prediction, *, surely: bool = False) -> tuple[str, ...]:
        how = self.late.get(found.tokens_per_s_per_gpu, "never")
        return ("late",) if how == "surely" or (how == "perhaps" and not surely) else ()


def steps(
    monkeypatch: pytest.MonkeyPatch, world: World, subject: Subject = TRAINED, **fields: Any
) -> tuple[Recommended, ...]:
    world.apply(monkeypatch)
    return recommend(replace(subject, **fields))


def names(found: tuple[Recommended, ...]) -> list[str]:
    return [each.step.field for each in found]


ELSEWHERE, FITTING = setting("product", 90.0, Kind.FIT), setting("layout", 80.0, Kind.FIT)
FAST, FASTER = setting("batch", 120.0), setting("recompute", 150.0)
IN_TIME = setting("concurrency", 70.0, Kind.OBJECTIVE)
PACKED, SLICED = setting("pack", 110.0, Kind.MOVE), setting("slice", 105.0, Kind.SLICE)
WAITING = replace(too_large(TRAINED), assigned=False)


@pytest.mark.parametrize(
    ("world", "subject", "order"),
    [
        (World(), WAITING, []),
        (World(fits_elsewhere=ELSEWHERE, fitting=FITTING, changes=(FAST,)), WAITING, ["product", "batch"]),
        (World(fitting=FITTING, changes=(FAST,)), WAITING, ["layout", "batch"]),
        (World(changes=(FAST,)), WAITING, []),
        (World(fitting=FITTING, changes=(FAST,)), replace(WAITING, assigned=True), ["batch"]),
        (World(in_time=IN_TIME, packed=PACKED, late={100.0: "surely"}), TRAINED, ["concurrency"]),
        (World(packed=PACKED, changes=(FAST,), late={100.0: "surely"}), TRAINED, []),
        (World(packed=PACKED, sliced=SLICED, changes=(FAST,), late={100.0: "perhaps"}), TRAINED, ["batch"]),
        (World(packed=PACKED, sliced=SLICED, changes=(FAST,)), TRAINED, ["pack", "batch"]),
        (World(sliced=SLICED, changes=(FAST,)), TRAINED, ["slice", "batch"]),
        (World(changes=(FAST, FASTER)), TRAINED, ["batch", "recompute"]),
    ],
)
def test_what_comes_first(monkeypatch: pytest.MonkeyPatch, world: World, subject: Subject, order: list[str]) -> None:
    assert names(steps(monkeypatch, world, subject)) == order


def test_settings_are_searched_where_the_first_step_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    there = replace(TRAINED.placement, gpus=16)
    world = World(packed=replace(PACKED, placement=there), changes=(FAST,))
    steps(monkeypatch, world)
    assert [each[2] for each in world.asked if each[0] == "changes"] == [there]


def test_what_shares_its_gpu_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    device = replace(TRAINED.placement.device, shared=True)
    assert steps(monkeypatch, World(changes=(FAST,)), placement=replace(TRAINED.placement, device=device)) == ()


def finding(cause: Cause, share: float = 0.1, **fields: Any) -> Finding:
    made = Finding(cause, 0.9, Explains.RUNTIME, share, None, f"mend {cause}", Actor.PROVIDER, True, (), 1.2)
    return replace(made, **fields)


@pytest.mark.parametrize(("action", "words"), [("give them back", "give them back"), ("", "release the idle GPUs")])
def test_what_idles_is_released_and_nothing_else(monkeypatch: pytest.MonkeyPatch, action: str, words: str) -> None:
    idle = finding(Cause.IDLE_ALLOCATION, action=action)
    (found,) = steps(monkeypatch, World(changes=(FAST,)), findings=(idle,))
    assert (found.kind, found.step.field, found.step.action) == (Kind.RELEASE, "IdleAllocation", words)
    assert (found.step.actor, found.reach.gpus, found.gain) == (Actor.PROVIDER, 0, None)


def observed(share: float, subject: Subject = TRAINED) -> Assessment:
    mfu = share * (on_scale(subject.expected) or 0.0)
    row = Observation(
        Window.TEN_MINUTES, Meter.PROGRESS, mfu, mfu, None, None, None, 1.0, "test", 0.0, 0.9, tokens_per_s_per_gpu=None
    )
    return Assessment((row,), state=TelemetryState.OK)


def test_the_start_is_what_is_observed_of_what_runs() -> None:
    start = reach_of(replace(TRAINED, assessment=observed(0.5), replicas_running=3))
    assert (start.share, start.replicas, start.runs) == (pytest.approx(0.5), 1, True)
    assert start.tokens_per_s == pytest.approx(400.0), "8 GPUs of 100, half of it"
    assert reach_of(SERVED).replicas == 2
    assert reach_of(replace(SERVED, replicas_running=0)).replicas == 1
    assert not reach_of(WAITING).runs
    assert reach_of(replace(WAITING, assigned=True)).runs
    assert reach_of(replace(TRAINED, assigned=False)).runs


@pytest.mark.parametrize(("share", "order"), [(1.19, ["batch"]), (1.2, []), (1.3, [])])
def test_what_beats_its_best_prediction_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, share: float, order: list[str]
) -> None:
    """The best that is predicted is 1.2 times as fast as expected."""
    world = World(changes=(setting("first", 300.0), FAST) if not order else (FAST,))
    subject = replace(TRAINED, assessment=observed(share))
    assert names(steps(monkeypatch, world, subject)) == order


def test_what_has_to_come_first_is_said_whatever_is_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(packed=PACKED, changes=(FAST,))
    assert names(steps(monkeypatch, world, assessment=observed(1.3))) == ["pack", "batch"]


@pytest.mark.parametrize(
    ("lost", "order"),
    [(0.3, ["Straggler", "batch", "recompute"]), (0.05, ["batch", "Straggler", "recompute"])],
)
def test_at_each_place_the_one_that_brings_more(monkeypatch: pytest.MonkeyPatch, lost: float, order: list[str]) -> None:
    """Half of what is expected is observed. 1.2 times by the batch, 1.25 by the next, 1.6 or 1.1 by the straggler; the
    settings keep their own order."""
    aim = on_scale(TRAINED.expected) or 0.0
    slow = finding(Cause.STRAGGLER, lost * aim)
    recompute = setting("recompute", 122.0)
    world = World(changes=(FAST, recompute))
    found = steps(monkeypatch, world, assessment=observed(0.5), findings=(slow,))
    assert names(found) == order


def test_gains_are_told_on_top_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    found = steps(monkeypatch, World(changes=(FAST, FASTER)))
    assert [each.gain for each in found] == pytest.approx([0.2, 0.25])
    (fit,) = steps(monkeypatch, World(fitting=FITTING), WAITING)
    assert fit.gain is None


def test_the_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(setting(f"s{each:02}", 101.0 + each) for each in range(MOST + 4))
    found = steps(monkeypatch, World(changes=many))
    assert names(found) == [f"s{each:02}" for each in range(16)]


@pytest.mark.parametrize(
    ("late", "order"),
    [("never", ["batch", "B200"]), ("perhaps", ["batch", "B200"]), ("surely", ["batch"])],
)
def test_another_product_comes_last_and_never_on_what_is_late(
    monkeypatch: pytest.MonkeyPatch, late: str, order: list[str]
) -> None:
    world = World(changes=(FAST,), other_product=setting("B200", 200.0, Kind.PRODUCT), late={120.0: late})
    assert names(steps(monkeypatch, world)) == order
    world.apply(monkeypatch)
    assert possible_end(replace(reach_of(TRAINED), prediction=makes(120.0))) is (late != "surely")


def test_no_product_is_offered_to_what_runs_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps(monkeypatch, World(other_product=setting("B200", 200.0, Kind.PRODUCT)), WAITING) == ()


@pytest.mark.parametrize(
    ("wanted", "world", "replicas"),
    [
        (2, World(), None),
        (3, World(), 3),
        (None, World(), None),
        (4, World(changes=(FAST,)), 4),
        (4, World(changes=(setting("batch", 200.0),)), None),
        (4, World(other_product=setting("B200", 400.0, Kind.PRODUCT)), 1),
        (20, World(), 8),
        (4, World(sliced=setting("slice", 0.0, Kind.SLICE)), None),
    ],
    ids=["as many", "more", "not asked", "3.3 of 120", "2 of 200", "1 on B200", "bounds", "nothing is made"],
)
def test_replicas_are_counted_at_the_end(
    monkeypatch: pytest.MonkeyPatch, wanted: int | None, world: World, replicas: int | None
) -> None:
    """Of 100 tokens/s each as declared; two run."""
    found = steps(monkeypatch, world, SERVED, desired_replicas=wanted)
    last = [each for each in found if each.kind is Kind.REPLICAS]
    if replicas is None:
        assert last == []
        return
    assert last == [found[-1]]
    assert (last[0].step.action, last[0].reach.replicas) == (f"inference.replicas 2 → {replicas}", replicas)


def test_the_work_of_replicas_is_that_of_all_their_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs each, of 100 tokens/s: four are asked for and four it is."""
    block = {**SERVING["inference"], "parallelism": {"tensor": 2}}
    document = {**SERVING, "inference": block, "accelerators": {"count": 2, "products": ["H100-SXM5"]}}
    wide = case(document, assigned=True, replicas_running=2)
    wide = replace(wide, expected=replace(wide.expected, tokens_per_s_per_gpu=100.0))
    (found,) = steps(monkeypatch, World(), wide, desired_replicas=4)
    assert found.step.action == "inference.replicas 2 → 4"


@pytest.mark.parametrize(
    ("findings", "concurrency"),
    [
        ((), True),
        ((finding(Cause.KV_CACHE_PRESSURE, explains=Explains.CONFIGURATION),), False),
        ((finding(Cause.LOW_CONCURRENCY),), False),
        ((finding(Cause.LOW_CONCURRENCY, explains=Explains.CONFIGURATION),), True),
        ((finding(Cause.STRAGGLER),), True),
        ((finding(Cause.STRAGGLER), finding(Cause.KV_CACHE_PRESSURE)), False),
    ],
)
def test_more_requests_are_not_advised_where_they_are_of_no_use(
    findings: tuple[Finding, ...], concurrency: bool
) -> None:
    subject = case({**SERVING, "tunable": ["Concurrency", "Precision"]}, findings=findings)
    assert allowed(subject) == {Tunable.PRECISION} | ({Tunable.CONCURRENCY} if concurrency else set())


def test_causes_are_mended_only_of_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = finding(Cause.STRAGGLER, 0.1)
    waits = replace(WAITING, findings=(slow,), assessment=observed(0.5))
    assert names(steps(monkeypatch, World(fitting=FITTING), waits)) == ["layout"]
    assert names(steps(monkeypatch, World(), TRAINED, findings=(slow,), assessment=observed(0.5))) == ["Straggler"]
