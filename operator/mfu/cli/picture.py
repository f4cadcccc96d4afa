"""Pictures of a prediction or a plan as one SVG file: waterfall, roofline, curve, bars. Plain text, no dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from xml.sax.saxutils import escape

from mfu.cli.errors import UsageError
from mfu.predict.types import Prediction

Points = Sequence[tuple[float, float]]
BarRow = tuple[str, float, float, str, str]
"""Label, start and end as shares of the width, colour, and the words behind it."""
WIDTH, MARGIN, HEAD, ROW = 860, 24, 44, 26
LEFT, RIGHT, BODY = 250, 90, 230
BLUE, RED, GREEN, GREY, INK, SOFT = "#2b6cb0", "#c0563b", "#2f855a", "#a0aec0", "#1f2933", "#616e7c"
COLOURS = (BLUE, RED, GREEN, "#805ad5", "#b7791f", "#319795", "#4a5568", "#d53f8c")
"""Apart in lightness as well as in hue, and every line is named at its end."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines of SVG that start at y = 0, and how high they are."""

    height: float
    lines: tuple[str, ...]


def write(path: str, title: str, panels: Sequence[Panel]) -> None:
    """One file, panels below one another. UsageError where it cannot be written or is named as something else."""
    if not path.endswith(".svg"):
        raise UsageError(f"--plot {path}: writes SVG; name the file something.svg")
    try:
        Path(path).write_text(drawn(title, panels), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--plot {path}: {error.strerror}") from error


def drawn(title: str, panels: Sequence[Panel]) -> str:
    """The document."""
    height, body = MARGIN + 30.0, []
    for panel in panels:
        body += [f'<g transform="translate(0 {height:.1f})">', *panel.lines, "</g>"]
        height += panel.height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="13">'
    )
    white = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, white, text(MARGIN, 34, title, size=19, bold=True), *body, "</svg>"]) + "\n"


def waterfall(product: str, found: Prediction) -> Panel:
    """From the peak through every named loss to MFU."""
    rows: list[BarRow] = [("peak", 0.0, 1.0, GREY, "100 %")]
    left = 1.0
    for loss in found.waterfall:
        start, end = sorted((left, left - loss.fraction))
        colour = RED if loss.fraction >= 0 else GREEN
        if abs(loss.fraction) >= _LEAST:
            rows.append((loss.name, start, end, colour, f"{-100 * loss.fraction:+.1f} pt"))
        left -= loss.fraction
    rows.append(("MFU", 0.0, found.mfu, BLUE, f"{100 * found.mfu:.1f} %"))
    return bars(f"Where the peak goes on {product}", rows)


_LEAST = 0.002


def bars(title: str, rows: Sequence[BarRow]) -> Panel:
    """Horizontal bars."""
    wide = WIDTH - LEFT - RIGHT
    lines = [text(MARGIN, 20, title, size=15, bold=True)]
    for number, (label, start, end, colour, note) in enumerate(rows):
        y = HEAD - 8 + ROW * number
        x, width = LEFT + wide * max(start, 0.0), max(1.5, wide * (min(end, 1.0) - max(start, 0.0)))
        lines += [
            text(LEFT - 10, y + 14, label, anchor="end"),
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
            text(x + width + 6, y + 14, note, colour=SOFT),
        ]
    return Panel(HEAD + ROW * len(rows) + 20, tuple(lines))


def roofline(product: str, peak: float, bandwidth: float, found: Prediction) -> Panel | None:
    """FLOP/s over FLOPs a byte, both logarithmic: the roof of the datasheet and where the prediction stands."""
    if not found.mbu:
        return None
    reached = found.mfu * peak
    intensity = reached / (found.mbu * bandwidth)
    ridge = peak / bandwidth
    low, high = min(intensity, ridge) / 8, max(intensity, ridge) * 8
    roof = [(low, low * bandwidth), (ridge, peak), (high, peak)]
    return curve(
        f"Roofline of {product}: {reached / 1e12:.0f} TFLOP/s at {intensity:.0f} FLOPs a byte",
        ("FLOPs a byte", "FLOP/s"),
        {"roof": roof},
        dots=(("predicted", intensity, reached),),
        logarithmic_y=True,
    )


