"""Every command and what it is for. One module a command, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Final

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
    ("stamp", "put our scheduling gate on pods by webhook, for older API servers"),
    ("agent", "run the node agent"),
    ("sim", "run a simulated fleet"),
    ("completion", "complete commands and options in a shell"),
)


def add_command(name: str, subparsers: Any) -> None:
    """The command's own arguments."""
    importlib.import_module(f"mfu.cli.{name}").add_parser(subparsers)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command alone."""
    subparsers = argparse.ArgumentParser(prog="mfu").add_subparsers()
    add_command(name, subparsers)
    found: argparse.ArgumentParser = subparsers.choices[name]
    return found
