"""`mfu place`: what the operator would do with a workload now, why, and what that would displace.

`mfu place NAMESPACE/NAME` asks about one that is declared; `mfu place -f workload.yaml` about one that would come now.
Reads the cluster, or a file of `mfu snapshot`; writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfu.cli.cluster import add_cluster, namespace_of, with_client
from mfu.cli.declaration import read
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.cli.output import add_output, print_document
from mfu.cli.snapshot import take
from mfu.controller.config import BadConfig, load
from mfu.decide.fleet.device_claims import claim_template
from mfu.decide.fleet.fitting import Grant
from mfu.decide.fleet.placement import topology_annotations
from mfu.decide.fleet.standing import Need
from mfu.decide.types import Decision
from mfu.engine import saved
from mfu.engine.snapshot import Snapshot
from mfu.engine.whatif import Displaced, WhatIf, arriving, what_if


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("place", help="where a workload would go now", description=__doc__)
    parser.add_argument("workload", nargs="?", metavar="[NAMESPACE/]NAME", help="a workload that is declared")
    parser.add_argument("-f", "--file", help="a ModelWorkload that would come now; - reads standard input")
    parser.add_argument("-n", "--namespace", help="default: the namespace of the kubeconfig's context")
    parser.add_argument("--priority", type=int, default=0, help="of its pods (default: 0)")
    parser.add_argument("--snapshot", type=Path, help="file of `mfu snapshot`; default: read the cluster")
    parser.add_argument("--config", type=Path, help="the operator's configuration file (where telemetry is)")
    parser.add_argument("--claim", action="store_true", help="print a ResourceClaimTemplate (DRA), the best first")
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    if bool(args.workload) == bool(args.file):
        raise UsageError("name either a workload of the cluster, as NAMESPACE/NAME, or a file with -f")
    snapshot, now = _snapshot(args)
    key = _key(args, snapshot) if args.workload else ""
    if args.file:
        declarations = read(args.file)
        if len(declarations) > 1:
            raise UsageError(f"{args.file}: holds {len(declarations)} workloads; place one at a time")
        mine = declarations[0]
        space = _namespace(args)
        key = f"{space}/{mine.name}"
        where = {"namespace": space, "name": mine.name}
        snapshot = arriving(snapshot, mine.spec, **where, now=now, priority=args.priority)
    try:
        found = what_if(snapshot, key, now)
    except KeyError as error:
        known = ", ".join(sorted(each.key for each in snapshot.workloads)) or "none"
        raise UsageError(f"{key}: no such workload; there are {known}") from error
    if args.claim:
        print_document(_claim(found), "json" if args.output == "json" else "yaml")
    elif args.output != "table":
        print_document(_document(found), args.output)
    else:
        _show(found)
    return 0


def _namespace(args: argparse.Namespace) -> str:
    """A file needs no cluster: there the namespace is nobody's."""
    return args.namespace or ("default" if args.snapshot else namespace_of(args))


def _key(args: argparse.Namespace, snapshot: Snapshot) -> str:
    """A bare name is of the namespace, or of whichever there is in a file that holds one of that name."""
    if "/" in args.workload:
        return str(args.workload)
    alone = [each.key for each in snapshot.workloads if each.name == args.workload]
    if args.snapshot and not args.namespace and len(alone) == 1:
        return alone[0]
    return f"{_namespace(args)}/{args.workload}"


def _snapshot(args: argparse.Namespace) -> tuple[Snapshot, float]:
    if args.snapshot:
        try:
            return saved.load(read_text(args.snapshot))
        except saved.BadSnapshot as error:
            raise UsageError(f"--snapshot {args.snapshot}: {error}") from error
    try:
        config = load(args.config)
    except BadConfig as error:
        raise UsageError(str(error)) from error
    return saved.load(with_client(args, lambda client: take(client, config, 0.0)))


def _annotations(found: WhatIf) -> dict[str, str]:
    ask = found.plan.standing.ask if found.plan.standing else None
    return topology_annotations(ask) if ask else {}


def _claim(found: WhatIf) -> dict[str, Any]:
    ask = found.plan.standing.ask if found.plan.standing else None
    if ask is None and not found.cut:
        raise UsageError(f"{found.plan.key}: waits for no GPUs, so there is nothing to claim")
    try:
        return claim_template(found.plan.name, ask or Need(1), found.ranked, found.cut)
    except ValueError as error:
        raise UsageError(f"{found.plan.key}: {error}; `mfu place` says what is missing") from error


def _show(found: WhatIf) -> None:
    decisions = found.decisions
    print(found.plan.key)
    if not decisions:
        print("  nothing to decide: see its conditions with `mfu explain`")
    for each in decisions:
        print(f"  {each.type}: {each.outcome} ({each.reason}): {each.message}")
    for copy, grant in enumerate(found.grants):
        ranks = ", ".join(f"{first}–{last} on {node}" for node, first, last in _ranks(grant))
        print(f"  ranks{f' of replica {copy}' if len(found.grants) > 1 else ''}: {ranks}")
    for step in found.steps:
        print(f"  action: {step.sentence}")
    for name, value in _annotations(found).items():
        print(f"  with Kueue's topology-aware scheduling, on the pod template: {name}: {value}")
    if found.cut:
        print(f"  cut when claimed, nothing to lay out: {_cut(found)} (`--claim` prints the claim)")
    print(f"  displaces: {'nobody' if not found.displaced else ''}".rstrip())
    for displaced in found.displaced:
        before, after = displaced.before, displaced.after
        print(f"    {displaced.workload}: {before.outcome} → {after.outcome}: {after.message}")


def _cut(found: WhatIf) -> str:
    """`1g.10gb of NVIDIA-H100-80GB-HBM3, then the whole GPU`."""
    words = [f"{each.profile or 'the whole GPU'} of {each.product_label}" for each in found.cut]
    return ", then ".join(words)


def _ranks(grant: Grant) -> Iterator[tuple[str, int, int]]:
    """Node, and the first and last rank on it."""
    first = 0
    for share in grant.shares:
        yield share.node, first, first + share.gpus - 1
        first += share.gpus


def _document(found: WhatIf) -> dict[str, Any]:
    return {
        "workload": found.plan.key,
        "decisions": [each.to_api() for each in found.decisions],
        "ranks": [
            [{"node": node, "first": first, "last": last} for node, first, last in _ranks(grant)]
            for grant in found.grants
        ],
        "actions": [
            {"type": str(step.action.type), "words": step.action.words, "dryRun": step.dry_run} for step in found.steps
        ],
        "topologyAnnotations": _annotations(found),
        "cut": [{"product": each.product_label, "profile": each.profile} for each in found.cut],
        "displaced": [_displaced(each) for each in found.displaced],
    }


def _decision(each: Decision) -> dict[str, Any]:
    return {"type": str(each.type), "outcome": str(each.outcome), "reason": str(each.reason), "message": each.message}


def _displaced(each: Displaced) -> dict[str, Any]:
    return {"workload": each.workload, "before": _decision(each.before), "after": _decision(each.after)}
