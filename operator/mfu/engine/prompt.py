"""What to tell a person who applies a declaration, before anything runs: a refusal, or warnings of one line each.

Pure: the admission handler asks at the prompt what a cycle says later in status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.api.acceptance import problems
from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.policy_checks import policy_problems
from mfu.decide.enforcing import in_name_only
from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.hardware.problem import Problem, ProblemReason
from mfu.predict import attainable, predict
from mfu.predict.declared import from_spec, placement_for, tunable_of
from mfu.predict.nearest import nearest_fit
from mfu.predict.types import Attainable, Placement, Prediction, Setup
from mfu.units import GIB

MOST_CHARACTERS: Final = 256
"""The API server cuts a warning there."""
_MOST_PRODUCTS: Final = 4
"""Products that are predicted while somebody waits."""
_WORTH_SAYING: Final = 0.05
"""Gains in tokens/s below this are not worth a line at the prompt: repeated runs differ by 1-3 %."""
_SAME_POINTS: Final = 0.01
"""Two shares closer than this read alike in whole percents."""
_UNKNOWN_NAMES: Final = frozenset(
    {ProblemReason.UNKNOWN_PRESET, ProblemReason.UNKNOWN_PRODUCT, ProblemReason.UNKNOWN_MIG_PROFILE}
)


@dataclass(frozen=True, slots=True)
class Told:
    """`refusal` where the declaration names what does not exist, else `warnings`; both within 256 characters."""

    refusal: str | None = None
    warnings: tuple[str, ...] = ()


def about_workload(spec: WorkloadSpec) -> Told:
    """Refuses unknown presets, products and MIG profiles; warns of what can not run, does not fit, or wastes."""
    found = problems(spec)
    if found:
        return _told(found)
    setup = from_spec(spec)
    if isinstance(setup, Problem):
        return _told((setup,))
    places = (placement_for(spec, product) for product in spec.accelerators.products[:_MOST_PRODUCTS])
    asked = ((where, predict(setup, where)) for where in places if isinstance(where, Placement))
    answers = [(where, said) for where, said in asked if isinstance(said, Prediction)]
    if not answers:
        return Told()
    return Told(warnings=tuple(_short(each) for each in _of_fit_or_speed(spec, setup, answers)))


def unknown_names(spec: WorkloadSpec) -> Told:
    """The refusal alone, which takes no prediction: for when there is no time to warn."""
    return Told(refusal=_told(problems(spec)).refusal)


def about_policy(spec: PolicySpec) -> Told:
    """Refuses unknown products; warns of what makes the policy invalid, and of Enforce that does nothing."""
    found = policy_problems(spec)
    if found:
        return _told(found)
    return Told(warnings=tuple(_short(each) for each in in_name_only(spec)))


def _told(found: tuple[Problem, ...]) -> Told:
    unknown = next((each for each in found if each.reason in _UNKNOWN_NAMES), None)
    if unknown is not None:
        return Told(refusal=_short(f"spec.{unknown}"))
    return Told(warnings=tuple(_short(f"spec.{each}") for each in found))


def _of_fit_or_speed(spec: WorkloadSpec, setup: Setup, answers: list[tuple[Placement, Prediction]]) -> tuple[str, ...]:
    unfit = [(where, found) for where, found in answers if not found.memory.fits]
    if len(unfit) == len(answers):
        return (_does_not_fit(setup, *max(unfit, key=lambda each: each[1].memory.capacity_bytes)),)
    fitting = next((where, found) for where, found in answers if found.memory.fits)
    notes = tuple(f"{_needs(where, found)}: it fits {fitting[0].device.label}" for where, found in unfit)
    return (*notes, *_slower_than_it_could_be(spec, setup, *fitting))


def _needs(where: Placement, found: Prediction) -> str:
    needed, capacity = found.memory.total_bytes / GIB, found.memory.capacity_bytes / GIB
    return f"needs {needed:.0f} GiB per GPU, {where.device.label} has {capacity:.0f}"


def _does_not_fit(setup: Setup, where: Placement, found: Prediction) -> str:
    nearest = nearest_fit(setup, where)
    if nearest is None:
        return f"{_needs(where, found)}: nothing near fits, choose a product with more memory or a smaller model"
    expected = f"{_percent(on_scale(nearest.prediction))} {nearest.prediction.scale}"
    return f"{_needs(where, found)}: nearest that fits: {', '.join(nearest.changes)} (expected {expected})"


def _slower_than_it_could_be(spec: WorkloadSpec, setup: Setup, where: Placement, found: Prediction) -> tuple[str, ...]:
    best = attainable(setup, where, tunable_of(spec))
    if not isinstance(best, Attainable) or not best.changes:
        return ()
    gain = best.prediction.tokens_per_s_per_gpu / found.tokens_per_s_per_gpu - 1.0
    if gain < _WORTH_SAYING:
        return ()
    change = best.changes[0]
    return (f"{_of_attainable(found, best)}: {change.field} {change.before} → {change.after} first",)


def _of_attainable(found: Prediction, best: Attainable) -> str:
    """On the scale that the workload is judged on; a decode at its bandwidth limit may gain tokens and no MBU."""
    expected, reachable = on_scale(found), attainable_on_scale(found, best)
    if expected is not None and reachable is not None and reachable - expected >= _SAME_POINTS:
        return f"expected {_percent(expected)} of an attainable {_percent(reachable)} {found.scale}"
    share = found.tokens_per_s_per_gpu / best.prediction.tokens_per_s_per_gpu
    return f"expected {_percent(share)} of the attainable tokens/s"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}".replace("%", " %")


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
