"""`mfu presets`: models that can be named in spec.model.preset."""

from __future__ import annotations

import argparse
from typing import Any

from mfu.cli.output import add_output, print_document, print_table
from mfu.workload.parameters import count
from mfu.workload.presets import names, preset


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("presets", help="known models", description=__doc__)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    rows = [(name, preset(name)) for name in names()]
    counted = [(name, arch, count(arch)) for name, arch in rows]
    if args.output != "table":
        print_document(
            [
                {
                    "preset": name,
                    "family": str(arch.family),
                    "parameters": int(n.total),
                    "activeParameters": int(n.active),
                }
                for name, arch, n in counted
            ],
            args.output,
        )
        return 0
    print_table(
        ("PRESET", "FAMILY", "PARAMETERS", "ACTIVE", "LAYERS", "HIDDEN"),
        [
            (
                name,
                str(arch.family),
                f"{n.total / 1e9:.2f}B",
                f"{n.active / 1e9:.2f}B",
                str(arch.layers),
                str(arch.hidden),
            )
            for name, arch, n in counted
        ],
        right=frozenset({"PARAMETERS", "ACTIVE", "LAYERS", "HIDDEN"}),
    )
    return 0
