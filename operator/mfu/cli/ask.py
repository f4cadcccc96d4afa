"""`mfu ask QUESTION [NAMESPACE/NAME]`: five questions, answered in a sentence with numbers and what they rest on.

products   is my MFU the same on every GPU type?
scaling    does it fall as I scale out?
serving    is inference limited by batch, or by how its requests vary?
bound      am I memory- or compute-bound?
cost       is my cost per token what the expected MFU says?

With --prometheus URL each answer also says how the workloads that it rests on did over the last days.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mfu.cli.errors import UsageError
from mfu.cli.listing import add_source, listed, the_one
from mfu.cli.output import add_output, console, positive, print_document, print_line
from mfu.show.facts import Fact
from mfu.show.figures import share
from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import QUESTIONS, answers
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.prometheus.past import PastLevel, past_of


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "ask",
        help="five questions, answered in a sentence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", choices=tuple(QUESTIONS), metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("workload", nargs="?", metavar="NAMESPACE/NAME", help="only this one (default: all)")
    parser.add_argument("--prometheus", metavar="URL", help="a Prometheus that scrapes the operator, for the last days")
    parser.add_argument("--days", type=positive, default=7, help="how many of them (default: 7)")
    add_source(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    workloads = listed(args)
    only = the_one(workloads, args, args.workload).key if args.workload else None
    found = answers(args.question, workloads, only)
    if args.prometheus:
        found = with_past(found, _past(args), args.days)
    if args.output != "table":
        print_document([asdict(each) for each in found], args.output)
        return 0
    _print(QUESTIONS[args.question].words, found)
    return 0


def _past(args: argparse.Namespace) -> Mapping[str, Mapping[str, PastLevel]]:
    try:
        return asyncio.run(past_of(args.prometheus, args.days, time.time()))
    except TelemetryError as error:
        raise UsageError(f"--prometheus {args.prometheus}: {error}") from error


def with_past(found: Sequence[Answer], past: Mapping[str, Mapping[str, PastLevel]], days: int) -> tuple[Answer, ...]:
    """Each answer with the past of every workload that it names."""
    return tuple(replace(each, evidence=(*each.evidence, *_facts(each, past, days))) for each in found)


def _facts(answer: Answer, past: Mapping[str, Mapping[str, PastLevel]], days: int) -> Iterator[Fact]:
    named = {
        word.strip(",;:.()")
        for text in (answer.about, *(each.value for each in answer.evidence))
        for word in text.split()
    }
    for key in sorted(named & past.keys()):
        for scale, level in past[key].items():
            figures = f"{share(level.mean)} {scale.upper()} on average ({share(level.low)} to {share(level.high)})"
            yield Fact(f"last {days} days", f"{key}: {figures}, by Prometheus")


def _print(words: str, found: tuple[Answer, ...]) -> None:
    out = console()
    out.print(words)
    if not found:
        out.print("  Unknown: no workload that it concerns has figures that have settled (five minutes of readings)")
    for each in found:
        out.print(f"\n{each.about}", style="bold")
        print_line(out, f"  {each.sentence}", hang=2)
        for fact in each.evidence:
            print_line(out, f"    {fact.label}: {fact.value}")
