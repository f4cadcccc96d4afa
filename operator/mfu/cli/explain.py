"""`mfu explain NAME`: why one workload of a cluster runs as fast as it does, and what to change."""

from __future__ import annotations

import argparse
from typing import Any

from mfu.cli.cluster import add_cluster, with_client
from mfu.cli.errors import UsageError
from mfu.cli.explanation import explain
from mfu.cli.output import add_output, print_json
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import MODELWORKLOADS


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("explain", help="explain one ModelWorkload", description=__doc__)
    parser.add_argument("name", help="name of the ModelWorkload")
    parser.add_argument("-n", "--namespace", default="default")
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    workload = with_client(args, lambda client: _get(client, args.namespace, args.name))
    status = workload.get("status") or {}
    if args.output == "json":
        print_json(status)
        return 0
    if not status:
        print(
            f"{args.namespace}/{args.name} has no status yet: is the operator running? (kubectl get pods -A | grep mfu)"
        )
        return 1
    explain(args.namespace, args.name, status)
    return 0


async def _get(client: KubeClient, namespace: str, name: str) -> dict[str, Any]:
    try:
        return await client.get(MODELWORKLOADS, name, namespace)
    except ApiError as error:
        if error.status != 404:
            raise
        found, _ = await client.list(MODELWORKLOADS, namespace=namespace)
        names = ", ".join(sorted(each["metadata"]["name"] for each in found)) or "none"
        raise UsageError(f"namespace {namespace} has no ModelWorkload {name}; it has {names}") from error
