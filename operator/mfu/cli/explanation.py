"""One workload's explanation on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from mfu.cli.output import bar, console, print_line
from mfu.show.explanation import ExplainedLoss, Explanation, Measurement
from mfu.show.figures import UNKNOWN, share
from mfu.show.waterfall import Move, Waterfall, WaterfallStep

_LONGEST_BAR: Final = 30
_SIGNS = {Move.LEVEL: "= ", Move.DOWN: "− ", Move.UP: "+ "}


def print_explanation(page: Explanation) -> None:
    """What is not known is said to be unknown."""
    out = console()
    out.print(Text(f"{page.namespace}/{page.name}", style="bold"), Text(f"  {page.model}"))
    for fact in page.facts:
        print_line(out, f"  {fact.label:<12} {fact.value}", hang=15)
    for warning in page.warnings:
        out.print(Text(f"  ! {warning}", style="yellow"))
    if page.waterfall:
        _waterfall(out, page.waterfall)
    _measured(out, page)
    _losses(out, page)
    _recommended(out, page)
    _decisions(out, page)


def _waterfall(out: Console, found: Waterfall) -> None:
    out.print("\nFrom peak to observed (share of the GPUs' peak, MFU, and of their price)")
    for number, step in enumerate(found.steps):
        _bar(out, step, "" if number == 0 else _SIGNS[step.move])
    if not found.observed_known:
        out.print("  observed is unknown")


def _bar(out: Console, step: WaterfallStep, sign: str) -> None:
    price = f"{step.price:>11}" if step.price else ""
    before = f"  {sign + step.label:<34} {100 * step.share:6.1f} %{price}  "
    width = max(4, min(_LONGEST_BAR, out.width - len(before)))
    out.print(Text(f"{before}{bar(step.share, width)}".rstrip()))


def _measured(out: Console, page: Explanation) -> None:
    if page.measurements:
        out.print("\nMeasured")
    for each in page.measurements:
        out.print(_measurement(each))
    for line in page.sources:
        out.print(f"  {line}")
    if page.dashboards:
        out.print("\nWhat other dashboards show for the same GPUs")
    for figure in page.dashboards:
        out.print(f"  {figure.name:<18} {figure.value:>10}   {figure.misleading}".rstrip())


def _measurement(each: Measurement) -> str:
    band = "" if each.low is None else f"{share(each.low)} to {share(each.high)}"
    figures = f"MFU {share(each.mfu)}" + ("" if each.mbu is None else f", MBU {share(each.mbu)}")
    return f"  {each.window:>11} {each.meter:<9} {figures:<23} {band:<17} coverage {each.coverage}"


def _losses(out: Console, page: Explanation) -> None:
    if page.losses:
        out.print("\nWhere the rest went")
    for each in page.losses:
        _loss(out, each)


def _loss(out: Console, each: ExplainedLoss) -> None:
    mark = "" if each.wasted else " (the hardware is at its limit: nothing is wasted)"
    out.print(Text(f"  {each.cause} · {each.explains.lower()} loss · {each.actor}{mark}", style="bold"))
    out.print(f"    {each.figures}")
    if each.action:
        print_line(out, f"    do: {each.action}")
    if each.evidence:
        print_line(out, f"    evidence: {each.evidence}")


def _recommended(out: Console, page: Explanation) -> None:
    """One list; without it (a status of an earlier version) the way to the attainable setting."""
    if page.recommendations:
        out.print("\nWhat to do, in this order: each on top of those before it")
    for each in page.recommendations:
        print_line(out, f"  {each.rank}. {each.action} ({each.actor})")
        if each.brings:
            out.print(f"     {each.brings}")
        if each.answer:
            print_line(out, f"     {each.answer}")
    if page.changes and not page.recommendations:
        _changes(out, page)


def _changes(out: Console, page: Explanation) -> None:
    out.print("\nFrom the declared setting to the attainable one")
    for each in page.changes:
        print_line(out, f"  {each.field}: {each.before} → {each.after}  {each.gain}".rstrip())


def _decisions(out: Console, page: Explanation) -> None:
    if page.decisions:
        out.print("\nDecisions")
    for each in page.decisions:
        how = f"{each.outcome or UNKNOWN} ({each.mode.lower()}, {each.reason})"
        print_line(out, f"  {each.type}: {how} {each.message}")
    if page.way:
        out.print("\nThe way of its placement")
    for point in page.way:
        print_line(out, f"  {point.step:<8} {point.words}")
