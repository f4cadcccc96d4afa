"""Workloads for commands that look at many: from the cluster, or from a saved moment of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mfu.cli.cluster import FORBIDDEN, add_cluster, namespace_of, with_client
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.cli.roles import refusal
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.said import workload_statuses
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import BadSnapshot, load
from mfu.show.workloads import Listed
from mfu.web.planned import seen_of
from mfu.web.seen import Seen


def add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", help="only this namespace (default: all that there are)")
    parser.add_argument("--snapshot", type=Path, help="file of `mfu snapshot`; default: read the cluster")
    add_cluster(parser)


def add_shard(parser: argparse.ArgumentParser) -> None:
    whose = "the report of one shard (default: that of the one operator of all namespaces)"
    parser.add_argument("--shard", metavar="NAME", default="", help=whose)


def listed(args: argparse.Namespace) -> tuple[Listed, ...]:
    """In the order of their names. Raises UsageError with what to mend."""
    if args.snapshot:
        return tuple(judged(args.snapshot).of(args.namespace).listed())
    return with_client(args, lambda client: read(client, args.namespace))


async def read(client: KubeClient, namespace: str | None) -> tuple[Listed, ...]:
    try:
        said = await workload_statuses(client, namespace)
    except ApiError as error:
        raise narrowed(error, namespace) from error
    return tuple(Listed(each.namespace, each.name, each.mode, each.status.read()) for each in said)


def narrowed(error: ApiError, namespace: str | None) -> Exception:
    """Who may not read all namespaces may read one."""
    if namespace is None and error.status == FORBIDDEN:
        return UsageError(f"{refusal(error)}, or name a namespace that you may read with -n")
    return error


def key_of(args: argparse.Namespace, asked: str) -> str:
    """NAMESPACE/NAME of what was typed; a bare name is of --namespace or, in a cluster, of the context's namespace."""
    if "/" in asked:
        return asked
    if args.snapshot and not args.namespace:
        return asked
    return f"{namespace_of(args)}/{asked}"


def the_one(workloads: Sequence[Listed], args: argparse.Namespace, asked: str) -> Listed:
    """The workload that is meant. A bare name needs no namespace in a saved moment that holds one of that name."""
    key = key_of(args, asked)
    found = [each for each in workloads if key in (each.key, each.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{asked}: could be {', '.join(each.key for each in found)}; write which")
    known = ", ".join(each.key for each in workloads) or "none"
    raise UsageError(f"{asked}: no such workload; there are {known}")


def judged(path: Path) -> Seen:
    """A saved moment, as the operator would judge it. Raises UsageError for a file that is none."""
    try:
        snapshot, now = load(read_text(path))
    except BadSnapshot as error:
        raise UsageError(f"--snapshot {path}: {error}") from error
    return seen_of(evaluate(snapshot, now), now)
