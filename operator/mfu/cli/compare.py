"""`mfu compare A B`: two versions, products or sizes side by side, and what the difference is due to.

Each is NAMESPACE/NAME, as it runs now, or NAMESPACE/NAME@WORD for a setting of its history: WORD is a model version,
a GPU product or a number of GPUs, such as team-llm/pretrain@64.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mfu.cli.errors import UsageError
from mfu.cli.listing import add_source, listed, the_one
from mfu.cli.output import add_output, console, print_document, print_line, print_table
from mfu.show.compare import COLUMNS, Side, compared, side, words_of
from mfu.show.workloads import Listed


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="two versions, products or sizes side by side",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="NAMESPACE/NAME[@WORD]")
    parser.add_argument("b", metavar="B", help="NAMESPACE/NAME[@WORD]")
    add_source(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    workloads = listed(args)
    a, b = (_side(each, workloads, args) for each in (args.a, args.b))
    found = compared(a, b)
    if args.output != "table":
        print_document({"a": asdict(a), "b": asdict(b), "sentence": found.sentence}, args.output)
        return 0
    print_table(COLUMNS, found.rows)
    print()
    print_line(console(), found.sentence, hang=0)
    return 0


def _side(asked: str, workloads: Sequence[Listed], args: argparse.Namespace) -> Side:
    key, _, word = asked.partition("@")
    workload = the_one(workloads, args, key)
    found = side(workload, word or None)
    if found is not None:
        return found
    words = dict.fromkeys(each for row in workload.status.history for each in words_of(row))
    if not words:
        raise UsageError(f"{asked}: nothing of it was measured yet; see `mfu explain`")
    raise UsageError(f"{asked}: its history has no {word}; write one of {', '.join(words)}")
