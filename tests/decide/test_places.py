"""Where else it could run, with hand-made rates: what is better by how much, and what then costs how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mfu.api.causes import Actor
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend import places
from mfu.decide.recommend.places import ReplicaBounds, fits_elsewhere, other_product, packed, replica_bounds, sliced
from mfu.decide.recommend.ranking import reach_of
from mfu.decide.recommend.recommended import NextStep, Reach
from mfu.decide.types import EffectivePolicy, Subject
from mfu.hardware.catalog import load
from mfu.hardware.price import PriceBook
from mfu.hardware.types import Device
from mfu.predict.types import Inference, Placement, Prediction, Problem, Setup, Tunable
from tests.builders.cases import SERVING, TRAINING, case, gpu, too_large

NONE: frozenset[Tunable] = frozenset()
SLICE = "H100-SXM5-MIG-{}"
Rates = Mapping[Any, float | None]


def rate(subject: Subject, tokens: float) -> Subject:
    return replace(subject, expected=replace(subject.expected, tokens_per_s_per_gpu=tokens))


def worlds(
    monkeypatch: pytest.MonkeyPatch, start: Prediction, rates: Rates, settings: Rates | None = None
) -> list[Placement]:
    """Predicted tokens/s per GPU by label, or by GPUs a node; None is no answer, and below zero it does not fit.

    `settings`: what every change of setting leads to, by GPUs a node or by label. Gives the places that were asked for.
    """
    asked = []

    def predict(_: Setup, where: Placement) -> Prediction | Problem:
        asked.append(where)
        found = rates.get(where.device.label, rates.get(where.gpus_per_node))
        if found is None:
            return Problem("NoAnswer", "", "is not told")  # type: ignore[arg-type]
        return rated(found)

    def rated(tokens: float) -> Prediction:
        memory = start.memory if tokens >= 0 else too_large(case()).expected.memory
        return replace(start, tokens_per_s_per_gpu=abs(tokens), memory=memory)

    def changes(_: Setup, where: Placement, __: frozenset[Tunable]) -> tuple[NextStep, ...]:
        found = (settings or {}).get(where.device.label, (settings or {}).get(where.gpus_per_node))
        return () if found is None else (NextStep(Kind.SETTING, prediction=rated(found)),)

    monkeypatch.setattr(places, "predict", predict)
    monkeypatch.setattr(places, "changes", changes)
    return asked


@pytest.mark.parametrize(
    ("wanted", "replicas"),
    [(0.0, 2), (2.0, 2), (2.1, 3), (3.0 + 1e-12, 3), (3.0 + 1e-6, 4), (8.0, 8), (9.5, 8)],
)
def test_replicas_are_whole_and_within_bounds(wanted: float, replicas: int) -> None:
    assert ReplicaBounds(2, 8).around(wanted) == replicas


@pytest.mark.parametrize(
    ("declared", "policy", "bounds"),
    [
        ((1, 8), (None, None), (1, 8)),
        ((0, 8), (None, None), (1, 8)),
        ((2, 8), (3, None), (3, 8)),
        ((4, 8), (3, None), (4, 8)),
        ((1, 8), (None, 5), (1, 5)),
        ((1, 4), (None, 5), (1, 4)),
        ((3, 8), (None, 2), (3, 3)),
    ],
)
def test_bounds_are_the_narrower_of_spec_and_policy(
    declared: tuple[int, int], policy: tuple[int | None, int | None], bounds: tuple[int, int]
) -> None:
    limits = EffectivePolicy(scaling_min_replicas=policy[0], scaling_max_replicas=policy[1])
    found = replica_bounds(replace(service(replicas=declared), policy=limits))
    assert (found.low, found.high) == bounds


def test_training_runs_once() -> None:
    assert replica_bounds(case()) == ReplicaBounds(1, 1)


# Packing a tensor-parallel group: 8 GPUs, tensor 4, one GPU a node.


def split(gpus_per_node: int = 1, *, assigned: bool = True) -> Subject:
    block = {**TRAINING["training"], "parallelism": {"tensor": 4, "data": 2}}
    subject = case({**TRAINING, "training": block}, assigned=assigned)
    return rate(replace(subject, placement=replace(subject.placement, gpus_per_node=gpus_per_node)), 100.0)


def move(monkeypatch: pytest.MonkeyPatch, subject: Subject, there: float | None, **settings: float) -> NextStep | None:
    """`here` and `packed`: tokens/s per GPU after every change of setting in the two places."""
    after = {}
    if "here" in settings:
        after[subject.placement.gpus_per_node] = settings["here"]
    if "packed" in settings:
        after[8] = settings["packed"]
    worlds(monkeypatch, subject.expected, {8: there}, after)
    return packed(subject, reach_of(subject), NONE)


def test_a_group_that_is_split_is_packed_on_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    found = move(monkeypatch, split(), 150.0)
    assert found is not None
    assert (found.kind, found.field, found.actor) == (Kind.MOVE, "placement", Actor.PROVIDER)
    assert (found.before, found.after) == ("1 GPUs a node", "8 GPUs a node")
    assert found.action == "pack it on one node: tensor parallel 4 is split over nodes with 1 of its GPUs each"
    assert found.placement is not None and (found.placement.gpus, found.placement.gpus_per_node) == (8, 8)
    assert found.prediction is not None and found.prediction.tokens_per_s_per_gpu == 150.0


@pytest.mark.parametrize(
    ("subject", "there"),
    [
        (split(assigned=False), 150.0),
        (split(4), 150.0),
        (split(8), 150.0),
        (split(), None),
        (split(), -150.0),
        (split(), 100.0),
        (split(), 99.0),
    ],
    ids=["nothing runs", "whole groups", "one node", "not told", "does not fit", "no faster", "slower"],
)
def test_nobody_moves_for_nothing(monkeypatch: pytest.MonkeyPatch, subject: Subject, there: float | None) -> None:
    assert move(monkeypatch, subject, there) is None


def test_three_of_four_together_are_split_still(monkeypatch: pytest.MonkeyPatch) -> None:
    assert move(monkeypatch, split(3), 150.0) is not None


def test_a_group_wider_than_the_job_needs_no_more_than_the_job_has(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = split(2)
    small = replace(subject, placement=replace(subject.placement, gpus=2))
    assert move(monkeypatch, small, 150.0) is None


@pytest.mark.parametrize(
    ("here", "stays"), [(95.0, True), (94.9, False)], ids=["95 % of packing", "less than 95 % of it"]
)
def test_nobody_moves_where_another_layout_is_nearly_as_fast(
    monkeypatch: pytest.MonkeyPatch, here: float, stays: bool
) -> None:
    """Packed it makes 80, and 100 with the settings that suit it there."""
    subject = rate(split(), 50.0)
    assert (move(monkeypatch, subject, 80.0, here=here, packed=100.0) is None) is stays


# Slices: one replica on a whole H100 makes 100 tokens/s.


def service(replicas: tuple[int, int] = (1, 8), **fields: Any) -> Subject:
    low, high = replicas
    block = {**SERVING["inference"], "replicas": {"min": low, "max": high}}
    spec = {"objective": fields.pop("objective")} if "objective" in fields else {}
    return rate(replace(case({**SERVING, **spec, "inference": block}), **fields), 100.0)


def cut(
    monkeypatch: pytest.MonkeyPatch, subject: Subject, rates: Mapping[str, float], settings: Rates | None = None
) -> NextStep | None:
    named = {SLICE.format(name): each for name, each in rates.items()}
    worlds(monkeypatch, subject.expected, named, settings)
    return sliced(subject, reach_of(subject), NONE)


@pytest.mark.parametrize(("made", "taken"), [(62.5, True), (62.4, False)])
def test_a_slice_has_to_serve_a_quarter_cheaper(monkeypatch: pytest.MonkeyPatch, made: float, taken: bool) -> None:
    """Half a GPU that makes 62.5 costs 0.8 of what a token costs on the whole one: a quarter more is as much."""
    found = cut(monkeypatch, service(), {"3g.40gb": made})
    assert (found is not None) is taken


def test_what_is_said_of_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cut(monkeypatch, service(), {"3g.40gb": 70.0})
    assert found is not None
    assert (found.kind, found.field, found.actor) == (Kind.SLICE, "accelerators.migProfile", Actor.TENANT)
    assert (found.before, found.after, found.replicas) == ("a whole GPU", "3g.40gb", 2)
    assert found.action == "accelerators.migProfile a whole GPU → 3g.40gb, 2 replicas"
    assert found.placement is not None and found.placement.device.label == "H100-SXM5-MIG-3g.40gb"
    assert found.prediction is not None and found.prediction.tokens_per_s_per_gpu == 70.0


def test_as_many_replicas_are_not_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cut(monkeypatch, service(), {"3g.40gb": 100.0})
    assert found is not None
    assert (found.replicas, found.action) == (1, "accelerators.migProfile a whole GPU → 3g.40gb")


def test_the_cheapest_is_taken_and_of_equals_the_first_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a GPU, by memory, that makes 40: 0.625 a token; a half that makes 90: 0.556."""
    found = cut(monkeypatch, service(), {"1g.20gb": 40.0, "3g.40gb": 90.0})
    assert found is not None and found.after == "3g.40gb"
    equal = cut(monkeypatch, service(), {"1g.20gb": 50.0, "3g.40gb": 100.0})
    assert equal is not None and equal.after == "1g.20gb"


