"""`mfu operator`: watch, evaluate, and say what was found. Runs in the cluster, or anywhere with a kubeconfig."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from typing import Any

from mfu.cli.errors import UsageError
from mfu.cluster.connection import NoCluster, connect
from mfu.controller.config import BadConfig, load
from mfu.controller.operator import operate


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("operator", help="run the operator", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, the pod's account, ~/.kube/config")
    parser.add_argument("--config", type=Path, help="configuration file (docs/configuration.md)")
    parser.add_argument("--dry-run", action="store_true", help="evaluate and publish metrics, write nothing")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=args.log_level.upper(), format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        config = load(args.config)
        if args.dry_run:
            config = config.model_copy(update={"dry_run": True})
        # Told at once here; inside kopf's start-up it would be tried for ever.
        connect(args.kubeconfig)
        return asyncio.run(operate(config, args.kubeconfig))
    except (BadConfig, NoCluster) as error:
        raise UsageError(str(error)) from error
