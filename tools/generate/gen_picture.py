"""The README's picture: where the peak of the example's faulty workload goes, drawn from the saved snapshot.

`python -m tools.generate.gen_picture [--check]` writes docs/images/waterfall.svg from `mfu replay`'s own evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "images" / "waterfall.svg"
WORKLOAD = "faulty-training"

WIDTH, LEFT, RIGHT, ROW, TOP = 920, 340, 90, 30, 92
WIDEST_LETTER = 0.64
"""Mean width of a bold letter over its size in DejaVu Sans, the widest font that is common where no Helvetica is."""
SCALE = WIDTH - LEFT - RIGHT
GREY, BLUE, RED, GREEN, AMBER, INK, SOFT = "#9aa5b1", "#3b6fb6", "#c0392b", "#2e8b57", "#d98e04", "#1f2933", "#616e7c"


@dataclass(frozen=True)
class Bar:
    """One row: from `start` to `end` in shares of the peak."""

    label: str
    start: float
    end: float
    colour: str
    note: str = ""


def status_of(name: str) -> Mapping[str, Any]:
    snapshot, now = load((ROOT / "examples" / "snapshot.json").read_text())
    return next(each.status.document() for each in evaluate(snapshot, now).workloads if each.name == name)


def bars(status: Mapping[str, Any]) -> list[Bar]:
    """Peak, the predicted losses, expected, what the run loses, observed."""
    rows = [Bar("peak of 8 × H100", 0.0, 1.0, GREY, "100 %")]
    left = 1.0
    for part in status["waterfall"]:
        share = float(part["share"])
        if abs(share) >= 0.002:
            rows.append(Bar(part["name"], left - share, left, BLUE, f"−{100 * share:.1f}"))
        left -= share
    expected = float(status["expected"][0]["mfu"])
    rows.append(Bar("expected as declared", 0.0, expected, GREEN, f"{100 * expected:.1f} %"))
    observed = next(each for each in status["observed"] if (each["window"], each["meter"]) == ("10m", "Progress"))
    reached = float(observed["mfu"])
    loss = status["losses"][0]
    rows.append(Bar(f"{loss['cause']} ({loss['actor']} can mend)", reached, expected, RED, _points(reached - expected)))
    rows.append(Bar("observed", 0.0, reached, AMBER, f"{100 * reached:.1f} %"))
    return rows


def _points(share: float) -> str:
    return f"−{100 * abs(share):.1f}"


def draw(status: Mapping[str, Any]) -> str:
    rows = bars(status)
    height = TOP + ROW * len(rows) + 92
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(20, 34, "Where the money of one training job goes", size=20, weight="bold"),
        _text(
            20, 60, f"{WORKLOAD}: Llama 3.1 8B on one node of eight H100, share of the GPUs' peak FLOP/s", colour=SOFT
        ),
    ]
    longest = max(len(bar.label) for bar in rows)
    if longest * 14 * WIDEST_LETTER > LEFT - 12:
        raise SystemExit(f"a label of {longest} letters is cut off at the left: make room for it")
    for number, bar in enumerate(rows):
        parts += _row(bar, TOP + number * ROW)
    return "\n".join([*parts, *_foot(status, TOP + ROW * len(rows) + 26), "</svg>"]) + "\n"


def _row(bar: Bar, top: float) -> list[str]:
    x, width = LEFT + SCALE * bar.start, max(1.5, SCALE * (bar.end - bar.start))
    strong = "bold" if bar.colour in (GREEN, AMBER, RED) else "normal"
    return [
        _text(LEFT - 12, top + 18, bar.label, anchor="end", weight=strong),
        f'<rect x="{x:.1f}" y="{top + 4}" width="{width:.1f}" height="{ROW - 9}" rx="2" fill="{bar.colour}"/>',
        _text(LEFT + SCALE * bar.end + 8, top + 18, bar.note, weight=strong, colour=bar.colour),
    ]


def _foot(status: Mapping[str, Any], top: float) -> list[str]:
    readings = {each["name"]: float(each["value"]) for each in status.get("readings", ())}
    summary = status["summary"]
    busy = f"Other dashboards, same GPUs: GPU utilisation {100 * readings['GPU utilisation']:.0f} %"
    money = f"{summary['costPerHour']} per hour, of which {summary['lostPerHour']} is lost at run time"
    return [
        _text(20, top, busy, colour=SOFT),
        _text(20, top + 24, money, weight="bold"),
        _text(20, top + 48, f"Advice: {status['recommendations'][0]['action']}"),
    ]


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 14, weight: str = "normal", colour: str = INK
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def main() -> int:
    drawn = draw(status_of(WORKLOAD))
    if "--check" in sys.argv:
        return 0 if TARGET.exists() and TARGET.read_text() == drawn else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