def test_what_a_slice_takes_is_its_part_of_what_others_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """4g.40gb has 0.485 of the multiprocessors, and no second one fits beside it: it takes the whole GPU."""
    assert cut(monkeypatch, service(), {"4g.40gb": 100.0}) is None
    found = cut(monkeypatch, service(), {"4g.40gb": 125.0})
    assert found is not None and found.after == "4g.40gb"


@pytest.mark.parametrize(("made", "serves"), [(95.0, True), (94.9, False)])
def test_slices_have_to_serve_nearly_as_much(monkeypatch: pytest.MonkeyPatch, made: float, serves: bool) -> None:
    """There may be one replica only."""
    assert (cut(monkeypatch, service((1, 1)), {"3g.40gb": made}) is not None) is serves


@pytest.mark.parametrize(
    ("fields", "made", "taken"),
    [
        ({"desired_replicas": 3}, 75.0, True),
        ({"desired_replicas": 3}, 62.5, False),
        ({"objective": "Cost", "replicas_running": 3}, 75.0, True),
        ({"objective": "Cost", "replicas_running": 3}, 62.5, False),
        ({"replicas_running": 3}, 62.5, True),
    ],
    ids=["asked for: 4 slices", "asked for: 5 slices", "money: 4 slices", "money: 5 slices", "by the token"],
)
def test_whole_replicas_are_paid_where_the_work_is_known_or_money_matters(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], made: float, taken: bool
) -> None:
    """300 tokens/s: 3 whole GPUs. 4 halves of 75 are 2 GPUs, 2.5 with a quarter more; 5 of 62.5 are 3.1 with it."""
    assert (cut(monkeypatch, service(**fields), {"3g.40gb": made}) is not None) is taken


