"""Pictures as inline SVG: shapes take their colours and patterns from the style sheet, and figures stand beside them.

What a colour says is said by a word, a sign or a pattern as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from mfu.show.fleet import BillLine
from mfu.show.history import Era
from mfu.show.levels import ScaleLevels
from mfu.show.waterfall import Move, Waterfall, WaterfallStep
from mfu.units import money
from mfu.web.markup import NOTHING, Markup, join, tag

ROW, LABELS, BARS, FIGURES = 22, 250, 420, 150
"""Pixels of a waterfall: height of a row, widths of labels, bars and figures."""
TREND_WIDTH, TREND_HEIGHT, MARGIN = 720, 150, 36
BULLET: Final = 72
LEAST_SPAN_SECONDS: Final = 3600.0
_SIGNS: Final = {Move.LEVEL: "", Move.DOWN: "− ", Move.UP: "+ "}
_CLASSES: Final = {Move.LEVEL: "level", Move.DOWN: "down", Move.UP: "up"}


def waterfall(found: Waterfall) -> Markup:
    """ScaleLevels as whole bars, parts hanging where they fall. The same figures stand in the labels."""
    rows, level = [], 0.0
    for number, step in enumerate(found.steps):
        if step.move is Move.LEVEL:
            start, level = 0.0, step.share
        else:
            level += step.share if step.move is Move.UP else -step.share
            start = level - (step.share if step.move is Move.UP else 0.0)
        rows.append(_step(number, step, start))
    width, height = LABELS + BARS + FIGURES, ROW * len(found.steps)
    named = "From peak to observed: " + ", ".join(f"{each.label} {_figure(each)}" for each in found.steps)
    return _svg(rows, width, height, named)


def _figure(step: WaterfallStep) -> str:
    """`16.3 %`, and `16.3 % · $1.63/h` where the GPUs have a price."""
    return f"{100 * step.share:.1f} %" + (f" · {step.price}" if step.price else "")


def _step(number: int, step: WaterfallStep, start: float) -> Markup:
    label, kind = f"{_SIGNS[step.move]}{step.label}", _CLASSES[step.move]
    top = number * ROW
    middle = top + ROW * 0.7
    return join(
        (
            tag("text", label, x=LABELS - 8, y=middle, class_=f"label {kind}", text_anchor="end"),
            tag(
                "rect",
                x=round(LABELS + BARS * _inside(start), 1),
                y=top + 3,
                width=max(1, round(BARS * _inside(step.share), 1)),
                height=ROW - 6,
                class_=f"bar {kind}",
            ),
            tag("text", _figure(step), x=LABELS + BARS + 8, y=middle, class_="figure"),
        )
    )


def _inside(share: float) -> float:
    return min(1.0, max(0.0, share))


def bullet(found: ScaleLevels) -> Markup:
    """Observed as a bar, expected as a line across, attainable as a frame."""
    expected, observed = found.expected, found.observed
    if expected is None and observed is None:
        return NOTHING
    frame = _wide(max(found.attainable or 0.0, expected or 0.0))
    parts = [tag("rect", x=0, y=3, width=frame, height=12, class_="frame")]
    if observed is not None:
        parts.append(tag("rect", x=0, y=6, width=_wide(observed), height=6, class_="bar level"))
    if expected is not None:
        parts.append(tag("line", x1=_wide(expected), x2=_wide(expected), y1=1, y2=17, class_="mark"))
    return tag("svg", *parts, width=BULLET + 2, height=18, viewBox=f"-1 0 {BULLET + 2} 18", aria_hidden="true")


def _wide(share: float) -> float:
    return round(BULLET * _inside(share), 1)


def bill(line: BillLine) -> Markup:
    """One bar a currency, a pattern a part; the parts stand below with their amounts."""
    if line.per_hour <= 0:
        return NOTHING
    at, bars = 0.0, []
    for each in line.parts:
        width = 100 * each.amount / line.per_hour
        if width > 0:
            kind = f"bar {each.words.replace(' ', '-')}"
            bars.append(tag("rect", x=f"{at:.2f}%", y=0, width=f"{width:.2f}%", height=28, class_=kind))
        at += width
    keys = [tag("li", _swatch(each.words), f"{each.words} {money(each.amount, line.currency)}") for each in line.parts]
    picture = tag("svg", *bars, width="100%", height=28, role="img", aria_label=line.sentence)
    return join((picture, tag("ul", *keys, class_="legend")))


def _swatch(words: str) -> Markup:
    box = tag("rect", x=0, y=0, width=14, height=14, class_=f"bar {words.replace(' ', '-')}")
    return tag("svg", box, width=14, height=14, aria_hidden="true")


def trend(found: Sequence[Era], recent: Sequence[tuple[float, float]], now: float) -> Markup:
    """Reference MFU over time: the level of each setting, and the minutes of the last hour where they are known."""
    points = [*((each.since, each.mfu) for each in found), *recent]
    if not points:
        return NOTHING
    start = min(now - LEAST_SPAN_SECONDS, *(at for at, _ in points))
    frame = _Frame(start, now, max(0.1, 1.25 * max(mfu for _, mfu in points)))
    ends = [*(each.since for each in found[1:]), now]
    levels = [_level(frame, era, end) for era, end in zip(found, ends, strict=True)] if found else []
    line = " ".join(f"{frame.x(at):.1f},{frame.y(mfu):.1f}" for at, mfu in recent)
    minutes = tag("polyline", points=line, class_="minutes") if len(recent) > 1 else NOTHING
    named = "Reference MFU over time: " + ", ".join(f"{100 * each.mfu:.1f} % from {day(each.since)}" for each in found)
    return _svg([*frame.axes(), *levels, minutes], TREND_WIDTH, TREND_HEIGHT, named)


class _Frame:
    """Time from left to right, MFU from below."""

    def __init__(self, start: float, end: float, top: float) -> None:
        self.start, self.end, self.top = start, end, top

    def x(self, at: float) -> float:
        return MARGIN + (TREND_WIDTH - MARGIN - 8) * (at - self.start) / (self.end - self.start)

    def y(self, mfu: float) -> float:
        return TREND_HEIGHT - 22 - (TREND_HEIGHT - 32) * mfu / self.top

    def axes(self) -> list[Markup]:
        half = self.top / 2
        lines = [
            tag("line", x1=MARGIN, x2=TREND_WIDTH - 8, y1=self.y(at), y2=self.y(at), class_="grid")
            for at in (0.0, half, self.top)
        ]
        labels = [
            tag("text", f"{100 * at:.0f} %", x=MARGIN - 4, y=self.y(at) + 4, text_anchor="end", class_="axis")
            for at in (0.0, half, self.top)
        ]
        first = tag("text", day(self.start), x=MARGIN, y=TREND_HEIGHT - 6, class_="axis")
        last = tag("text", day(self.end), x=TREND_WIDTH - 8, y=TREND_HEIGHT - 6, text_anchor="end", class_="axis")
        return [*lines, *labels, first, last]


def _level(frame: _Frame, era: Era, end: float) -> Markup:
    height = frame.y(era.mfu)
    left, right = frame.x(era.since), max(frame.x(end), frame.x(era.since) + 2)
    late = left > TREND_WIDTH - 60
    figure = tag(
        "text",
        f"{100 * era.mfu:.1f} %",
        x=round(right if late else left + 3, 1),
        y=round(height - 5, 1),
        class_="figure",
        text_anchor="end" if late else None,
    )
    line = tag("line", x1=round(left, 1), x2=round(right, 1), y1=round(height, 1), y2=round(height, 1), class_="era")
    return join((line, figure))


def day(seconds: float) -> str:
    """`day(0) == "1970-01-01 00:00"`, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _svg(parts: Sequence[Markup], width: int, height: int, named: str) -> Markup:
    return tag("svg", *parts, width=width, height=height, viewBox=f"0 0 {width} {height}", role="img", aria_label=named)
