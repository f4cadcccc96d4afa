"""Does my MFU fall as I scale out? One model, micro-batch and layout on one product, at each number of GPUs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from mfu.observe.setting import apart_from_size
from mfu.show.facts import Fact
from mfu.show.figures import share
from mfu.show.questions.answer import SAME, Answer, HistoryPoint, commas, mean_mfu, points
from mfu.show.workloads import Listed

QUESTION = "Does my MFU fall as I scale out?"


def scaling(workloads: Sequence[Listed]) -> Iterator[Answer]:
    """An answer for each model, setting and product with two sizes or more; for each model one that has none."""
    for model, found in sorted(points(workloads).items()):
        groups = _groups(found)
        grown = {key: sizes for key, sizes in groups.items() if len(sizes) > 1}
        for (setting, product), sizes in sorted(grown.items()):
            yield _answer(f"{model} ({setting}) on {product}", sizes)
        if not grown:
            ran = commas(sorted({f"{each.gpus} × {each.product}" for each in found}))
            sentence = f"Unknown: no setting of it ran at two sizes; it ran on {ran}."
            yield Answer(QUESTION, model, "Unknown", sentence)


def _groups(found: Sequence[HistoryPoint]) -> dict[tuple[str, str], dict[int, list[HistoryPoint]]]:
    groups: dict[tuple[str, str], dict[int, list[HistoryPoint]]] = defaultdict(lambda: defaultdict(list))
    for point in found:
        groups[apart_from_size(point.setting), point.product][point.gpus].append(point)
    return groups


def _answer(about: str, found: Mapping[int, Sequence[HistoryPoint]]) -> Answer:
    reached = {gpus: mean_mfu(found[gpus]) for gpus in sorted(found)}
    figures = commas(f"{share(mfu)} at {gpus} GPUs" for gpus, mfu in reached.items())
    verdict, words = _verdict(reached)
    return Answer(
        QUESTION, about, verdict, f"{words}: reference MFU is {figures}{_cost(reached)}.", _evidence(found, reached)
    )


def _verdict(reached: Mapping[int, float]) -> tuple[str, str]:
    """The knee is the first step that loses more than a twentieth."""
    levels = list(reached.values())
    if levels[-1] >= (1 - SAME) * max(levels):
        return "No", "No"
    for before, after in pairwise(reached):
        if reached[after] < (1 - SAME) * reached[before]:
            return "Yes", f"Yes, from {before} to {after} GPUs"
    return "Yes", "Yes, little by little"


def _cost(reached: Mapping[int, float]) -> str:
    """What the worst step brings: 39.0 % at 32 GPUs and 30.0 % at 64 are 1.54 times the tokens."""
    before, after = min(pairwise(reached), key=lambda step: reached[step[1]] / reached[step[0]])
    if reached[after] >= (1 - SAME) * reached[before]:
        return ""
    more, tokens = after / before, after * reached[after] / (before * reached[before])
    return f"; {more:.3g} times the GPUs bring {tokens:.3g} times the tokens there"


def _evidence(found: Mapping[int, Sequence[HistoryPoint]], reached: Mapping[int, float]) -> tuple[Fact, ...]:
    base = next(iter(reached.values()))
    return tuple(
        Fact(
            f"{gpus} GPUs",
            f"{share(mfu)}, {100 * mfu / base:.0f} % of the smallest, over {sum(each.samples for each in found[gpus])} "
            f"minutes of {commas(sorted({each.workload for each in found[gpus]}))}",
        )
        for gpus, mfu in reached.items()
    )
