"""Entry point: one module a command. A command imports what it needs only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

from mfu import __version__
from mfu.cli.commands import COMMANDS, add_command, parser_of
from mfu.cli.errors import UsageError

START: Final = """\
without a cluster, a GPU or an account:
  mfu adopt -f deployment.yaml          write down what a manifest says that it runs
  mfu predict -f workload.yaml          how fast that should run, and why not faster
  mfu plan -f workload.yaml             what would be better, and what it would bring
  mfu observe -f workload.yaml job.log  how fast it does run, by the log of a training job

in a cluster with the operator:
  mfu top                               who loses most, live
  mfu explain NAME -n NAMESPACE         am I getting what I pay for, why, what to change, what it brings

`mfu COMMAND --help` tells more of each."""
INTERRUPTED: Final = 130
"""What a shell calls a program that Ctrl-C ended."""


class Parser(argparse.ArgumentParser):
    """No option goes by a part of its name: `--gpus 8` would be taken for `--gpus-per-node 8` without a word."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; only the chosen command's own arguments are loaded."""
    top = Parser(
        prog="mfu",
        description="Model FLOP Utilization of GPU clusters, as decisions.",
        epilog=START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mfu {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS:
        if name == chosen:
            add_command(name, subparsers)
        else:
            subparsers.add_parser(name, help=text, add_help=False)
    return top


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    known = [name for name, _ in COMMANDS]
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    if not arguments:
        parser().print_help(sys.stderr)
        return 2
    if chosen is not None and chosen not in known:
        print(f"mfu: there is no command {chosen!r}; {_advice(chosen, known)}", file=sys.stderr)
        return 2
    args, strange = parser(chosen).parse_known_args(arguments)
    if strange:
        print(
            f"mfu {args.command}: there is no argument {strange[0]!r}; {_nearest(strange[0], args.command)}",
            file=sys.stderr,
        )
        return 2
    module = importlib.import_module(f"mfu.cli.{args.command}")
    try:
        return int(module.run(args))
    except UsageError as error:
        # What a parser quotes may have lines of its own.
        print(f"mfu {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _nearest(typed: str, command: str) -> str:
    options = [each for action in parser_of(command)._actions for each in action.option_strings]
    begun = [each for each in options if each.startswith(typed.partition("=")[0]) and typed.startswith("--")]
    near = begun or get_close_matches(typed, options, n=1)
    return f"did you mean {near[0]}?" if near else f"`mfu {command} --help` lists them"


def _advice(typed: str, known: Sequence[str]) -> str:
    near = get_close_matches(typed, known, n=1)
    return f"did you mean {near[0]}?" if near else "`mfu --help` lists the commands"


def run() -> None:
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        # While it was still being loaded.
        code = INTERRUPTED
    sys.exit(code)