def test_costs_are_compared_after_every_change_of_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its settings changed the whole GPU makes 200: then a half that makes 80 is dear, until it makes 130."""
    settings = {"H100-SXM5": 200.0}
    assert cut(monkeypatch, service(), {"3g.40gb": 80.0}, settings) is None
    both = {**settings, SLICE.format("3g.40gb"): 130.0}
    assert cut(monkeypatch, service(), {"3g.40gb": 80.0}, both) is not None


def test_what_does_not_fit_or_is_not_told_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, service(), {"3g.40gb": -100.0}) is None
    assert cut(monkeypatch, service(), {}) is None
    found = cut(monkeypatch, service(), {"1g.20gb": -100.0, "3g.40gb": 100.0})
    assert found is not None and found.after == "3g.40gb"


def test_only_a_service_on_one_gpu_is_sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, rate(case(), 100.0), {"3g.40gb": 100.0}) is None
    two = {**SERVING, "accelerators": {"count": 2, "products": ["H100-SXM5"]}}
    two["inference"] = {**SERVING["inference"], "parallelism": {"tensor": 2}}
    assert cut(monkeypatch, rate(case(two), 100.0), {"3g.40gb": 100.0}) is None


@pytest.mark.parametrize(
    ("device", "asked"),
    [
        (Device(gpu()), ["1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb"]),
        (Device(gpu(), load().mig_profile(gpu().key, "3g.40gb")), ["1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb"]),
        (Device(gpu(), shared=True), []),
        (Device(gpu("L40S")), []),
    ],
)
def test_only_smaller_slices_of_what_is_its_own_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, device: Device, asked: list[str]
) -> None:
    subject = service()
    subject = replace(subject, placement=replace(subject.placement, device=device))
    seen = worlds(monkeypatch, subject.expected, {})
    assert sliced(subject, reach_of(subject), NONE) is None
    assert [each.device.mig.name for each in seen if each.device.mig] == asked


def test_on_a_slice_that_slice_is_what_it_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = service()
    where = replace(subject.placement, device=Device(gpu(), load().mig_profile(gpu().key, "3g.40gb")))
    found = cut(monkeypatch, replace(subject, placement=where), {"1g.20gb": 100.0})
    assert found is not None
    assert (found.before, found.after) == ("3g.40gb", "1g.20gb")


# Other products: it runs on H100-SXM5 and makes 100 tokens/s per GPU.

PRICED = EffectivePolicy(book=PriceBook({"H100-SXM5": 2.0, "B200": 4.0, "A100-SXM4-80GB": 1.0}))


def allowing(*names: str, policy: EffectivePolicy | None = None, assigned: bool = True) -> Subject:
    document = {**TRAINING, "accelerators": {"count": 8, "products": ["H100-SXM5", *names]}}
    subject = rate(case(document, assigned=assigned, policy=policy or EffectivePolicy()), 100.0)
    return replace(subject, alternatives=tuple((name, subject.expected) for name in names))


def other(monkeypatch: pytest.MonkeyPatch, subject: Subject, rates: Rates) -> NextStep | None:
    worlds(monkeypatch, subject.expected, rates)
    return other_product(subject, reach_of(subject))


@pytest.mark.parametrize(("made", "named"), [(110.52, False), (110.53, True)])
def test_a_product_has_to_be_clearly_faster(monkeypatch: pytest.MonkeyPatch, made: float, named: bool) -> None:
    """105 ÷ 95 = 1.10526 times."""
    found = other(monkeypatch, allowing("B200"), {"B200": made})
    assert (found is not None) is named


def test_what_is_said_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    found = other(monkeypatch, allowing("A100-SXM4-80GB", "B200"), {"A100-SXM4-80GB": 120.0, "B200": 150.0})
    assert found is not None
    assert (found.kind, found.action) == (Kind.PRODUCT, "accelerators.products H100-SXM5 → B200")
    assert found.placement is not None and (found.placement.device.label, found.placement.gpus) == ("B200", 8)
    assert found.prediction is not None and found.prediction.tokens_per_s_per_gpu == 150.0


def test_as_many_gpus_are_asked_for_as_the_list_has_come_to(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = allowing("B200")
    start = reach_of(subject)
    worlds(monkeypatch, subject.expected, {"B200": 150.0})
    found = other_product(subject, replace(start, placement=replace(start.placement, gpus=16)))
    assert found is not None and found.placement is not None and found.placement.gpus == 16


@pytest.mark.parametrize(("made", "named"), [(199.0, False), (200.0, True)])
def test_no_token_may_cost_more_there(monkeypatch: pytest.MonkeyPatch, made: float, named: bool) -> None:
    """Twice the price."""
    found = other(monkeypatch, allowing("B200", policy=PRICED), {"B200": made})
    assert (found is not None) is named


@pytest.mark.parametrize("known", ["H100-SXM5", "B200"])
def test_without_one_of_the_prices_nobody_says_dearer(monkeypatch: pytest.MonkeyPatch, known: str) -> None:
    policy = EffectivePolicy(book=PriceBook({known: 3.0}))
    assert other(monkeypatch, allowing("B200", policy=policy), {"B200": 120.0}) is not None


@pytest.mark.parametrize(
    ("subject", "made"),
    [
        (allowing("B200", assigned=False), 200.0),
        (allowing("H100-SXM5"), 200.0),
        (allowing("B200"), None),
        (allowing("B200"), -200.0),
        (allowing("No-Such-GPU"), 200.0),
        (allowing(), 200.0),
    ],
    ids=["nothing runs", "the same", "not told", "does not fit", "unknown", "no other"],
)
def test_no_product_is_named_for_nothing(monkeypatch: pytest.MonkeyPatch, subject: Subject, made: float | None) -> None:
    assert other(monkeypatch, subject, {"B200": made, "H100-SXM5": made, "No-Such-GPU": made}) is None


def test_what_runs_on_a_slice_is_offered_no_other_product(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = allowing("B200")
    start = reach_of(subject)
    worlds(monkeypatch, subject.expected, {"B200": 200.0})
    device = Device(gpu(), load().mig_profile(gpu().key, "3g.40gb"))
    assert other_product(subject, replace(start, placement=replace(start.placement, device=device))) is None


def test_a_gain_on_nothing_is_a_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert other(monkeypatch, rate(allowing("B200"), 0.0), {"B200": 1.0}) is not None


def elsewhere(monkeypatch: pytest.MonkeyPatch, subject: Subject, rates: Rates) -> NextStep | None:
    worlds(monkeypatch, case().expected, rates)
    return fits_elsewhere(subject, reach_of(subject))


def test_the_fastest_product_on_which_it_fits_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = allowing("A100-SXM4-80GB", "B200", "No-Such-GPU")
    both = {"A100-SXM4-80GB": 40.0, "B200": 30.0}
    found = elsewhere(monkeypatch, subject, both)
    assert found is not None
    assert (found.kind, found.action) == (Kind.FIT, "accelerators.products H100-SXM5 → A100-SXM4-80GB")
    assert found.placement is not None and found.placement.device.label == "A100-SXM4-80GB"
    assert found.prediction is not None and found.prediction.tokens_per_s_per_gpu == 40.0
    narrow = elsewhere(monkeypatch, subject, {**both, "A100-SXM4-80GB": -40.0})
    assert narrow is not None and narrow.after == "B200"
    assert elsewhere(monkeypatch, subject, {}) is None


def test_the_builder_rates_what_it_says() -> None:
    subject = service()
    assert isinstance(subject.setup, Inference)
    assert WorkloadSpec.model_validate(subject.spec.model_dump(by_alias=True)).accelerators.count == 1
    reach: Reach = reach_of(subject)
    assert (reach.rate, reach.replicas, reach.share) == (100.0, 1, 1.0)
