"""Change points: found soon, not imagined, and told apart by what changed with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfu.observe.drift import Drift, DriftKind, DriftState, Identity, update

HERE = Identity("llama", "v1", "mb1", "H100-SXM5", 8)
SD = 0.008


def watch(values: list[float], identities: list[Identity] | None = None, expected: float | None = None) -> list[Drift]:
    state, found = DriftState(), []
    for index, value in enumerate(values):
        identity = identities[index] if identities else HERE
        state, drift = update(state, value, at=60.0 * index, identity=identity, expected=expected)
        found += [drift] if drift is not None else []
    return found


def noise(level: float, count: int, seed: int = 0) -> list[float]:
    return list(level + SD * np.random.default_rng(seed).normal(size=count))


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_job_raises_no_alarm_for_a_day(seed: int) -> None:
    assert watch(noise(0.40, 1440, seed), expected=0.41) == []


@pytest.mark.parametrize(("after", "within"), [(0.36, 8), (0.30, 3), (0.44, 8)])
def test_a_shift_is_found_soon_and_dated_well(after: float, within: int) -> None:
    (drift,) = watch(noise(0.40, 60) + noise(after, 60, 1))
    assert drift.kind is DriftKind.INFRASTRUCTURE
    assert drift.before == pytest.approx(0.40, abs=0.01)
    assert abs(drift.at / 60 - 60) <= within


def test_one_bad_reading_is_no_change() -> None:
    assert watch([*noise(0.40, 50), 0.05, *noise(0.40, 50, 1)]) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"version": "v2"}, DriftKind.CONFIGURATION),
        ({"setting": "mb8"}, DriftKind.CONFIGURATION),
        ({"gpus": 64}, DriftKind.SCALING),
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


def test_steadily_below_expectation_needs_no_past() -> None:
    (drift,) = watch(noise(0.30, 40), expected=0.42)
    assert (drift.against, drift.kind) == ("Expectation", DriftKind.INFRASTRUCTURE)
