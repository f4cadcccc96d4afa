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

from mfu.cli.listing import add_source, listed, the_one
from mfu.cli.output import add_output, console, print_document, print_line
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
    only = the_one(workloads, args, args.workload).key if args.workload else None
    found = answers(args.question, workloads, only)
    if args.output != "table":
        print_document([asdict(each) for each in found], args.output)
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
