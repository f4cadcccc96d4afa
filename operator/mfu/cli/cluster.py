"""What commands that talk to a cluster share: where it is, and clear words when it is not there."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from mfu.api.names import GROUP
from mfu.cli.errors import UsageError
from mfu.cli.roles import refusal
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.connection import NoCluster, connect, context_namespace

T = TypeVar("T")
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404


def add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, the pod's account, ~/.kube/config")
    parser.add_argument("--context", help="context of the kubeconfig")


def namespace_of(args: argparse.Namespace) -> str:
    """The one that was asked for, else that of the kubeconfig's context, as kubectl does."""
    if args.namespace:
        return str(args.namespace)
    try:
        return context_namespace(args.kubeconfig, args.context)
    except NoCluster as error:
        raise UsageError(str(error)) from error


def named(args: argparse.Namespace, asked: str | None = None) -> tuple[str, str]:
    """Namespace and name of `NAME` or `NAMESPACE/NAME`. UsageError where that and --namespace disagree."""
    typed = args.name if asked is None else asked
    before, slash, name = typed.rpartition("/")
    if not slash:
        return namespace_of(args), typed
    if args.namespace and args.namespace != before:
        raise UsageError(f"{typed} and --namespace {args.namespace} name two namespaces; keep one")
    return before, name


def with_client(args: argparse.Namespace, work: Callable[[KubeClient], Awaitable[T]]) -> T:
    """Run `work` with a connected client. Raises UsageError with what to mend."""

    async def connected() -> T:
        async with KubeClient(connect(args.kubeconfig, args.context)) as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except NoCluster as error:
        raise UsageError(str(error)) from error
    except ServerUnreachable as error:
        raise UsageError(
            f"the API server does not answer: {error}; is it the right --kubeconfig and --context?"
        ) from error
    except ApiError as error:
        raise UsageError(_advice(error)) from error


def _advice(error: ApiError) -> str:
    if error.status == FORBIDDEN:
        return refusal(error)
    if error.status == UNAUTHORIZED:
        return f"the API server does not know who you are ({error.message}): log in again, or look at --kubeconfig"
    if error.status == NOT_FOUND and f"/apis/{GROUP}/" in str(error) and "page not found" in error.message:
        return f"the cluster has no kinds of {GROUP}: install the chart, or `kubectl apply --server-side -f crds/`"
    return str(error)
