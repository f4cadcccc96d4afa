"""`mfu explain NAME`: why one workload of a cluster runs as fast as it does, and what to change."""

from __future__ import annotations

import argparse
from typing import Any

from mfu.api.workload_status import WorkloadStatus
from mfu.cli.cluster import add_cluster, named, with_client
from mfu.cli.errors import UsageError
from mfu.cli.explanation import print_explanation
from mfu.cli.output import add_output, print_json
from mfu.cluster.client import KubeClient
from mfu.cluster.said import is_paused, names_of_workloads, workload_status
from mfu.cluster.traces import traces_of
from mfu.engine.packed import Packed
from mfu.engine.views import NO_STATUS
from mfu.show.explanation import explanation
from mfu.show.path import Traces


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("explain", help="explain one ModelWorkload", description=__doc__)
    parser.add_argument("name", help="name of the ModelWorkload, or NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", help="default: the namespace of the kubeconfig's context")
    add_cluster(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    namespace, name = named(args)
    status, paused, traces = with_client(args, lambda client: _get(client, namespace, name))
    if args.output == "json":
        print_json(status.document())
        return 0
    if status == NO_STATUS:
        print(f"{namespace}/{name} has no status yet: is the operator running? (kubectl get pods -A | grep mfu)")
        return 1
    print_explanation(explanation(namespace, name, status.read(), paused=paused, traces=traces))
    return 0


async def _get(client: KubeClient, namespace: str, name: str) -> tuple[Packed[WorkloadStatus], bool, Traces]:
    found = await workload_status(client, name, namespace)
    if found is None:
        names = ", ".join(await names_of_workloads(client, namespace)) or "none"
        raise UsageError(f"namespace {namespace} has no ModelWorkload {name}; it has {names}")
    return found, await is_paused(client, name, namespace), await traces_of(client, name, namespace)
