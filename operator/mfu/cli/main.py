"""Entry point: one module a command. A command imports what it needs only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from mfu import __version__
from mfu.cli.errors import UsageError

COMMANDS: Final = (
    ("predict", "expected speed, memory and waterfall of a ModelWorkload on each GPU product"),
    ("plan", "search GPU type, count and layout for a ModelWorkload"),
    ("validate", "compare predictions with a file of measured results"),
    ("calibrate", "learn a stack's own factor from its runs, for predict and plan"),
    ("observe", "observed MFU from a training log, beside the expected one"),
    ("diagnose", "name the cause of loss in recorded traces"),
    ("replay", "evaluate a saved snapshot of a cluster, as the operator would"),
    ("place", "where a workload would go now, why, and what it would displace"),
    ("snapshot", "save what a cluster looks like now, for replay"),
    ("explain", "waterfall, evidence and actions of one ModelWorkload of a cluster"),
    ("report", "the fleet on one page"),
    ("top", "what the cluster's GPUs do, live; what loses most first"),
    ("compare", "two versions, products or sizes side by side"),
    ("ask", "five questions, answered in a sentence: GPU types, scaling, serving, limits, cost"),
    ("ui", "the cluster as a page in your browser, with your own rights"),
    ("gpus", "GPU products and MIG profiles that are known"),
    ("presets", "models that are known by name"),
    ("init", "write a ModelWorkload from a Hugging Face config.json"),
    ("adopt", "write ModelWorkloads for what runs already, in a cluster or in a manifest"),
    ("read", "say what is understood of a config, a metrics page, a Node, a Pod or a GPU name"),
    ("release", "take our scheduling gate off pods, by hand or when their deadline is over"),
    ("operator", "run the operator"),
    ("admission", "answer at the prompt: warn of what does not fit, refuse names that do not exist"),
    ("agent", "run the node agent"),
    ("sim", "run a simulated fleet"),
)


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; only the chosen command's own arguments are loaded."""
    top = argparse.ArgumentParser(prog="mfu", description="Model FLOP Utilization of GPU clusters, as decisions.")
    top.add_argument("--version", action="version", version=f"mfu {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS:
        if name == chosen:
            importlib.import_module(f"mfu.cli.{name}").add_parser(subparsers)
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
    args = parser(chosen).parse_args(arguments)
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
        return 130


def _advice(typed: str, known: Sequence[str]) -> str:
    near = get_close_matches(typed, known, n=1)
    return f"did you mean {near[0]}?" if near else "`mfu --help` lists the commands"


def run() -> None:
    sys.exit(main(sys.argv[1:]))
