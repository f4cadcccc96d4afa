"""`mfu admission`: answer at the prompt of whoever applies a ModelWorkload or an MFUPolicy. The chart runs it."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfu.cli.errors import UsageError
from mfu.cluster.connection import NoCluster, connect

if TYPE_CHECKING:
    from mfu.controller.admission import Options


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("admission", help="warn and refuse at the prompt", description=__doc__)
    add_serving(parser, announced="ValidatingWebhookConfiguration")


def add_serving(parser: argparse.ArgumentParser, *, announced: str) -> None:
    """How a process serves that the API server calls; `announced` is the kind that its certificate is made known in."""
    parser.add_argument("--host", required=True, help="name that the API server calls, such as SERVICE.NAMESPACE.svc")
    parser.add_argument("--certificates", type=Path, required=True, metavar="FOLDER", help="holds tls.crt and tls.key")
    parser.add_argument(
        "--announce-in",
        metavar="NAME",
        help=f"{announced}: make an own certificate and keep it trusted there",
    )
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=9443, help="port to listen on")
    parser.add_argument("--health-port", type=int, default=8081, help="port of /healthz and /readyz")
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, the pod's account, ~/.kube/config")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def run(args: argparse.Namespace) -> int:
    from mfu.controller.admission import admit

    logging.basicConfig(
        level=args.log_level.upper(), format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return asyncio.run(admit(options_of(args)))


def options_of(args: argparse.Namespace) -> Options:
    """Raises UsageError where there is no certificate to serve with, or no cluster."""
    from mfu.controller.admission import Options

    if args.announce_in is None and not (args.certificates / "tls.crt").exists():
        raise UsageError(f"--certificates {args.certificates}: has no tls.crt; mount one, or give --announce-in")
    try:
        connect(args.kubeconfig)
    except NoCluster as error:
        raise UsageError(str(error)) from error
    return Options(
        host=args.host,
        certificates=args.certificates,
        configuration=args.announce_in,
        address=args.address,
        port=args.port,
        health_port=args.health_port,
        kubeconfig=args.kubeconfig,
    )
