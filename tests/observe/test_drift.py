"""Change points: found soon, not imagined, and told apart by what changed with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.drift.truth import scatter, steady
from mfu.observe import drift as search
from mfu.observe.drift import Drift, DriftKind, DriftState, Identity, SteadyStretch, update

HERE = Identity("llama", "v1", "mbs 1 gbs 64 d8", "H100-SXM5", 8)
SD = 0.008


def watch(values: list[float], identities: list[Identity] | None = None) -> list[Drift]:
    state, found = DriftState(), []
    for index, value in enumerate(values):
        identity = identities[index] if identities else HERE
        state, drift = update(state, value, at=60.0 * index, identity=identity)
        found += [drift] if drift is not None else []
    return found


def noise(level: float, count: int, seed: int = 0) -> list[float]:
    return list(level + SD * np.random.default_rng(seed).normal(size=count))


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_job_raises_no_alarm_for_a_day(seed: int) -> None:
    assert watch(noise(0.40, 1440, seed)) == []


@pytest.mark.parametrize(("after", "within"), [(0.36, 8), (0.30, 3), (0.44, 8)])
def test_a_shift_is_found_soon_and_dated_well(after: float, within: int) -> None:
    (drift,) = watch(noise(0.40, 60) + noise(after, 60, 1))
    assert drift.kind is DriftKind.INFRASTRUCTURE
    assert drift.before == pytest.approx(0.40, abs=0.01)
    assert abs(drift.at / 60 - 60) <= within


def test_one_bad_reading_is_no_change() -> None:
    assert watch([*noise(0.40, 50), 0.05, *noise(0.40, 50, 1)]) == []


@pytest.mark.parametrize(("minutes", "told"), [(10, 0), (40, 2)])
def test_a_pause_is_no_change_and_a_stop_is_one(minutes: int, told: int) -> None:
    found = watch([*noise(0.40, 60), *[0.0] * minutes, *noise(0.40, 60, 1)])
    assert len(found) == told
    if told:
        assert found[0].after == pytest.approx(0.0, abs=0.02)


def test_a_pause_while_it_warms_up_spoils_nothing() -> None:
    (drift,) = watch([*noise(0.40, 12), 0.18, *noise(0.40, 40, 1), *noise(0.368, 30, 2)])
    assert drift.relative == pytest.approx(-0.08, abs=0.025)


def test_what_creeps_is_told_once_it_is_far_enough() -> None:
    slow = [0.40 * (1 - 0.12 * minute / 1200) for minute in range(1200)]
    noisy = [level + 0.2 * each for level, each in zip(slow, np.array(noise(0.0, 1200)), strict=True)]
    (drift,) = watch([*noise(0.40, 60), *noisy])
    assert drift.relative == pytest.approx(-0.065, abs=0.02)


def test_noise_that_carries_over_raises_the_alarm() -> None:
    plain, carried = SteadyStretch(0.0), SteadyStretch(0.0)
    random, state = np.random.default_rng(5), 0.0
    for fresh in (0.4 * 0.03 * random.normal(size=400)).tolist():
        state = 0.5 * state + 0.75**0.5 * fresh
        plain, carried = plain.learned(0.4 + fresh), carried.learned(0.4 + state)
    assert plain.persistence < 1.4
    assert 2.0 < carried.persistence < 4.0


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"version": "v2"}, DriftKind.CONFIGURATION),
        ({"setting": "mb8"}, DriftKind.CONFIGURATION),
        ({"gpus": 64}, DriftKind.SCALING),
        ({"gpus": 64, "setting": "mbs 1 gbs 512 d64"}, DriftKind.SCALING),
        ({"product": "H200-SXM"}, DriftKind.INFRASTRUCTURE),
    ],
)
def test_kind_follows_what_changed(change: dict[str, object], kind: DriftKind) -> None:
    there = replace(HERE, **change)  # type: ignore[arg-type]
    (drift,) = watch(noise(0.40, 30) + noise(0.33, 30, 1), [HERE] * 30 + [there] * 30)
    assert drift.kind is kind
    assert drift.relative == pytest.approx(-0.175, abs=0.03)


def test_a_change_without_effect_is_no_drift() -> None:
    there = replace(HERE, version="v2")
    assert watch(noise(0.40, 30) + noise(0.402, 30, 1), [HERE] * 30 + [there] * 30) == []


@pytest.mark.parametrize("first", ["declaration", "pods"])
def test_declaration_and_pods_change_minutes_apart(first: str) -> None:
    """One change, called by what changed in all: a larger job, or another version of a larger job."""
    declared, grown = replace(HERE, setting="mbs 1 gbs 512 d64"), replace(HERE, gpus=64)
    between = declared if first == "declaration" else grown
    whole = replace(HERE, setting="mbs 1 gbs 512 d64", gpus=64)
    figures = noise(0.40, 30) + [0.0] * 6 + noise(0.35, 40, 1)
    for last, kind in ((whole, DriftKind.SCALING), (replace(whole, version="v2"), DriftKind.CONFIGURATION)):
        (drift,) = watch(figures, [HERE] * 30 + [between] * 3 + [last] * 43)
        assert drift.kind is kind
        assert drift.relative == pytest.approx(-0.125, abs=0.03)


def test_what_does_nothing_at_all_divides_by_nothing() -> None:
    assert watch([0.0] * 60) == []
    (drift,) = watch([0.0] * 60 + noise(0.40, 30))
    assert drift.relative == 0.0
    assert drift.after == pytest.approx(0.40, abs=0.02)


WANDERING = (143, 160, 277, 329, 412, 531)
"""Seeds whose noise, half of it carried over, wanders far from a level that few samples told."""


@pytest.mark.parametrize("seed", WANDERING)
def test_what_a_few_samples_told_is_doubted_before_it_is_told(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = (0.4 * (1 + scatter(np.random.default_rng(seed), 90, sd=0.03, carried=0.5))).tolist()
    assert watch(figures) == []
    monkeypatch.setattr(search, "SURE", 0.0)
    assert watch(figures) != []


PAUSED = (61363,)
"""Workloads whose noise wanders low just while a pause comes."""


@pytest.mark.parametrize("workload", PAUSED)
def test_a_pause_among_low_samples_is_no_proof_of_a_lower_level(workload: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = steady(workload, 7200)[:120].tolist()
    assert watch(figures) == []
    monkeypatch.setattr(search, "_reined_in", lambda levels, far: list(levels))
    assert watch(figures) != []


def test_a_pause_is_reined_in_and_a_change_is_not() -> None:
    level = SteadyStretch(0.0, 0.4, 0.0, 30)
    low = (0.38,) * 8
    plain, paused, fallen = (level.errors_away(each) for each in (low, (*low, 0.2), (0.3,) * 9))
    assert plain == pytest.approx(5.1, abs=0.05)
    assert paused == pytest.approx(6.2, abs=0.05)
    assert fallen == pytest.approx(26.9, abs=0.05)


def test_a_change_of_eight_per_cent_is_sought_however_much_minutes_scatter() -> None:
    calm, rough = SteadyStretch(0.0), SteadyStretch(0.0)
    for fresh in np.random.default_rng(3).normal(size=200).tolist():
        calm, rough = calm.learned(0.4 * (1 + 0.005 * fresh)), rough.learned(0.4 * (1 + 0.03 * fresh))
    assert calm.slack == pytest.approx(2.0)
    assert rough.slack == pytest.approx(0.04 / 0.03, abs=0.15)
    assert SteadyStretch(0.0, 0.4, samples=100).errors_away((0.4,) * 10) == 0.0


def test_few_samples_must_lie_farther_away() -> None:
    assert [search.errors_needed(count) for count in (7, 28, 40)] == [10.0, 5.0, 5.0]


def test_what_may_be_of_another_level_is_learned_only_once_it_is_known_not_to_be(steady_noise: list[float]) -> None:
    """A run holds its samples back; they count, in their order, when it comes to nothing."""
    state = DriftState()
    for index, mfu in enumerate(steady_noise):
        state, _ = update(state, mfu, at=60.0 * index, identity=HERE)
    level, seen = state.regime.mean, state.regime.samples
    for index, mfu in enumerate([0.95 * level, 0.95 * level, level, level, level]):
        state, _ = update(state, mfu, at=6_000.0 + 60.0 * index, identity=HERE)
        held = len(state.fall.recent)
        assert state.regime.samples == seen + index + 1 - held
    assert held == 0


@pytest.fixture
def steady_noise() -> list[float]:
    return noise(0.40, 60)


def test_a_fall_is_no_part_of_the_level_that_it_is_judged_by() -> None:
    """8 % in the noisiest workload: the level stays where it was until the change is told."""
    random = np.random.default_rng(7)
    figures = 0.4 * (1 + scatter(random, 90, sd=0.03, carried=0.5))
    figures[60:] *= 0.92
    state, levels = DriftState(), list[float]()
    for index, mfu in enumerate(figures.tolist()):
        state, drift = update(state, mfu, at=60.0 * index, identity=HERE)
        levels.append(state.regime.mean)
        if drift is not None:
            break
    assert drift is not None
    assert levels[-2] == pytest.approx(levels[59], rel=0.01)
