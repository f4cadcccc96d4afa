"""Below the table of predictions: where the peak goes, notes, and what would make it faster."""

from __future__ import annotations

from rich.text import Text

from mfu.api.recommendations import RecommendationKind
from mfu.cli.declaration import Declaration
from mfu.cli.output import bar, console, print_line
from mfu.cli.predicted import ProductRow, latency
from mfu.decide.recommend.recommended import Recommended
from mfu.predict.declared import tunable_of
from mfu.predict.inference import more_concurrency
from mfu.predict.types import Inference, Prediction, Scale, Tunable
from mfu.units import money, percent, points


def waterfall(row: ProductRow) -> None:
    """A picture of one prediction: the bar of each loss hangs from where the one above ended."""
    found, out = row.prediction, console()
    out.print(f"\nwhere the peak goes on {row.placement.device.label}")
    left, wide = 1.0, min(_WIDTH, out.width - _LABEL)
    out.print(Text(f"  {'peak':<32} {percent(1.0):>7} ") + Text(bar(1.0, wide)))
    for loss in found.waterfall:
        left -= loss.fraction
        part = bar(abs(loss.fraction), wide) or "▏"
        # Both ends of a bar are rounded: together they may be a column too wide.
        hang = min(round(max(left, 0.0) * wide), wide - len(part))
        sign = "-" if loss.fraction >= 0 else "+"
        style = "red" if loss.fraction >= 0 else "green"
        label = Text(f"  {loss.name:<32} {sign}{percent(abs(loss.fraction)):>6} ")
        out.print(label + Text(" " * hang) + Text(part, style=style))
    out.print(Text(f"  {'MFU':<32} {percent(found.mfu):>7} ") + Text(bar(found.mfu, wide), style="green"))


_WIDTH = 50
# What stands before a bar.
_LABEL = 43


def advice(declaration: Declaration, row: ProductRow) -> None:
    out, memory = console(), row.prediction.memory
    if not memory.fits:
        out.print(f"\ndoes not fit: {memory.largest_term} is the largest part")
    for note in row.prediction.notes:
        print_line(out, f"note: {note}")
    if (more := _more(declaration, row)) is not None:
        print_line(out, f"note: {more}")
    _recommended(row)


def _recommended(row: ProductRow) -> None:
    """In the order of the list: every line is predicted with all lines above it done."""
    if not row.recommended:
        return
    out, before = console(), row.prediction
    alone = all(each.kind is RecommendationKind.SETTING for each in row.recommended)
    head = "what would make it faster on the same GPUs" if alone else "what to do"
    out.print(f"\n{head}, each on top of those above")
    for each in row.recommended:
        step, after = each.step, each.reach.prediction
        what = step.action if step.words else f"{step.field}: {step.before} → {step.after}"
        print_line(out, f"  {what}   {_brings(before, each)}{_change_of_money(each, row)}")
        before = after


def _brings(before: Prediction, each: Recommended) -> str:
    """`+5.4% → 7,171 tokens/s/GPU, 1.9pt MFU`; without change where nothing ran, or the scale changes."""
    after = each.reach.prediction
    rate = f"→ {after.tokens_per_s_per_gpu:,.0f} tokens/s/GPU"
    if each.gain is not None:
        rate = f"{100 * (after.tokens_per_s_per_gpu / before.tokens_per_s_per_gpu - 1.0):+.1f}% {rate}"
    if each.gain is None or before.scale is not after.scale or before.judged is None or after.judged is None:
        return f"{rate}, {percent(after.judged)} {after.scale.value}"
    return f"{rate}, {points(after.judged - before.judged)} {after.scale.value}"


def _change_of_money(each: Recommended, row: ProductRow) -> str:
    """Where a price is given: what a million tokens cost then."""
    if row.price is None:
        return ""
    cost = each.reach.cost_per_million_tokens({row.placement.device.gpu.api_name: row.price})
    return "" if cost is None else f", {money(cost)} per M tokens"


def _more(declaration: Declaration, row: ProductRow) -> str | None:
    """What more requests at once would bring where memory sets the pace and the spec does not let it be tuned."""
    setup = declaration.setup
    if not isinstance(setup, Inference) or Tunable.CONCURRENCY in tunable_of(declaration.spec):
        return None
    found = more_concurrency(setup, row.placement) if row.prediction.scale is Scale.MBU else None
    if found is None:
        return None
    best, reached = found
    times = reached.tokens_per_s_per_gpu / row.prediction.tokens_per_s_per_gpu
    return (
        f"with {best.concurrency:,.0f} requests at once instead of {setup.concurrency or 0:,.0f}: "
        f"{times:.1f} times the tokens/s, {latency(reached.tpot_seconds)} a token"
    )
