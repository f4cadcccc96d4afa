"""`mfu replay FILE`: the operator's own cycle on a saved snapshot. No cluster, no clock, no network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from mfu.act.types import Step
from mfu.cli.errors import UsageError
from mfu.cli.explanation import print_explanation
from mfu.cli.files import read_text
from mfu.cli.output import add_output, print_document, print_table
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.saved import BadSnapshot, load
from mfu.show.explanation import explanation
from mfu.show.workloads import COLUMNS, Listed, row

ACTION_COLUMNS: Final = ("WORKLOAD", "ACTION", "WHAT", "DONE")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("replay", help="evaluate a saved snapshot", description=__doc__)
    parser.add_argument("file", type=Path, help="snapshot written by `mfu snapshot`")
    parser.add_argument("--explain", metavar="NAMESPACE/NAME", help="explain one workload of it")
    parser.add_argument("--actions", action="store_true", help="what could be done now, and why it is not")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    try:
        snapshot, now = load(read_text(args.file))
    except BadSnapshot as error:
        raise UsageError(f"{args.file}: {error}") from error
    plan = evaluate(snapshot, now)
    if args.explain:
        return _explain(plan, args.explain, args.output)
    if args.output != "table":
        workloads, actions = [_document(each) for each in plan.workloads], [_action(each) for each in plan.acts.steps]
        print_document({"workloads": workloads, "fleet": plan.report.document(), "actions": actions}, args.output)
        return 0
    if args.actions:
        print_table(ACTION_COLUMNS, [_action_row(each) for each in plan.acts.steps])
        return 0
    modes = {view.key: str(view.spec.mode) if view.spec else "Unknown" for view in snapshot.workloads}
    shown = [Listed(each.namespace, each.name, modes[each.key], each.status.read()) for each in plan.workloads]
    print_table(COLUMNS, map(row, shown))
    return 0


def _explain(plan: Plan, key: str, output: str) -> int:
    called = [each for each in plan.workloads if key in (each.key, each.name)]
    found = called[0] if len(called) == 1 else None
    if found is None:
        known = ", ".join(sorted(each.key for each in plan.workloads)) or "none"
        raise UsageError(f"--explain {key}: no such workload in the snapshot; it has {known}")
    if output != "table":
        print_document(_document(found), output)
        return 0
    print_explanation(explanation(found.namespace, found.name, found.status.read()))
    return 0


def _action(step: Step) -> dict[str, Any]:
    action, why_not = step.action, step.hindrance
    return {
        "workload": action.workload,
        "type": str(action.type),
        "target": str(action.target),
        "words": action.words,
        "change": action.change,
        "dryRun": step.dry_run,
        "reason": str(why_not.guard) if why_not else None,
        "message": why_not.message if why_not else None,
    }


def _action_row(step: Step) -> list[str]:
    done = f"no: {step.hindrance.message}" if step.hindrance else "yes"
    return [step.action.workload, str(step.action.type), step.action.words, done]


def _document(plan: WorkloadPlan) -> dict[str, Any]:
    status = plan.status.document()
    return {"namespace": plan.namespace, "name": plan.name, "status": status, "annotations": plan.annotations}