def curve(
    title: str,
    axes: tuple[str, str],
    series: Mapping[str, Points],
    *,
    dots: Sequence[tuple[str, float, float]] = (),
    logarithmic_y: bool = False,
) -> Panel:
    """Lines over a logarithmic x axis, each named at its end."""
    every = [point for points in series.values() for point in points] + [(x, y) for _, x, y in dots]
    low_x, high_x = _span([x for x, _ in every])
    low_y, high_y = _span([y for _, y in every]) if logarithmic_y else (0.0, 1.08 * max(y for _, y in every))
    wide, left = WIDTH - 90 - 170, 90.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - low_x) / (high_x - low_x)
        up = (log10(y) - low_y) / (high_y - low_y) if logarithmic_y else y / high_y
        return left + wide * across, HEAD + BODY * (1.0 - up)

    lines = [
        text(MARGIN, 20, title, size=15, bold=True),
        text(left + wide / 2, HEAD + BODY + 36, axes[0], anchor="middle"),
    ]
    lines += _frame(left, wide, axes[1])
    for x in _ticks([x for x, _ in every]):
        px, _ = at(x, 10**low_y if logarithmic_y else 0.0)
        lines.append(text(px, HEAD + BODY + 18, short(x), anchor="middle", colour=SOFT))
    for y in _decades([y for _, y in every]) if logarithmic_y else _rounds(high_y):
        _, py = at(every[0][0], y)
        lines += [text(left - 8, py + 4, short(y), anchor="end", colour=SOFT), _rule(left, wide, py)]
    for number, (name, points) in enumerate(series.items()):
        lines += _line(name, [at(x, y) for x, y in points], COLOURS[number % len(COLOURS)])
    for name, x, y in dots:
        px, py = at(x, y)
        lines += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="{RED}"/>', text(px + 9, py + 16, name, colour=RED)]
    return Panel(HEAD + BODY + 62, tuple(lines))


def _frame(left: float, wide: float, label: str) -> list[str]:
    return [
        f'<path d="M{left} {HEAD} V{HEAD + BODY} H{left + wide}" fill="none" stroke="{GREY}"/>',
        text(left, HEAD - 8, label, colour=SOFT),
    ]


def _rule(left: float, wide: float, y: float) -> str:
    return f'<path d="M{left} {y:.1f} H{left + wide}" stroke="#e2e8f0"/>'


def _line(name: str, points: Points, colour: str) -> list[str]:
    path = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
    x, y = points[-1]
    return [
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>',
        text(x + 8, y + 4, name, colour=colour),
    ]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Logarithms of the ends, never the same."""
    low, high = log10(min(values)), log10(max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(values: Sequence[float]) -> list[float]:
    """At most eight powers of two between the ends; over more than twelve of them powers of ten."""
    low, high = min(values), max(values)
    base = 2.0 if high / low <= 4096 else 10.0
    found = [base**power for power in range(-40, 60) if low * 0.999 <= base**power <= high * 1.001]
    return found[:: max(1, -(-len(found) // 8))]


def _decades(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten between the ends, at most nine."""
    low, high = min(values), max(values)
    found = [
        step * 10.0**power
        for power in range(-12, 20)
        for step in (1, 2, 5)
        if low <= step * 10.0**power <= high * 1.001
    ]
    return found if len(found) <= 9 else found[::3]


def _rounds(high: float) -> list[float]:
    """Three to six round values up to `high`: `_rounds(2160) == [500, 1000, 1500, 2000]`."""
    power = 10.0 ** floor(log10(high / 3))
    step = next(each * power for each in (1, 2, 5, 10) if high / (each * power) < 6.5)
    return [step * number for number in range(1, int(high / step) + 1)]


def short(value: float) -> str:
    """`short(2.5e12) == "2.5T"`, `short(1024) == "1,024"`."""
    for limit, divisor, letter in (
        (1e15, 1e15, "P"),
        (1e12, 1e12, "T"),
        (1e9, 1e9, "G"),
        (1e6, 1e6, "M"),
        (1e4, 1e3, "k"),
    ):
        if value >= limit:
            return f"{value / divisor:.3g}{letter}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, bold: bool = False, colour: str = INK
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )
