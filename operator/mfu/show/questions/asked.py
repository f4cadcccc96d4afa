"""The questions by the word that asks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mfu.show.questions import bound, cost, products, scaling, serving
from mfu.show.questions.answer import Answer
from mfu.show.workloads import Listed


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """`across`: about a model over several workloads, so that one workload's question looks at its whole namespace."""

    words: str
    ask: Callable[[Sequence[Listed]], Iterable[Answer]]
    across: bool = False


QUESTIONS: Final[Mapping[str, AskedQuestion]] = MappingProxyType(
    {
        "products": AskedQuestion(products.QUESTION, products.products, across=True),
        "scaling": AskedQuestion(scaling.QUESTION, scaling.scaling, across=True),
        "serving": AskedQuestion(serving.QUESTION, serving.serving),
        "bound": AskedQuestion(bound.QUESTION, bound.bound),
        "cost": AskedQuestion(cost.QUESTION, cost.cost),
    }
)


def answers(word: str, workloads: Sequence[Listed], only: str | None = None) -> tuple[Answer, ...]:
    """`only` is NAMESPACE/NAME: a question across workloads is then asked of all that run its model."""
    question = QUESTIONS[word]
    if only is None:
        return tuple(question.ask(workloads))
    mine = [each for each in workloads if each.key == only]
    if not question.across or not mine:
        return tuple(question.ask(mine))
    models = {row.model for row in mine[0].status.history}
    return tuple(question.ask([each for each in workloads if models & {row.model for row in each.status.history}]))
