"""`mfu ask QUESTION [NAMESPACE/NAME]`: five questions, answered in a sentence with numbers and what they rest on.

products   is my MFU the same on every GPU type?
scaling    does it fall as I scale out?
serving    is inference limited by batch, or by how its requests vary?
bound      am I memory- or compute-bound?
cost       is my cost per token what the expected MFU says?
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from mfu.cli.errors import UsageError
from mfu.cli.listing import add_source, listed
from mfu.cli.output import add_output, console, print_json, print_line
from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import QUESTIONS, answers


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "ask",
        help="five questions, answered in a sentence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", choices=tuple(QUESTIONS), metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("workload", nargs="?", metavar="NAMESPACE/NAME", help="only this one (default: all)")
    add_source(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    workloads = listed(args)
    if args.workload and all(each.key != args.workload for each in workloads):
        known = ", ".join(each.key for each in workloads) or "none"
        raise UsageError(f"{args.workload}: no such workload; there are {known}")
    found = answers(args.question, workloads, args.workload)
    if args.output == "json":
        print_json([asdict(each) for each in found])
        return 0
    _print(QUESTIONS[args.question].words, found)
    return 0


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
