"""`mfu agent`: read the GPUs of this node, serve what was read, and keep its GPUNode current."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfu import __version__
from mfu.cli.errors import UsageError

if TYPE_CHECKING:
    from mfu.agent.attribution import Attribution
    from mfu.agent.publish import Publisher


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("agent", help="run the node agent", description=__doc__)
    parser.add_argument(
        "--node", default=os.environ.get("NODE_NAME") or socket.gethostname(), help="default: $NODE_NAME"
    )
    parser.add_argument("--host", default="", help="address to serve at; default: all")
    parser.add_argument("--port", type=int, default=9401)
    parser.add_argument(
        "--interval", type=_positive, default=1.0, metavar="SECONDS", help="between samples; default: 1"
    )
    parser.add_argument(
        "--window", type=_positive, default=15.0, metavar="SECONDS", help="served gauges are means over it; default: 15"
    )
    parser.add_argument(
        "--pod-resources",
        default="/var/lib/kubelet/pod-resources/kubelet.sock",
        metavar="SOCKET",
        help='the kubelet\'s socket; "" where pods are not to be known',
    )
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, the pod's account, ~/.kube/config")
    parser.add_argument("--no-gpunode", action="store_true", help="serve metrics only, write no GPUNode")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def _positive(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: give 0.1 to 3600 seconds")
    return value


def run(args: argparse.Namespace) -> int:
    # NVML and all that stands on it are loaded for this command only.
    from mfu.agent.node import Node
    from mfu.agent.runtime import NodeAgent

    logging.basicConfig(
        level=args.log_level.upper(), format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    agent = NodeAgent(
        node=Node(window_seconds=args.window, agent_version=__version__),
        name=args.node,
        interval_seconds=args.interval,
        attribution=_attribution(args.pod_resources),
        publisher=None if args.no_gpunode else _publisher(args.node, args.kubeconfig),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        agent.run(args.host, args.port)
    except OSError as error:
        raise UsageError(f"port {args.port}: {error}; choose another with --port") from error
    return 0


def _end(number: int, frame: object) -> None:
    # Setting an event here could deadlock: the interrupted main thread may be the one that holds its lock.
    raise SystemExit(0)


def _attribution(path: str) -> Attribution | None:
    if not path:
        return None
    from mfu.agent.attribution import Attribution
    from mfu.agent.podresources import list_allocations

    return Attribution(lambda: list_allocations(Path(path)))


def _publisher(node: str, kubeconfig: Path | None) -> Publisher:
    from mfu.agent.publish import Publisher
    from mfu.cluster.connection import NoCluster, connect
    from mfu.cluster.plain import PlainClient

    try:
        return Publisher(PlainClient(connect(kubeconfig)), node)
    except NoCluster as error:
        raise UsageError(f"{error}; or --no-gpunode to serve metrics only") from error
