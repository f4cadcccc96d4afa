"""Sentences that know the figures in them: who compares two of them compares values, and never reads text back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Value:
    """A predicted or measured value, and how it is said."""

    value: float
    text: str

    def __str__(self) -> str:
        return self.text


class Span(NamedTuple):
    """Where a figure stands in its sentence."""

    start: int
    end: int
    value: float


class Sentence(str):
    """Text for everybody; for who compares it, words and counts that are exact and figures that may tremble."""

    __slots__ = ("spans",)
    spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: tuple[Span, ...] = ()) -> Sentence:
        made = super().__new__(cls, text)
        made.spans = spans
        return made

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before, between and after its figures."""
        starts, ends = (0, *(each.end for each in self.spans)), (*(each.start for each in self.spans), len(self))
        return tuple(self[start:end] for start, end in zip(starts, ends, strict=True))

    def alike(self, other: Sentence, relative: float) -> bool:
        """Do both say the same, but for figures that differ by at most so much of its own?"""
        if len(self.spans) != len(other.spans) or self.words != other.words:
            return False
        pairs = zip(self.spans, other.spans, strict=True)
        return all(abs(mine.value - theirs.value) <= relative * abs(mine.value) for mine, theirs in pairs)


def amount(value: float | None, text: str) -> Value | str:
    """What is not known is a word."""
    return text if value is None or not isfinite(value) else Value(value, text)


def sentence(template: str, *parts: object) -> Sentence:
    """The template with a part in place of each `{}`; sentences bring their figures along.

    >>> sentence("expected {} on {} GPUs", Value(0.312, "31.2%"), 8)
    'expected 31.2% on 8 GPUs'
    """
    first, *others = template.split("{}")
    pieces: list[object] = [first]
    for part, after in zip(parts, others, strict=True):
        pieces += (part, after)
    return joined("", pieces)


def joined(separator: str, parts: Iterable[object]) -> Sentence:
    """Like `str.join`, for sentences, figures and whatever else there is to say."""
    text, spans = "", list[Span]()
    for number, part in enumerate(parts):
        text += separator if number else ""
        start = len(text)
        text += str(part)
        if isinstance(part, Value):
            spans.append(Span(start, len(text), part.value))
        elif isinstance(part, Sentence):
            spans += (Span(each.start + start, each.end + start, each.value) for each in part.spans)
    return Sentence(text, tuple(spans))
