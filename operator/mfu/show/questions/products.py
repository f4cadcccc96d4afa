"""Is my MFU the same on every GPU type? One model in one setting, on each product that it ran on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mfu.show.facts import Fact
from mfu.show.figures import number, share
from mfu.show.questions.answer import SAME, Answer, HistoryPoint, commas, mean_mfu, points
from mfu.show.workloads import Listed

QUESTION = "Is my MFU the same on every GPU type?"


def products(workloads: Sequence[Listed]) -> Iterator[Answer]:
    """An answer for each model and setting that ran on two products or more; for each model one that none did of."""
    for model, found in sorted(points(workloads).items()):
        settings = _by_setting(found)
        mixed = {setting: each for setting, each in settings.items() if len(each) > 1}
        for setting, each in sorted(mixed.items()):
            yield _answer(f"{model} ({setting})", each, _expected(workloads, model, setting))
        if not mixed:
            yield _one_product(model, found)


def _by_setting(found: Sequence[HistoryPoint]) -> dict[str, dict[str, list[HistoryPoint]]]:
    settings: dict[str, dict[str, list[HistoryPoint]]] = defaultdict(lambda: defaultdict(list))
    for point in found:
        settings[point.setting][point.product].append(point)
    return settings


def _expected(workloads: Sequence[Listed], model: str, setting: str) -> dict[str, float]:
    """Expected reference MFU by product, of workloads that run that model in that setting now."""
    newest = [(each.status, each.status.history[0]) for each in workloads if each.status.history]
    now = [status for status, row in newest if (row.model, row.setting) == (model, setting)]
    rows = [row for status in now for row in status.expected if row.basis != "Learned"]
    known = [(row.product, number(row.reference_mfu)) for row in rows]
    return {product: mfu for product, mfu in known if mfu is not None}


def _answer(about: str, found: Mapping[str, Sequence[HistoryPoint]], expected: Mapping[str, float]) -> Answer:
    reached = {product: mean_mfu(each) for product, each in found.items()}
    ordered = sorted(reached, key=lambda product: (-reached[product], product))
    best, worst = ordered[0], ordered[-1]
    same = reached[best] / reached[worst] - 1 <= SAME
    figures = commas(f"{share(reached[each])} on {each}" for each in ordered)
    apart = "" if same else f", {_points(reached[best] - reached[worst])} apart{_of_it_expected(best, worst, expected)}"
    return Answer(
        QUESTION,
        about,
        "Yes" if same else "No",
        f"{'Yes' if same else 'No'}: reference MFU is {figures}{apart}.",
        tuple(_evidence(product, found[product], expected) for product in ordered),
    )


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f} points"


def _of_it_expected(best: str, worst: str, expected: Mapping[str, float]) -> str:
    if best not in expected or worst not in expected:
        return "; what was to be expected on both is not known"
    due = expected[best] - expected[worst]
    if due < 0:
        return f", where {worst} was to be {_points(-due)} above {best}"
    return f", where {_points(due)} were to be expected"


def _evidence(product: str, found: Sequence[HistoryPoint], expected: Mapping[str, float]) -> Fact:
    minutes = sum(each.samples for each in found)
    names = commas(sorted({each.workload for each in found}))
    promised = f", expected {share(expected[product])}" if product in expected else ""
    return Fact(product, f"{share(mean_mfu(found))} over {minutes} minutes of {names}{promised}")


def _one_product(model: str, found: Sequence[HistoryPoint]) -> Answer:
    ran = commas(sorted({each.product for each in found}))
    sentence = f"Unknown: no setting of it ran on two GPU types; it ran on {ran}."
    return Answer(QUESTION, model, "Unknown", sentence)
